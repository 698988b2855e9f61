"""The process that measures a device: `python -m slmprof.machine.device_ceilings_worker`.

Its question is {"index": …, "device": …}, its answer the ceilings of that CUDA device.
"""

from __future__ import annotations

import datetime
import time
from typing import Any

from ..children.protocol import OnProgress, Progress
from ..children.serving import serve
from ..errors import EngineError, UsageError
from ..profiles.records.ceilings import MEMORY, Bandwidth
from ..profiles.records.device_ceilings import DeviceCeilings, Peak, Transfer
from .device_ceilings import fingerprint_of

# For each figure: many repetitions of some milliseconds, after the clocks have risen.
_SECONDS = 0.06
# A device that gives less of its nominal bandwidth was busy with something else.
_LEAST_SHARE = 0.4


def measure(index: int, device: str, on_progress: OnProgress) -> DeviceCeilings:
    """Measures everything in this process."""
    from .. import _core

    on_progress(Progress(f"what {device} can do", 0, 1))
    begin = time.monotonic()
    try:
        measured = _core.measure_device_ceilings(index, seconds=_SECONDS)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except RuntimeError as error:
        raise EngineError(str(error)) from None
    now = datetime.datetime.now(datetime.timezone.utc)
    ceilings = DeviceCeilings(
        device=device,
        fingerprint=fingerprint_of(measured["identity"]),
        measured_at=now.isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - begin, 3),
        nominal_gbps=measured["identity"]["nominal_gbps"] or None,
        bandwidth=tuple(Bandwidth(*row) for row in measured["bandwidth"]),
        peaks=tuple(Peak(*row) for row in measured["peaks"]),
        transfers=tuple(Transfer(*row) for row in measured["transfers"]),
        op_ns=measured["op_ns"],
    )
    on_progress(Progress("done", 1, 1))
    return ceilings.replace(warnings=doubts(ceilings))


def doubts(ceilings: DeviceCeilings) -> tuple[str, ...]:
    """What speaks against the figures, one sentence each."""
    read, nominal = ceilings.gbps(MEMORY), ceilings.nominal_gbps
    if read is None or nominal is None or read >= _LEAST_SHARE * nominal:
        return ()
    return (
        f"memory of {ceilings.device} gave {read:.0f} of nominally {nominal:.0f} GB/s: something "
        "else may have used the device",
    )


def _answer(question: dict[str, Any], _: str, on_progress: OnProgress) -> dict[str, Any]:
    return measure(int(question["index"]), str(question["device"]), on_progress).to_json()


if __name__ == "__main__":
    serve("measure the ceilings of a device", _answer)
