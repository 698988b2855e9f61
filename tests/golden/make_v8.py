"""Writes the golden profile of format version 8, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v8.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "builders")]

from gpu_builder import gpu_profile  # noqa: E402
from memory_builder import with_memory  # noqa: E402
from test_golden import memory_numbers, numbers, report, write_report  # noqa: E402

from slmprof.profiles.merging import merge_processes  # noqa: E402
from slmprof.views import Profile  # noqa: E402


def example() -> Profile:
    """A run on the CPU and a GPU whose kernels and copies are recorded, in two processes."""
    one = with_memory(gpu_profile())
    return Profile.of(merge_processes([one, one]))


def main() -> None:
    profile = example()
    profile.save(HERE / "profile-v8.slmprof")
    text = json.dumps({**numbers(profile), **memory_numbers(profile)}, indent=1)
    (HERE / "profile-v8.json").write_text(text + "\n", encoding="utf-8")
    write_report(report(profile), 8)


if __name__ == "__main__":
    main()
