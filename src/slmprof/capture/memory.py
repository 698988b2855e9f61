"""Planned memory: what a model would take, without reading its weights or running it.

A child process asks llama.cpp's planner, so that nothing that it does can end the caller's.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any

from .. import errors
from ..errors import EngineError, SlmprofError, UsageError
from .child import explain_end, started, wait
from .memory_request import MemoryRequest
from .protocol import EXIT_REPORTED, OnProgress, Progress

if TYPE_CHECKING:
    import pandas as pd

    from ..memory_plans.records import MemoryReport

VIEWS = ("total", "buffer", "layer", "tensor", "peak")
_WORKER = "slmprof.capture.memory_worker"
_LOG_LINES = 40
_WHAT = "plans memory"


def memory(model: str | os.PathLike[str], *, by: str = "buffer", **settings: Any) -> pd.DataFrame:
    """What a model takes in memory, by llama.cpp's own planner; no weight is read.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        by: what a row is: `total` (a setting; with `fit_bytes` a context found), `buffer` (device,
            buffer_type, kind, size_bytes), `layer` (layer, which is null outside the layers,
            weights_bytes, kv_bytes, recurrent_bytes), `tensor` (each weight and each tensor of a
            cache), or `peak` (each tensor in the compute buffer when it is fullest, by phase).
        settings: further fields of `slmprof.capture.memory_request.MemoryRequest`, each a value or
            a sequence of values: n_ctx (`max` for the trained context), n_seq_max, n_batch,
            n_ubatch, n_outputs_max, flash_attn, type_k, type_v, swa_full, mmap, repack, file_type;
            and threads, override_tensor, fit_bytes. Every combination is planned.

    Returns:
        pandas.DataFrame; the settings stand in the first columns, sizes are bytes. Settings that
        llama.cpp does not allow are left out, with a warning, if others are possible.

    Raises:
        UsageError: a setting that cannot be meant, or that llama.cpp does not allow;
        ModelError: the model is unusable; EngineError: llama.cpp died.
    """
    if by not in VIEWS:
        raise UsageError(f"by is {by!r}, not one of {', '.join(VIEWS)}")
    request = MemoryRequest.from_json(
        {
            "model": os.fspath(model),
            **settings,
            "details": by == "peak",
            "tensors": by == "tensor",
        }
    )
    with planning(request) as plan:
        import pandas as pd

        from ..memory_plans.rows import view_rows

        report = plan.result()
    names, rows = view_rows(report, by)
    table: pd.DataFrame = pd.DataFrame(rows, columns=names)
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
    request = MemoryRequest.from_json({"model": os.fspath(model), **settings})
    with planning(request) as plan:
        return plan.result(on_progress)


@contextlib.contextmanager
def planning(request: MemoryRequest) -> Iterator[Planning]:
    """Starts the child process, which plans while the caller does something else."""
    with (
        tempfile.TemporaryDirectory(prefix="slmprof-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as log,
        started(_WORKER, stderr=log) as child,
    ):
        # The pipe stays open: its end tells the child that we are gone.
        with contextlib.suppress(BrokenPipeError):
            assert child.stdin
            child.stdin.write(json.dumps({"request": request.to_json(), "folder": folder}) + "\n")
            child.stdin.flush()
        yield Planning(child, log)


class Planning:
    """A report in the making."""

    def __init__(self, child: subprocess.Popen[str], log: IO[bytes]) -> None:
        self._child = child
        self._log = log

    def result(self, on_progress: OnProgress | None = None) -> MemoryReport:
        """Waits for the report.

        Raises:
            UsageError, ModelError, EngineError: as `plan_memory`.
        """
        from ..memory_plans.records import report_from_json

        assert self._child.stdout
        stage = "starting"
        result: dict[str, Any] | None = None
        reported: dict[str, Any] | None = None
        for line in self._child.stdout:
            message = _message(line)
            if "progress" in message:
                progress = Progress(*message["progress"])
                stage = progress.stage
                if on_progress is not None:
                    on_progress(progress)
            result = message.get("result", result)
            reported = message.get("error", reported)
        status = wait(self._child)
        if status != 0 or result is None:
            raise _child_error(status, reported, _last_lines(self._log), stage)
        return report_from_json(result)


def _message(line: str) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except json.JSONDecodeError:
        return {}
    return message if isinstance(message, dict) else {}


def _last_lines(log: IO[bytes]) -> tuple[str, ...]:
    log.seek(0)
    lines = (line.decode("utf-8", "replace").rstrip() for line in log)
    return tuple(collections.deque((line for line in lines if line), maxlen=_LOG_LINES))


def _child_error(
    status: int, reported: dict[str, Any] | None, log: Sequence[str], stage: str
) -> SlmprofError:
    if status == EXIT_REPORTED and reported is not None:
        kind = getattr(errors, str(reported.get("type")), EngineError)
        message = str(reported.get("message"))
        if kind is EngineError:
            return EngineError(message, log_lines=tuple(reported.get("log_lines") or log))
        error: SlmprofError = kind(message)
        return error
    return EngineError(explain_end(_WHAT, status, log, stage), log_lines=tuple(log))
