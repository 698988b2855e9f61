"""The points of a grid, one after another: what was found of each is with the parent at once.

llama.cpp aborts where it does not refuse. A child that dies at a point costs that point: another
one is told what became of those before it, and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..errors import EngineError, ModelError, UsageError
from ..profiles.records.decoding import Json, Record, decode
from ..settings.planning import AskedPlan
from ..settings.resolved import ResolvedPlan
from .records import Fit, MemoryPlan, Refusal

_Made = TypeVar("_Made")


class Outcome(Record, frozen=True):
    """What became of a point: one of these. Nothing of a plan that the parent has already."""

    plan: MemoryPlan | None = None
    fit: Fit | None = None
    refusal: Refusal | None = None


class Points:
    """The points in the child that plans them.

    Args:
        known: what became of the first ones, where a child before this one died, as JSON.
        tell: hands a part of the answer over to the parent.

    Attributes:
        model_error: the last point's, where the model was at fault, not its setting.
    """

    def __init__(self, known: Sequence[Json], tell: Callable[[Json], None]) -> None:
        self._known, self._tell = known, tell
        self._next = 0
        self.model_error: ModelError | None = None

    def outcome(self, setting: AskedPlan, make: Callable[[AskedPlan], MemoryPlan | Fit]) -> Outcome:
        """What became of the next point, planned unless that is known."""
        number = self._begin()
        if number < len(self._known):
            return decode(Outcome, self._known[number])
        config = ResolvedPlan.from_json(setting.to_json())
        self._tell({"begun": number, "config": config.to_json()})
        try:
            made = make(setting)
            found = Outcome(plan=made) if isinstance(made, MemoryPlan) else Outcome(fit=made)
        except (EngineError, UsageError, ModelError) as error:
            found = Outcome(refusal=Refusal(config, str(error)))
            self.model_error = error if isinstance(error, ModelError) else None
        self._tell({"outcome": found.to_json()})
        return found

    def extra(self, make: Callable[[], _Made]) -> _Made | None:
        """What the answer can do without; None where a child has died of it."""
        number = self._begin()
        if number < len(self._known):
            return None
        self._tell({"begun": number, "config": None})
        made = make()
        self._tell({"outcome": Outcome().to_json()})
        return made

    def _begin(self) -> int:
        number = self._next
        self._next += 1
        return number


class Found:
    """What children have found so far, as the parent keeps it.

    Attributes:
        known: what became of the points, as `Points` takes it.
        plans: of those that were planned, as JSON.
    """

    def __init__(self) -> None:
        self.known: list[Json] = []
        self.plans: list[Json] = []

    def take(self, parts: Sequence[Json]) -> None:
        """What a child has handed over."""
        for part in parts:
            outcome: dict[str, Any] | None = part.get("outcome")
            if outcome is not None:
                if outcome["plan"] is not None:
                    self.plans.append(outcome["plan"])
                self.known.append({**outcome, "plan": None})

    def give_up(self, parts: Sequence[Json], message: str) -> bool:
        """Gives up what a child has died of.

        Args:
            parts: what it had handed over.
            message: how it ended.

        Returns:
            Whether it was at a point.
        """
        last = parts[-1] if parts else {}
        if "begun" not in last:
            return False
        config = last["config"]
        lost = Outcome().to_json()
        if config is not None:
            lost["refusal"] = {"config": config, "message": message, "died": True}
        self.known.append(lost)
        return True
