"""A capture in a worker process, so that nothing that llama.cpp does can end the caller's."""

from __future__ import annotations

import collections
import contextlib
import json
import os
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .. import errors
from ..children.child import GRACE_SECONDS, explain_end, started, wait
from ..children.protocol import CEILINGS_STAGE, EXIT_REPORTED, OnProgress, Progress
from ..errors import EngineError, ProfileFormatError, SlmprofError
from ..settings.capture import CaptureConfig

if TYPE_CHECKING:
    from ..profiles.data import Profile

_LOG_LINES = 40
_LONGEST_WAIT = threading.TIMEOUT_MAX / 4


def profile(
    model: str | os.PathLike[str], *, on_progress: OnProgress | None = None, **settings: Any
) -> Profile:
    """Measures prefill and decode of a model in a worker process.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        on_progress: called with a Progress as the run goes on.
        settings: further fields of `slmprof.settings.capture.CaptureConfig`: n_prompt, n_gen,
            n_depth, n_ctx, n_batch, n_ubatch, threads, flash_attn, type_k, type_v,
            override_tensor, mmap, repack, repeats, prompt_file, seed, timeout, events.

    Raises:
        UsageError: a setting that cannot be meant; ModelError: the model is unusable;
        EngineError: llama.cpp refused or died (`log_lines`, and in `profile` what complete
        repeats gave); CaptureError: the measurement could not be made here.
    """
    config = CaptureConfig.from_json({"model": os.fspath(model), **settings})
    return profile_in_worker(config, on_progress or (lambda _: None))


def profile_in_worker(config: CaptureConfig, on_progress: OnProgress) -> Profile:
    """As `profile`, from a configuration."""
    from ..profiles.assemble import assemble
    from ..profiles.file import load

    with tempfile.TemporaryDirectory(prefix="slmprof-") as folder:
        output = Path(folder) / "profile.slmprof"
        try:
            _run_worker(config, folder, output, on_progress)
            return load(output)
        except EngineError as error:
            # What was measured before is not lost when it forms complete repeats.
            with contextlib.suppress(ProfileFormatError, OSError):
                partial = assemble(folder, error=str(error))
                if partial.meta.run["n_repeats_done"]:
                    error.profile = partial
            raise


def _run_worker(config: CaptureConfig, folder: str, output: Path, on_progress: OnProgress) -> None:
    # Threads wait for some hundred years at most; more is no limit.
    seconds = None if config.timeout is None else min(config.timeout, _LONGEST_WAIT)
    deadline = None if seconds is None else time.monotonic() + seconds
    with started("slmprof.capture.worker", folder, str(output)) as worker:
        assert worker.stdin and worker.stdout and worker.stderr
        messages: queue.Queue[dict[str, Any] | None] = queue.Queue()
        log: collections.deque[str] = collections.deque(maxlen=_LOG_LINES)
        readers = [
            threading.Thread(target=_read_messages, args=(worker.stdout, messages), daemon=True),
            threading.Thread(target=_read_log, args=(worker.stderr, log), daemon=True),
        ]
        for reader in readers:
            reader.start()
        # The pipe stays open: its end tells the worker that we are gone.
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.write(json.dumps(config.to_json()) + "\n")
            worker.stdin.flush()

        stage = "starting"
        reported: dict[str, Any] | None = None
        while True:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                message = messages.get(timeout=left)
            except queue.Empty:
                raise EngineError(
                    f"not done after {config.timeout:g} s (--timeout), while {stage}",
                    log_lines=tuple(log),
                ) from None
            if message is None:
                break
            if "progress" in message:
                progress = Progress(*message["progress"])
                stage = progress.stage
                if stage.startswith(CEILINGS_STAGE) and seconds is not None:
                    # What is measured once for all runs is not taken from this one's time.
                    deadline = time.monotonic() + seconds
                on_progress(progress)
            reported = message.get("error", reported)
        status = wait(worker)
        readers[1].join(GRACE_SECONDS)
        if status != 0:
            raise _worker_error(status, reported, tuple(log), stage)


def _read_messages(stream: IO[str], messages: queue.Queue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(ValueError):  # the stream was closed under us
        for line in stream:
            with contextlib.suppress(json.JSONDecodeError):
                messages.put(json.loads(line))
    messages.put(None)


def _read_log(stream: IO[str], log: collections.deque[str]) -> None:
    with contextlib.suppress(ValueError):
        for line in stream:
            if line.strip():
                log.append(line.rstrip())


def _worker_error(
    status: int, reported: dict[str, Any] | None, log: tuple[str, ...], stage: str
) -> SlmprofError:
    if status == EXIT_REPORTED and reported is not None:
        kind = getattr(errors, reported["type"], EngineError)
        if issubclass(kind, EngineError):
            return EngineError(reported["message"], log_lines=tuple(reported["log_lines"]) or log)
        error: SlmprofError = kind(reported["message"])
        return error
    return EngineError(explain_end("runs llama.cpp", status, log, stage), log_lines=log)
