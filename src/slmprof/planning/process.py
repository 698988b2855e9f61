"""Planned memory: what a model would take, without reading its weights or running it.

A child process asks llama.cpp's planner, so that nothing that it does can end the caller's.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..children.protocol import OnProgress
from ..children.question import Answer, ChildDiedError, asked
from ..models.resolve import check_source
from ..profiles.vocabulary import MEMORY_VIEWS
from ..settings.arguments import takes
from ..settings.kinds import Callback, Word
from ..settings.model_source import ModelName
from ..settings.planning import MemoryRequest
from ..settings.table import ALL

if TYPE_CHECKING:
    import pandas as pd
    from typing_extensions import Unpack

    from ..settings.keywords import PlanKeywords
    from .records import MemoryReport

_WORKER = "slmprof.planning.worker"


@takes(model=ModelName(), by=Word(*MEMORY_VIEWS))
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
        # Over what checks the arguments, too.
        warnings.warn(f"a setting is left out: {refusal.told(report.varying)}", stacklevel=3)
    return table


@takes(model=ModelName(), on_progress=Callback())
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
    with _asked(request, []) as answer:
        yield Planning(request, answer)


def _asked(request: MemoryRequest, known: Sequence[Any]) -> AbstractContextManager[Answer]:
    question = {"request": request.to_json(), "known": known}
    return asked(_WORKER, question, "plans memory", timeout=request.timeout)


@dataclass
class Planning:
    """A report in the making."""

    request: MemoryRequest
    answer: Answer

    def result(self, on_progress: OnProgress | None = None) -> MemoryReport:
        """Waits for the report. Raises what `plan_memory` raises.

        Of a grid's point that llama.cpp dies of, that is a refusal.
        """
        # Loaded while the child is still at work.
        from ..profiles.records.decoding import decode
        from .points import Found
        from .records import MemoryReport

        found, answer = Found(), self.answer
        with contextlib.ExitStack() as children:
            while True:
                try:
                    report = answer.wait(on_progress)
                    break
                except ChildDiedError as error:
                    found.take(answer.parts)
                    if self._is_one or not found.give_up(answer.parts, str(error)):
                        raise
                    again = children.enter_context(_asked(self.request, found.known))
                    again.share_time_of(answer)
                    answer = again
            found.take(answer.parts)
        return decode(MemoryReport, {**report, "settings": found.plans})

    @property
    def _is_one(self) -> bool:
        """Whether there is nothing to plan beside the first point."""
        is_one = self.request.n_settings == 1 and ALL not in self.request.grid["file_type"]
        return is_one and self.request.fit_bytes is None
