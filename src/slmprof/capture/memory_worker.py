"""The process that plans memory: `python -m slmprof.capture.memory_worker`.

Standard input carries {"request": …, "folder": …} as one line of JSON and stays open: when it ends,
the parent is gone and this process goes too. Standard output carries one JSON object a line:
{"progress": …}, {"error": …} or {"result": the report}. llama.cpp's messages go to standard error.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import EngineError, SlmprofError
from .environment import limit_memory
from .memory_request import MemoryRequest
from .protocol import EXIT_REPORTED, Progress


def _leave_with_parent() -> None:
    """Ends this process when standard input does: its other end is the parent's."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(1)


def main() -> int:
    """Entry of the process."""
    # A backtrace would start a debugger, which may hang; the last log lines say enough.
    os.environ.setdefault("GGML_NO_BACKTRACE", "1")
    # What native code prints to stdout goes to stderr from now on.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    limit_memory()

    def send(**message: Any) -> None:
        channel.write(json.dumps(message) + "\n")
        channel.flush()

    def on_progress(progress: Progress) -> None:
        send(progress=[progress.stage, progress.done, progress.total])

    from .. import _core
    from .memory_report import make_report

    try:
        # All that is slow to load is loaded; the request may come meanwhile.
        asked = json.loads(sys.stdin.buffer.readline())
        threading.Thread(target=_leave_with_parent, daemon=True).start()
        _core.log_to_stderr(True)
        request = MemoryRequest.from_json(asked["request"])
        send(result=asdict(make_report(request, Path(asked["folder"]), on_progress)))
        return 0
    except BrokenPipeError:
        return 1  # nobody reads what we say
    except SlmprofError as error:
        lines = error.log_lines if isinstance(error, EngineError) else ()
        name = type(error).__name__
        send(error={"type": name, "message": str(error), "log_lines": list(lines)})
    except MemoryError:
        send(error={"type": "EngineError", "message": "out of memory", "log_lines": []})
    except Exception as error:
        if os.environ.get("SLMPROF_DEBUG"):
            raise
        message = f"cannot plan the memory: {type(error).__name__}: {error}"
        send(error={"type": "CaptureError", "message": message, "log_lines": []})
    return EXIT_REPORTED


if __name__ == "__main__":
    # Not sys.exit: the thread that reads standard input would hold up the interpreter's end.
    status = main()
    sys.stderr.flush()
    os._exit(status)
