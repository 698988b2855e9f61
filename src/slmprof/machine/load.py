"""How much of the machine others use."""

from __future__ import annotations

import os

from ..profiles.records.load import Load
from ..system.files import read

_SHARE_OF_OTHERS = 0.03  # of all cores' time, beyond which another load is worth a warning


class LoadMeter:
    """How much of the cores' time went to others than this process, from now on.

    The load average would not do: it counts this process, and the minute before it.
    """

    def __init__(self) -> None:
        self._begin = self._read_times()

    @staticmethod
    def _read_times() -> tuple[float, float, float, float]:
        """Seconds that all cores were busy, were taken by the hypervisor, were there, and ours."""
        first = read("/proc/stat").partition("\n")[0].split()
        if len(first) < 9:
            return 0.0, 0.0, 0.0, 0.0
        user, nice, system, idle, iowait, irq, softirq, steal = map(float, first[1:9])
        tick = 1.0 / os.sysconf("SC_CLK_TCK")
        busy = (user + nice + system + irq + softirq) * tick
        own = os.times()
        # What this process has others do is its own.
        seconds = own.user + own.system + own.children_user + own.children_system
        return busy, steal * tick, busy + (idle + iowait + steal) * tick, seconds

    def load(self) -> Load | None:
        """What others took since then; None where the system does not tell."""
        now = self._read_times()
        busy, steal, total, own = (b - a for a, b in zip(self._begin, now, strict=True))
        if total <= 0:
            return None
        others, stolen = (min(max(taken / total, 0.0), 1.0) for taken in (busy - own, steal))
        return Load(core_seconds=total, others_share=others, stolen_share=stolen)

    def warnings(self) -> list[str]:
        """What spoiled the time since then, one sentence each."""
        load = self.load()
        return load_warnings(load) if load is not None else []


def add_loads(first: Load | None, second: Load | None) -> Load | None:
    """Two times together; None is one of which nothing is known."""
    if first is None or second is None:
        return first or second
    seconds = first.core_seconds + second.core_seconds
    share = second.core_seconds / seconds
    return Load(
        core_seconds=seconds,
        others_share=(1 - share) * first.others_share + share * second.others_share,
        stolen_share=(1 - share) * first.stolen_share + share * second.stolen_share,
    )


def load_warnings(load: Load) -> list[str]:
    """What spoiled that time, one sentence each."""
    found = []
    # Times are counted in ticks of 10 ms: a short run may be off by one on each core.
    uncertain = 0.02 / load.core_seconds if load.core_seconds > 0 else 1.0
    if load.others_share > _SHARE_OF_OTHERS + uncertain:
        share = 100 * load.others_share
        found.append(f"other processes used {share:.0f} % of this machine's CPU time")
    if load.stolen_share > _SHARE_OF_OTHERS:
        share = 100 * load.stolen_share
        found.append(f"the hypervisor stole {share:.0f} % of this machine's CPU time")
    return found
