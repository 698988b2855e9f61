"""The worker process: runs one capture and spools it, chunk by chunk, for the parent.

`python -m slmprof.capture.worker`. Its question is a CaptureConfig, and whether it takes turns with
other workers; its answer is in the folder.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ..children.protocol import Progress
from ..children.serving import Parent, serve
from ..settings.capture import CaptureConfig
from ..settings.devices import native_devices


def capture(question: dict[str, Any], spool: str, parent: Parent) -> dict[str, Any]:
    """One capture into `spool`."""
    from ..machine.ceilings import ceilings_of_run
    from ..machine.device_ceilings import device_ceilings_of_run
    from ..profiles.records.ceilings import MEMORY
    from ..profiles.records.meta import Run
    from ..profiles.storage.assemble import write_chunk, write_header
    from .energy import measure_energy
    from .monitors.bandwidth import BandwidthMonitor
    from .passes import Passes
    from .planned_run import plan_run
    from .session import Session

    def on_ceilings(progress: Progress) -> None:
        # What is measured once for all runs is not taken from this one's time.
        stage = f"measuring what this machine can do ({progress.stage})"
        parent(replace(progress, stage=stage, is_timed=False))

    os.environ.setdefault("SLMPROF_LOG", "stderr")
    config = CaptureConfig.from_json(question["config"])
    # What cannot be run is refused at once, not when the ceilings have been measured.
    planned = plan_run(config, parent)
    found, doubts = ceilings_of_run(config.ceilings, config.n_threads, on_ceilings)
    devices = native_devices(config.device)
    of_devices, more_doubts = device_ceilings_of_run(config.ceilings, devices, on_ceilings)
    total = 2 * config.repeats * len(config.n_depths) + 1
    parent(Progress("loading", 0, total))
    with Session.from_plan(config, planned) as session:
        session.ceilings, session.device_ceilings = found, of_devices
        if found is not None:
            session.watch(BandwidthMonitor(config.n_threads, found.gbps(MEMORY)))
        passes = Passes(session, parent, parent.wait_for_turn if question["takes_turns"] else None)
        for number, chunk in enumerate(passes):
            write_chunk(spool, number, chunk)
            run = Run(n_repeats=config.repeats, warmup=passes.warmup, events=passes.events)
            meta = session.describe(
                run, n_prompt=len(passes.prompt), n_gen=len(passes.generated), events=passes.events
            )
            meta = meta.with_warnings([*doubts, *more_doubts])
            write_header(spool, meta)
        if config.energy:
            # What was measured before stands in the folder already, whatever becomes of this.
            write_header(spool, meta.replace(energy=measure_energy(passes, parent)))
    return {}


if __name__ == "__main__":
    serve("measure the model", capture)
