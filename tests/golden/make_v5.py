"""Writes the golden profile of format version 5, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v5.py
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "builders")]

from make_v4 import example as example_of_version_4  # noqa: E402
from test_golden import memory_numbers, numbers, report, write_report  # noqa: E402

from slmprof.profiles.merging import merge_processes  # noqa: E402
from slmprof.views import Profile  # noqa: E402


def example() -> Profile:
    """The example of version 4 in two processes, in the second of which a step was preempted."""
    first = example_of_version_4()
    n_preempted = np.where(np.arange(len(first.steps)) == 7, 2, 0)
    second = replace(first, steps=first.steps.replace(n_preempted=n_preempted))
    return Profile.of(merge_processes([first, second]))


def main() -> None:
    profile = example()
    profile.save(HERE / "profile-v5.slmprof")
    text = json.dumps({**numbers(profile), **memory_numbers(profile)}, indent=1)
    (HERE / "profile-v5.json").write_text(text + "\n", encoding="utf-8")
    write_report(report(profile), 5)


if __name__ == "__main__":
    main()
