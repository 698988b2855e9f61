"""Writes the golden profile of format version 2, and the numbers that it must give for ever.

Run it only to add a golden file of a new format version; never to make a failing test pass.

    python tests/golden/make_v2.py
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "builders"))

from builders import MS, example_profile, with_conversion  # noqa: E402
from ceilings_builder import example_ceilings  # noqa: E402
from test_golden import numbers  # noqa: E402

from slmprof.profiles.tables import MaskTable  # noqa: E402
from slmprof.views import Profile  # noqa: E402


def example() -> Profile:
    """The example with what version 2 added: each new column holds something."""
    profile = with_conversion(example_profile())
    runs, events = profile.runs, profile.events
    first = events.lane == 0
    n_experts = np.where((events.node == 5) & first, 3, 0).astype(np.int32)
    masks = MaskTable.from_columns(
        {
            "run": np.arange(len(runs), dtype=np.int32),
            "tensor": np.full(len(runs), 8, np.int32),
            "n_pairs": np.where(runs.end_ns - runs.begin_ns > 15 * MS, 136, 17),
            "n_keys": np.where(runs.end_ns - runs.begin_ns > 15 * MS, 16, 17),
        }
    )
    return replace(
        profile,
        meta=profile.meta.replace(ceilings=example_ceilings()),
        steps=profile.steps.replace(depth=np.full(len(profile.steps), 64, np.int32)),
        events=events.replace(n_experts=n_experts),
        masks=masks,
        tensors=profile.tensors.replace(param1=np.full(len(profile.tensors), 7, np.int32)),
    )


def main() -> None:
    profile = example()
    profile.save(HERE / "profile-v2.slmprof")
    text = json.dumps(numbers(profile), indent=1)
    (HERE / "profile-v2.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
