"""Writes the golden profile of format version 4, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v4.py
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "builders")]

from builders import with_custom_type  # noqa: E402
from make_v3 import example as example_of_version_3  # noqa: E402
from test_golden import memory_numbers, numbers, report, write_report  # noqa: E402

from slmprof.profiles.tables import LaneTable  # noqa: E402
from slmprof.views import Profile  # noqa: E402


def example() -> Profile:
    """The example of version 3 with a type of its own, on lanes behind one of another device."""
    profile = with_custom_type(example_of_version_3())
    strings = (*profile.strings, "gpu_stream", "CUDA0")
    n = len(profile.strings)
    stream = LaneTable.from_columns({"kind": [n], "device": [n + 1], "index": [0], "clock": [0]})
    return replace(
        profile,
        strings=strings,
        lanes=LaneTable.concatenate([stream, profile.lanes]),
        runs=profile.runs.replace(lane=profile.runs.lane + 1),
        events=profile.events.replace(lane=profile.events.lane + 1),
    )


def main() -> None:
    profile = example()
    profile.save(HERE / "profile-v4.slmprof")
    text = json.dumps({**numbers(profile), **memory_numbers(profile)}, indent=1)
    (HERE / "profile-v4.json").write_text(text + "\n", encoding="utf-8")
    write_report(report(profile), 4)


if __name__ == "__main__":
    main()
