"""From a description to a GGUF file: which tensors, of which types, then the writing.

`plan_model` needs llama.cpp's quantizer but writes nothing; `synthesize` writes what is planned.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..analysis.verdicts.fallbacks import fallbacks_of, named_type
from ..errors import ModelError, UsageError
from ..profiles.records.fallbacks import Fallbacks, StoredWeight, find_fallbacks
from ..settings.arguments import takes
from ..settings.dimensions import Dimensions, MetadataValue
from ..settings.kinds import MAX_SEED, File, Pairs, Switch, Text, Whole
from ..settings.model_source import CONFIG, ModelSource, Source
from ..settings.patterns import check_patterns
from .architectures import Fill, TensorSpec, architecture_of, list_metadata, list_tensors
from .configs.file import read_config
from .ggml_types import weight_types
from .presets import find_preset

DEFAULT_FILE_TYPE = "Q4_K_M"

# Part of a plan's digest: raise it when the same description gives other bytes.
_CONTENT_VERSION = 2
_DIGEST_KEY = "slmprof.plan"

# Of all types that weights can have.
_LARGEST_BLOCK = 256
_QUANTIZATION_VERSION = 2  # GGML_QNT_VERSION, which llama-quantize writes

TensorTypes = Sequence[tuple[str, str]]
"""(pattern, type) pairs: the first regular expression that finds a tensor's name gives its type."""


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor of a file: shape in ggml's order, ggml's name of the type, size of the data."""

    name: str
    shape: tuple[int, ...]
    type: str
    fill: Fill
    size_bytes: int


@dataclass(frozen=True)
class ModelPlan:
    """Everything that a GGUF file of this model holds, except the random numbers.

    `fallbacks` are the tensors whose rows the type does not hold that the file type asks for.
    `digest` is a sha256 of every key and every tensor with its type; the metadata have it, too.
    """

    dimensions: Dimensions
    file_type: str
    seed: int
    metadata: tuple[tuple[str, MetadataValue], ...]
    tensors: tuple[PlannedTensor, ...]
    digest: str
    fallbacks: Fallbacks | None = None

    @property
    def n_params(self) -> int:
        """Elements of all tensors, as llama.cpp counts them."""
        return sum(math.prod(tensor.shape) for tensor in self.tensors)

    @property
    def size_bytes(self) -> int:
        """Bytes of all tensors, as llama.cpp counts them (without the file's header)."""
        return sum(tensor.size_bytes for tensor in self.tensors)


def find_dimensions(source: Source) -> Dimensions:
    """The dimensions behind a source. Raises ModelError where it has none."""
    found = ModelSource.described(source)
    if found.dimensions is not None:
        return found.dimensions
    if found.kind == CONFIG:
        return read_config(found.path).dimensions
    return find_preset(found.name).dimensions


def ignored_keys(source: Source) -> tuple[str, ...]:
    """Keys of a source's `config.json` that nothing follows from; none of another source.

    Raises:
        ModelError: as `find_dimensions`.
    """
    found = ModelSource.described(source)
    return read_config(found.path).ignored if found.kind == CONFIG else ()


def check_file_type(file_type: str) -> str:
    """llama.cpp's spelling of a file type ("q4_k" gives "Q4_K_M"). Raises UsageError."""
    from .. import _core

    try:
        number = _core.synth_file_type_number(file_type)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return next(name for name, known in _core.synth_file_types().items() if known == number)


def plan_model(
    dimensions: Dimensions,
    file_type: str = DEFAULT_FILE_TYPE,
    seed: int = 0,
    *,
    tensor_types: TensorTypes = (),
) -> ModelPlan:
    """What a file of this model would hold, each tensor in the type llama-quantize would choose.

    Args:
        tensor_types: (pattern, type) pairs that win over that choice, as with llama-quantize's
            `--tensor-type`: the first regular expression (of C++'s ECMAScript grammar) that finds a
            tensor's name counts. Tensors that are never quantized (norms, biases) stay as they are.

    Raises:
        ModelError: dimensions that no model can have.
        UsageError: an unknown file type, or a pattern that cannot be followed to the letter: no
            regular expression, or one that could take for ever to match, no such type, a name that
            no tensor has, rows that do not divide into the type's blocks.
    """
    from .. import _core

    if not 0 <= seed <= MAX_SEED:
        raise UsageError(f"the seed must lie between 0 and {MAX_SEED}, not {seed}")
    file_type = check_file_type(file_type)
    try:
        check_patterns(pattern for pattern, _ in tensor_types)
    except ValueError as error:
        raise UsageError(f"tensor types of {dimensions.name}: {error}") from None
    architecture_of(dimensions)
    specs = list_tensors(dimensions)
    try:
        types = _choose_types(dimensions, file_type, specs)
        if tensor_types:
            # What is wrong from here on is wrong with the patterns.
            try:
                types = _choose_types(dimensions, file_type, specs, tensor_types)
            except ValueError as error:
                raise UsageError(f"tensor types of {dimensions.name}: {error}") from None
        tensors = tuple(
            PlannedTensor(
                spec.name, spec.shape, type_, spec.fill, _core.tensor_size_bytes(type_, spec.shape)
            )
            for spec, type_ in zip(specs, types, strict=True)
        )
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{dimensions.name} cannot be written as {file_type}: {error}") from None
    metadata: tuple[tuple[str, MetadataValue], ...] = (
        *list_metadata(dimensions),
        ("general.quantization_version", _QUANTIZATION_VERSION),
        ("general.file_type", _core.synth_file_types()[file_type]),
        # Whoever opens the file must be able to see that its numbers mean nothing.
        ("slmprof.synthetic", True),
        ("slmprof.seed", str(seed)),
    )
    # Neither an edited configuration nor another llama.cpp is answered with an older file.
    content = repr((_CONTENT_VERSION, metadata, tensors))
    digest = hashlib.sha256(content.encode()).hexdigest()
    metadata = (*metadata, (_DIGEST_KEY, digest))
    plan = ModelPlan(dimensions, file_type, seed, metadata, tensors, digest)
    return replace(plan, fallbacks=_find_fallbacks(plan, specs, tensor_types))


def _find_fallbacks(
    plan: ModelPlan, specs: Sequence[TensorSpec], patterns: TensorTypes
) -> Fallbacks | None:
    """What the quantizer would have chosen if every row divided, beside what it chose.

    Without patterns it is what everyone else can tell who has the file alone.
    """
    from .. import _core

    if all(spec.shape[0] % _LARGEST_BLOCK == 0 for spec in specs if len(spec.shape) > 1):
        return None
    types = weight_types()
    if not patterns and named_type(plan.file_type, types) is not None:
        stored = [(tensor.type, tensor.shape, tensor.size_bytes) for tensor in plan.tensors]
        return fallbacks_of(stored, plan.file_type, types, plan.n_params, plan.size_bytes)
    longer = [
        replace(spec, shape=(-(-spec.shape[0] // _LARGEST_BLOCK) * _LARGEST_BLOCK, *spec.shape[1:]))
        for spec in specs
    ]
    asked_types = _choose_types(plan.dimensions, plan.file_type, longer, patterns)
    weights = []
    for asked, padded, tensor in zip(asked_types, longer, plan.tensors, strict=True):
        row = tensor.shape[0]
        asked_bytes = _core.tensor_size_bytes(asked, padded.shape) * row // padded.shape[0]
        weights.append(StoredWeight(asked, tensor.type, row, tensor.size_bytes, asked_bytes))
    return find_fallbacks(weights, plan.file_type, len(weights), plan.n_params, plan.size_bytes)


def plan_source(
    source: Source, file_type: str | None = None, seed: int = 0, *, tensor_types: TensorTypes = ()
) -> ModelPlan:
    """As `plan_model`, of a source; None is the type behind its `@`, or Q4_K_M."""
    found = ModelSource.described(source).refuse_scheme()
    named = file_type or found.file_type or DEFAULT_FILE_TYPE
    return plan_model(find_dimensions(found), named, seed, tensor_types=tensor_types)


def _choose_types(
    d: Dimensions, file_type: str, specs: Sequence[TensorSpec], patterns: TensorTypes = ()
) -> list[str]:
    from .. import _core

    return _core.choose_tensor_types(
        d.architecture, file_type, [(spec.name, spec.shape) for spec in specs],
        n_embd=d.n_embd, n_ff=d.n_ff_of(0), n_layer=d.n_layer, n_head=max(d.n_head_of(0), 1),
        n_head_kv=d.n_head_kv_of(0), n_expert=d.n_expert, head_dim=d.head_length,
        patterns=patterns,
    )  # fmt: skip


def plan_header(plan: ModelPlan) -> tuple[bytes, int]:
    """What a planned model's file begins with, and how many bytes the whole file has."""
    from .. import _core

    tensors = [(tensor.name, tensor.shape, tensor.type) for tensor in plan.tensors]
    return _core.gguf_header(list(plan.metadata), tensors)


def write_plan(plan: ModelPlan, path: Path) -> None:
    """Writes a planned model; the file appears whole or not at all. Raises OSError."""
    from .. import _core

    _core.write_random_gguf(
        os.fsencode(path),
        list(plan.metadata),
        [(tensor.name, tensor.shape, tensor.type, tensor.fill) for tensor in plan.tensors],
        seed=plan.seed,
    )


@takes(
    path=File(),
    file_type=Text("TYPE", "the name of a type"),
    seed=Whole(0, MAX_SEED),
    overwrite=Switch(),
    tensor_types=Pairs("a pattern and a type"),
)
def synthesize(
    source: Source,
    path: str | os.PathLike[str],
    *,
    file_type: str | None = None,
    seed: int = 0,
    overwrite: bool = True,
    tensor_types: TensorTypes = (),
) -> Path:
    """Writes a GGUF with random weights and returns its path.

    Args:
        source: a preset's name, the path of a Hugging Face `config.json`, or `Dimensions`.
        path: the file to write. It appears whole or not at all.
        file_type: as llama-quantize calls it, and each tensor in the type it would choose; None for
            the one behind the source's `@`, or Q4_K_M.
        seed: of the random weights; the same seed gives the same file on the same build.
        overwrite: replace an existing file instead of raising UsageError.
        tensor_types: (pattern, type) pairs that win over that choice; see `plan_model`.

    Raises:
        ModelError: unknown preset, unusable configuration or dimensions.
        UsageError: unknown file type, patterns that cannot be followed, or a path that cannot be
            written.
    """
    plan = plan_source(source, file_type, seed, tensor_types=tensor_types)
    return write_plan_to(plan, path, overwrite=overwrite)


def write_plan_to(plan: ModelPlan, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Like `write_plan`, with every way the path can be wrong as a UsageError."""
    target = Path(path)
    try:
        # A link is followed, so that it is the file behind it that is replaced.
        real = Path(os.path.realpath(target))
        if real.is_dir():
            raise UsageError(f"cannot write {target}: it is a directory; name a file")
        if real.exists() and not real.is_file():
            raise UsageError(f"cannot write {target}: it is not a regular file")
        if real.exists() and not overwrite:
            raise UsageError(f"cannot write {target}: it exists already")
        if not real.parent.is_dir():
            raise UsageError(f"cannot write {target}: there is no directory {real.parent}")
        write_plan(plan, real)
    except (OSError, ValueError, MemoryError) as error:
        cause = getattr(error, "strerror", None) or str(error) or "not enough memory"
        needed_mib = plan.size_bytes / 2**20
        raise UsageError(
            f"cannot write {str(target)!r}: {cause} ({needed_mib:.0f} MiB needed)"
        ) from error
    return target
