"""The worker process: runs one capture and spools it, chunk by chunk, for the parent.

`python -m slmprof.capture.worker`. Its question is a CaptureConfig; its answer is in the folder.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..children.protocol import OnProgress, Progress
from ..children.serving import serve
from ..settings.capture import CaptureConfig


def run(question: dict[str, Any], spool: str, on_progress: OnProgress) -> dict[str, Any]:
    """One capture into `spool`."""
    from ..children.memory import rss_peak_bytes
    from ..machine.ceilings import ceilings_of_run
    from ..machine.environment import LoadMeter
    from ..models.resolve import resolve_model
    from ..profiles.assemble import write_chunk, write_header
    from .passes import Passes
    from .session import Session

    def on_ceilings(progress: Progress) -> None:
        # What is measured once for all runs is not taken from this one's time.
        stage = f"measuring what this machine can do ({progress.stage})"
        on_progress(replace(progress, stage=stage, is_timed=False))

    os.environ.setdefault("SLMPROF_LOG", "stderr")
    config = CaptureConfig.from_json(question)
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
    return {}


if __name__ == "__main__":
    serve("measure the model", run)
