"""Writes the golden profile of format version 1, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v1.py
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "builders"))

from builders import example_profile  # noqa: E402
from test_golden import numbers  # noqa: E402


def main() -> None:
    profile = example_profile()
    profile.save(HERE / "profile-v1.slmprof")
    text = json.dumps(numbers(profile), indent=1)
    (HERE / "profile-v1.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
