"""The worker process: runs one capture and spools it, chunk by chunk, for the parent.

`python -m slmprof.capture.worker SPOOL OUTPUT`. Standard input carries the configuration as one
line of JSON and stays open: when it ends, the parent is gone and the worker goes too. Standard
output carries one JSON object a line: {"progress": …}, {"error": …} or {"done": true}.
Whatever llama.cpp prints goes to standard error.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import IO, Any, NoReturn

from ..children.protocol import CEILINGS_STAGE, EXIT_REPORTED, Progress
from ..errors import EngineError, SlmprofError
from ..machine.environment import limit_memory
from ..settings.capture import CaptureConfig


def _leave(spool: str) -> NoReturn:
    """Ends this process after its parent, which could not clear up what it had made for us."""
    # The measurement goes on meanwhile and may write one more chunk between two tries.
    for _ in range(10):
        shutil.rmtree(spool, ignore_errors=True)
        if not Path(spool).exists():
            break
    os._exit(1)


def _leave_with_parent(spool: str) -> None:
    """Ends this process when standard input does: its other end is the parent's."""
    while sys.stdin.buffer.read(1):
        pass
    _leave(spool)


def _claim_stdout() -> IO[str]:
    """The channel to the parent; what native code prints to stdout goes to stderr from now on."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return channel


def run(config: CaptureConfig, spool: str, output: str, channel: IO[str]) -> None:
    """One capture into `spool`, and at its end the profile file `output`."""
    from ..machine.ceilings import ceilings_of_run
    from ..machine.environment import LoadMeter, rss_peak_bytes
    from ..models.resolve import resolve_model
    from ..profiles.assemble import assemble, write_chunk, write_header
    from .passes import Passes
    from .session import Session

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")

    def on_progress(progress: Progress) -> None:
        send(progress=[progress.stage, progress.done, progress.total])

    def on_ceilings(progress: Progress) -> None:
        stage = f"{CEILINGS_STAGE} ({progress.stage})"
        send(progress=[stage, progress.done, progress.total])

    # A model that is not there is told at once, not when the ceilings have been measured.
    resolve_model(config.model, seed=config.seed)
    found, doubts = ceilings_of_run(config.ceilings, config.n_threads, on_ceilings)
    total = 2 * config.repeats * len(config.n_depths) + 1
    on_progress(Progress("loading", 0, total))
    with Session.from_config(config) as session:
        session.ceilings = found
        passes = Passes(session, on_progress)
        meter: LoadMeter | None = None
        for number, chunk in enumerate(passes):
            write_chunk(spool, number, chunk)
            header = session.header(n_repeats=config.repeats, events=passes.events)
            header["run"]["warmup"] = passes.warmup
            header["config"]["n_prompt"] = len(passes.prompt)
            header["config"]["n_gen"] = len(passes.generated)
            header["config"]["events"] = passes.events
            header["environment"]["warnings"] += doubts
            header["memory"]["rss_peak_bytes"] = rss_peak_bytes()
            if meter is None:
                meter = LoadMeter()  # the warm-up is over
            else:
                header["environment"]["warnings"] += meter.warnings()
            write_header(spool, header)
    assemble(spool).save(output)
    send(done=True)


def main() -> int:
    """Entry of the process."""
    spool, output = sys.argv[1:]
    os.environ.setdefault("SLMPROF_LOG", "stderr")
    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    channel = _claim_stdout()
    limit_memory()
    config = CaptureConfig.from_json(json.loads(sys.stdin.buffer.readline()))
    threading.Thread(target=_leave_with_parent, args=(spool,), daemon=True).start()
    try:
        run(config, spool, output, channel)
    except SlmprofError as error:
        lines = error.log_lines if isinstance(error, EngineError) else ()
        report = {"type": type(error).__name__, "message": str(error), "log_lines": list(lines)}
        channel.write(json.dumps({"error": report}) + "\n")
        return EXIT_REPORTED
    except MemoryError:
        report = {"type": "EngineError", "message": "out of memory", "log_lines": []}
        channel.write(json.dumps({"error": report}) + "\n")
        return EXIT_REPORTED
    except BrokenPipeError:
        _leave(spool)  # nobody reads what we say
    except OSError as error:
        if not Path(spool).exists():
            _leave(spool)  # the other thread is about to
        message = f"cannot write what was measured: {error.strerror or error}"
        report = {"type": "CaptureError", "message": message, "log_lines": []}
        channel.write(json.dumps({"error": report}) + "\n")
        return EXIT_REPORTED
    except Exception as error:
        if os.environ.get("SLMPROF_DEBUG"):
            raise
        message = f"unexpected {type(error).__name__} in the worker: {error}"
        report = {"type": "CaptureError", "message": message, "log_lines": []}
        channel.write(json.dumps({"error": report}) + "\n")
        return EXIT_REPORTED
    return 0


if __name__ == "__main__":
    # Not sys.exit: the thread that reads standard input would hold up the interpreter's end.
    status = main()
    sys.stderr.flush()
    os._exit(status)
