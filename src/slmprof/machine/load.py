"""How much of the machine others use."""

from __future__ import annotations

import os

from ..children.memory import read

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

    def warnings(self) -> list[str]:
        """What spoiled the time since then, one sentence each."""
        now = self._read_times()
        busy, steal, total, own = (b - a for a, b in zip(self._begin, now, strict=True))
        if total <= 0:
            return []
        found = []
        # Both are counted in ticks of 10 ms: a short run may be off by one on each core.
        if (others := (busy - own) / total) > _SHARE_OF_OTHERS + 0.02 / total:
            found.append(f"other processes used {100 * others:.0f} % of this machine's CPU time")
        if (taken := steal / total) > _SHARE_OF_OTHERS:
            found.append(f"the hypervisor stole {100 * taken:.0f} % of this machine's CPU time")
        return found
