"""Writes a model whose tensors are quantized one by one, some by a user's scheme."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..children.native_errors import guarded
from ..children.protocol import OnProgress, Progress
from ..errors import ModelError, SchemeError
from ..input_file import open_input
from .importance import Imatrix
from .records import QuantizationPlan, SchemeInfo
from .schemes.loaded import LoadedScheme, PackingScheme
from .slabs import SLAB, read_range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .. import _core

# Of a scheme that has to see whole matrices, larger ones wait for each other.
_LARGE = 1 << 24


@dataclass(frozen=True)
class _Slab:
    """Rows of one matrix of a tensor; `matrix` counts those of a tensor of experts."""

    tensor: _core.MovedTensor
    matrix: int
    first_row: int
    n_rows: int
    type: str


def assemble(
    source: Path,
    target: Path,
    plan: QuantizationPlan,
    scheme: LoadedScheme,
    imatrix: Imatrix | None,
    n_threads: int,
    on_progress: OnProgress,
) -> None:
    """Writes the file of a plan, as it goes along: what fails leaves part of a file behind.

    Raises:
        ModelError: the source is unusable. SchemeError: the scheme failed. OSError.
    """
    layout = guarded(source, lambda: write_outline(source, target, plan, scheme.info, imatrix))
    types = {one.tensor: one.type for one in plan.tensors}
    slabs = [slab for one in layout["tensors"] for slab in _slabs(one, types, scheme)]
    with contextlib.ExitStack() as files:
        parts = [files.enter_context(open_input(part)) for part in layout["parts"]]
        file = files.enter_context(target.open("r+b"))
        packed = frozenset(one.tensor for one in plan.tensors if one.is_packed)
        work = _Assembly([part.fileno() for part in parts], file.fileno(), scheme, packed, imatrix)
        _run(work, slabs, n_threads, on_progress)


def write_outline(
    source: Path, target: Path, plan: QuantizationPlan, scheme: SchemeInfo, imatrix: Imatrix | None
) -> _core.RetypedFile:
    """The header of the file of a plan, and a hole where its data belongs.

    Returns:
        Where the data of each tensor comes from and goes to.

    Raises:
        OSError. Besides what the native library raises.
    """
    from .. import _core

    return _core.write_retyped_outline(
        os.fsencode(source),
        os.fsencode(target),
        types={one.tensor: one.stored for one in plan.tensors},
        row_bytes={one.tensor: one.row_bytes for one in plan.tensors if one.is_packed},
        notes=[*scheme.metadata(plan.tensors), *_file_type(plan, imatrix)],
    )


def _file_type(plan: QuantizationPlan, imatrix: Imatrix | None) -> list[tuple[str, int]]:
    from .. import _core

    # Of weights that stay as they are the source's number may be wrong, as they are not alone.
    name = plan.recipe.get("file_type") or "F32"
    number = _core.synth_file_type_number(name, has_imatrix=imatrix is not None)
    return [("general.file_type", number)]


def _run(work: _Assembly, slabs: Sequence[_Slab], n_threads: int, on_progress: OnProgress) -> None:
    done = 0
    with ThreadPoolExecutor(n_threads) as pool:
        futures = {pool.submit(work.convert, slab) for slab in slabs}
        try:
            while futures:
                on_progress(Progress("quantizing", done, len(slabs)))
                ended, futures = wait(futures, timeout=1.0, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
                done += len(ended)
        finally:
            for future in futures:
                future.cancel()


def _slabs(
    tensor: _core.MovedTensor, types: dict[str, str], scheme: LoadedScheme
) -> Iterator[_Slab]:
    row, *more = tensor["shape"]
    n_rows = more[0] if more else 1
    n_matrices = 1
    for n in more[1:]:
        n_matrices *= n
    type_ = types[tensor["tensor"]]
    whole = type_ == scheme.info.type and scheme.whole_tensors
    step = n_rows if whole else max(1, SLAB // row)
    for matrix in range(n_matrices):
        for first in range(0, n_rows, step):
            yield _Slab(tensor, matrix, first, min(step, n_rows - first), type_)


class _Assembly:
    """Converts slabs from file to file, in any order and by several threads."""

    def __init__(
        self,
        parts: list[int],
        target: int,
        scheme: LoadedScheme,
        packed: frozenset[str],
        imatrix: Imatrix | None,
    ) -> None:
        self._parts, self._target = parts, target
        self._scheme, self._packed = scheme, packed
        self._weights = imatrix.weights if imatrix is not None else {}
        self._large = threading.Lock()

    def convert(self, slab: _Slab) -> None:
        tensor = slab.tensor
        n_all = 1
        for n in tensor["shape"][1:]:
            n_all *= n
        at = slab.matrix * (tensor["shape"][1] if len(tensor["shape"]) > 1 else 1) + slab.first_row
        source_row, stored_row = (tensor[key] // n_all for key in ("source_bytes", "stored_bytes"))
        is_large = slab.n_rows * tensor["shape"][0] > _LARGE
        with self._large if is_large else contextlib.nullcontext():
            data = read_range(
                self._parts[tensor["part"]],
                tensor["source_begin"] + at * source_row,
                slab.n_rows * source_row,
                tensor["tensor"],
            )
            if slab.type != tensor["source"]:
                data = self._converted(slab, data)
            _write(self._target, data, tensor["begin"] + at * stored_row)

    def _converted(self, slab: _Slab, data: bytes) -> Any:
        import numpy as np

        from .. import _core

        tensor = slab.tensor
        row = tensor["shape"][0]
        values = _core.unpack_rows(tensor["source"], np.frombuffer(data, np.uint8), row)
        weights = self._weights.get(tensor["tensor"])
        importance = None
        if weights is not None and weights.shape[-1] == row:
            importance = weights[slab.matrix % len(weights)]
        if slab.type != self._scheme.info.type:
            return _core.pack_rows(slab.type, values, importance).data
        if tensor["tensor"] in self._packed:
            assert isinstance(self._scheme, PackingScheme)
            return np.ascontiguousarray(self._scheme.pack(values, importance)).data
        found = self._scheme.give_back(values, importance)
        _check_finite(found, data, slab, self._scheme.info.name)
        return np.ascontiguousarray(found).data


def _write(file: int, data: Any, begin: int) -> None:
    view = memoryview(data).cast("B")
    while view:
        n = os.pwrite(file, view, begin)
        view, begin = view[n:], begin + n


def _check_finite(found: NDArray[np.float32], data: bytes, slab: _Slab, scheme: str) -> None:
    import numpy as np

    from .. import _core

    if np.isfinite(found).all():
        return
    tensor = slab.tensor
    row = slab.first_row + int(np.argmin(np.isfinite(found).all(axis=1)))
    # The scheme may have written into what it was given.
    source = np.frombuffer(data, np.uint8)
    values = _core.unpack_rows(tensor["source"], source, tensor["shape"][0])
    if not np.isfinite(values).all():
        raise ModelError(f"{tensor['tensor']} of the source holds what is not finite")
    raise SchemeError(f"{scheme} gives back what is not finite: {tensor['tensor']}, row {row}")
