"""A choice of types as a recipe: patterns that name each weight."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from ..quantization.records import CUSTOM
from ..settings.recipe import Recipe

_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_FLOATS = ("f32", "f16", "bf16")
_LAYER = re.compile(r"blk\.(\d+)\.(.+)")


def recipe_of(
    types: Mapping[str, str], *, scheme: str | None = None, imatrix: str | None = None
) -> Recipe:
    """The recipe that gives each weight its type.

    Args:
        types: by name, of all weights that are ever quantized; `custom:NAME` is the scheme's.
        scheme: its place.
        imatrix: a file of importances.
    """
    own = [name for name, type_ in types.items() if type_.startswith(CUSTOM)]
    built_in = {name: type_ for name, type_ in types.items() if name not in own}
    counts = Counter(built_in.values())
    quantized = [type_ for type_, _ in counts.most_common() if type_ not in _FLOATS]
    settings: dict[str, str | list[str]] = {
        # Of what no pattern names, which is nothing; patterns go with a quantized type only.
        "file_type": quantized[0].upper() if quantized else "Q8_0",
        "tensor_type": [
            f"{pattern}={type_}"
            for type_ in counts
            for pattern in patterns(n for n, t in built_in.items() if t == type_)
        ],
    }
    for name, setting in (
        (_EMBEDDING, "token_embedding_type"), (_HEAD, "output_tensor_type")
    ):  # fmt: skip
        if name in built_in:
            settings[setting] = built_in[name]
    if imatrix is not None:
        settings["imatrix"] = imatrix
    if own and scheme is not None:
        settings |= {"scheme": scheme, "scheme_tensors": "|".join(patterns(own))}
    return Recipe.of(**settings)


def patterns(names: Iterable[str]) -> list[str]:
    """Regular expressions that find these names only, one for the layers of each role."""
    layers: dict[str, list[int]] = {}
    plain: list[str] = []
    for name in names:
        found = _LAYER.fullmatch(name)
        if found is None:
            plain.append(f"^{_quoted(name)}$")
        else:
            layers.setdefault(found[2], []).append(int(found[1]))
    return plain + [
        f"^blk{_quoted('.')}({'|'.join(map(str, sorted(of)))}){_quoted('.' + role)}$"
        for role, of in layers.items()
    ]


def _quoted(text: str) -> str:
    """A text that both Python's and C++'s grammar read as itself."""
    return re.sub(r"[^\w]", lambda sign: f"\\{sign[0]}", text, flags=re.ASCII)
