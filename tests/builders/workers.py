"""What stands in for worker processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from slmprof.capture import process
from slmprof.capture.turns import Worker
from slmprof.children.protocol import OnProgress
from slmprof.errors import EngineError
from slmprof.views import Profile

Run = Callable[[Any, OnProgress], Profile]
"""What a worker does: from its configuration to a profile, with progress told."""


def stand_in(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Has the workers of each round run one after the other, in this process."""

    def run_round(workers: Sequence[Worker]) -> None:
        for worker in workers:
            try:
                worker.profile = run(worker.config, worker.on_progress)
            except EngineError as error:
                worker.error = error
                raise

    monkeypatch.setattr(process, "run_round", run_round)
