"""How a model is to be quantized: which tensor gets which type, in llama-quantize's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..input_file import read_input_text
from .kinds import File, Several, Switch, Text
from .pattern_kinds import Override, Pattern
from .scheme_place import SchemePlace
from .table import RECIPE, refuse_unknown, setting, table

# With a scheme: what says more of the types that the other weights get.
_NEED_FILE_TYPE = (
    "tensor_type", "tensor_type_file", "output_tensor_type", "token_embedding_type",
    "leave_output_tensor", "pure",
)  # fmt: skip
_MOST_FILE_BYTES = 1 << 20  # of patterns; a model has some hundred tensors
DEFAULT_FILE_TYPE = "Q4_K_M"
_TYPE = Text("TYPE", "the name of a type")
_FILE = File()


@dataclass(frozen=True)
class Recipe:
    """What llama-quantize is asked for; make it by `of`.

    Attributes:
        file_type: the types of all tensors that nothing else names: a file type (`Q4_K_M`). None,
            which goes with a scheme only, leaves them as they are.
        tensor_type: PATTERN=TYPE texts. The first regular expression (of C++'s ECMAScript grammar)
            that finds a tensor's name gives its type.
        tensor_type_file: a file of more of them, separated by white space, which come after those.
        output_tensor_type, token_embedding_type: of the LM head and of the token embeddings.
        leave_output_tensor: keep the LM head as it is.
        pure: every tensor in the type that the file type is named for, without the mixture that
            gives more bits to some.
        imatrix: a file of importances (GGUF), as llama-imatrix writes it.
        allow_requantize: also quantize what is quantized already.
        scheme: `FILE.py:NAME`, `FILE.c:NAME` or `MODULE:NAME` of a user's scheme.
        scheme_tensors: a regular expression (Python's) that finds the names of the weights that it
            takes; None for all that are ever quantized.
        fake_quant: store the values that the scheme gives back, not its blocks.
    """

    file_type: str | None = setting(
        _TYPE, None, "as llama-quantize calls it",
        f"{DEFAULT_FILE_TYPE}; with a scheme the other weights stay as they are", group=RECIPE,
    )  # fmt: skip
    tensor_type: tuple[str, ...] = setting(
        Several(Override("TYPE"), least=0), (),
        "type of the tensors whose name matches, e.g. attn_v=q8_0; may be repeated, and the first "
        "that matches wins", group=RECIPE,
    )  # fmt: skip
    tensor_type_file: str | None = setting(
        _FILE, None, "more of them, separated by white space", group=RECIPE
    )
    output_tensor_type: str | None = setting(_TYPE, None, "of the LM head", group=RECIPE)
    token_embedding_type: str | None = setting(_TYPE, None, "of the embeddings", group=RECIPE)
    leave_output_tensor: bool = setting(Switch(), False, "keep the LM head as it is", group=RECIPE)
    pure: bool = setting(
        Switch(), False, "every tensor in the one type that the file type is named for",
        group=RECIPE,
    )  # fmt: skip
    imatrix: str | None = setting(
        _FILE, None, "importance matrix (GGUF), which the quantizer weighs errors with",
        group=RECIPE,
    )  # fmt: skip
    allow_requantize: bool = setting(
        Switch(), False, "also quantize what is quantized already", group=RECIPE
    )
    scheme: str | None = setting(
        SchemePlace(), None,
        "a quantization scheme in Python or C, or MODULE:NAME, e.g. gguf.quants:Q4_0",
        group=RECIPE,
    )  # fmt: skip
    scheme_tensors: str | None = setting(
        Pattern(), None,
        "weights that the scheme takes", "all that are ever quantized", group=RECIPE,
    )  # fmt: skip
    fake_quant: bool = setting(
        Switch(), False, "of a scheme with kernels, too, store what it gives back, as floats",
        group=RECIPE,
    )  # fmt: skip

    @classmethod
    def of(cls, **settings: Any) -> Recipe:
        """A recipe of settings by name. Raises UsageError for one that is invalid or unknown."""
        entries = table(cls)
        refuse_unknown(settings, entries)
        made = cls(**{name: entries[name].check(value) for name, value in settings.items()})
        if made.scheme is None:
            for name in ("scheme_tensors", "fake_quant"):
                if getattr(made, name) != entries[name].default:
                    raise UsageError(f"{name}: there is no scheme")
            return replace(made, file_type=made.file_type or DEFAULT_FILE_TYPE)
        for name in _NEED_FILE_TYPE:
            if made.file_type is None and getattr(made, name) != entries[name].default:
                raise UsageError(
                    f"{name}: without a file_type, what the scheme does not take stays as it is"
                )
        return made

    def tensor_types(self) -> list[tuple[str, str]]:
        """The (pattern, type) pairs in the order in which they count; patterns in lower case.

        Raises:
            UsageError: the file of patterns cannot be read, or holds something else.
        """
        texts = list(self.tensor_type)
        if self.tensor_type_file is not None:
            texts += _read_patterns(Path(self.tensor_type_file))
        pairs = map(Override.split, texts)
        return [(pattern.lower(), type_) for pattern, type_ in pairs]

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_json`; as `of`."""
        return cls.of(**{name: value for name, value in values.items() if value is not None})


def _read_patterns(path: Path) -> list[str]:
    try:
        texts = read_input_text(path, _MOST_FILE_BYTES).split()
    except ValueError as error:
        raise UsageError(f"tensor_type_file: {error}") from None
    kind = Override("TYPE")
    try:
        kind.check_together(tuple(map(kind.check, texts)))
    except ValueError as error:
        raise UsageError(f"tensor_type_file: {path}: {error}") from None
    return texts
