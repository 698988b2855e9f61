"""Planned memory: what a model would take, without reading its weights or running it.

A child process asks llama.cpp's planner, so that nothing that it does can end the caller's.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..children.protocol import OnProgress
from ..children.question import Answer, asked
from ..errors import UsageError
from ..models.resolve import check_source
from ..profiles.vocabulary import MEMORY_VIEWS
from ..settings.planning import MemoryRequest

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from ..settings.keywords import PlanKeywords
    from .records import MemoryReport

_WORKER = "slmprof.planning.worker"


def memory(
    model: str | os.PathLike[str], *, by: str = "buffer", **settings: Unpack[PlanKeywords]
) -> pd.DataFrame:
    """What a model takes in memory, by llama.cpp's own planner; no weight is read.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        by: what a row is: `total` (a setting; with `fit_bytes` a context found), `buffer` (device,
            buffer_type, kind, size_bytes), `layer` (layer, which is null outside the layers,
            weights_bytes, kv_bytes, recurrent_bytes), `tensor` (each weight and each tensor of a
            cache), or `peak` (each tensor in the compute buffer when it is fullest, by phase).
        settings: the other options of `slmprof memory --help`, by their names in
            `slmprof.settings.table`: `n_ctx`, `type_k`, `file_type`, `fit_bytes`, … A setting of
            the grid may be a sequence of values; every combination is planned.

    Returns:
        pandas.DataFrame in pandas' nullable dtypes, shapes as tuples; the settings stand in the
        first columns, sizes are bytes. Settings that llama.cpp does not allow are left out, with a
        warning, if others are possible.

    Raises:
        UsageError: an invalid setting, or that llama.cpp does not allow;
        ModelError: the model is unusable; EngineError: llama.cpp died, or the time was over.
    """
    if by not in MEMORY_VIEWS:
        raise UsageError(f"by is {by!r}, not one of {', '.join(MEMORY_VIEWS)}")
    request = MemoryRequest.of(
        model, **{**settings, "details": by == "peak", "tensors": by == "tensor"}
    )
    with planning(request) as plan:
        from ..analysis.tables.typed import typed_table
        from .rows import column_dtypes, view_rows

        report = plan.result()
    names, rows = view_rows(report, by)
    table = typed_table(rows, column_dtypes(names))
    for refusal in report.refusals:
        warnings.warn(f"a setting is left out: {refusal.message}", stacklevel=2)
    return table


def plan_memory(
    model: str | os.PathLike[str], *, on_progress: OnProgress | None = None, **settings: Any
) -> MemoryReport:
    """As `memory`, with everything that is known, as records.

    Settings that llama.cpp does not allow are in `refusals` if others are possible.

    Raises:
        UsageError, ModelError, EngineError: as `memory`.
    """
    request = MemoryRequest.of(model, **settings)
    with planning(request) as plan:
        return plan.result(on_progress)


@contextlib.contextmanager
def planning(request: MemoryRequest) -> Iterator[Planning]:
    """Starts the child process, which plans while the caller does something else.

    Raises:
        ModelError: MODEL is no file that it could read.
    """
    check_source(request.source)
    question, what = request.to_json(), "plans memory"
    with asked(_WORKER, question, what, timeout=request.timeout) as answer:
        yield Planning(answer)


@dataclass
class Planning:
    """A report in the making."""

    answer: Answer

    def result(self, on_progress: OnProgress | None = None) -> MemoryReport:
        """Waits for the report. Raises what `plan_memory` raises."""
        # Loaded while the child is still at work.
        from ..profiles.records.decoding import decode
        from .records import MemoryReport

        return decode(MemoryReport, self.answer.wait(on_progress))
