"""Writes the golden profile of format version 3, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v3.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "builders")]

from make_v2 import example as example_of_version_2  # noqa: E402
from memory_builder import with_memory  # noqa: E402
from test_golden import memory_numbers, numbers  # noqa: E402

from slmprof.views import Profile  # noqa: E402


def example() -> Profile:
    """The example of version 2 with what version 3 added."""
    return with_memory(example_of_version_2())


def main() -> None:
    profile = example()
    profile.save(HERE / "profile-v3.slmprof")
    text = json.dumps({**numbers(profile), **memory_numbers(profile)}, indent=1)
    (HERE / "profile-v3.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
