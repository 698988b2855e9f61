"""What fits into a given amount of memory: the largest context, and the types that hold one."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..settings.planning import RESERVED, AskedPlan, MemoryRequest
from ..settings.table import MAX
from .planner import ModelPlanner
from .records import Fit, MemoryPlan

_N_CTX_STEP = 256


def find_fit(planner: ModelPlanner, request: MemoryRequest, setting: AskedPlan) -> Fit:
    """The largest context of a model in `request.fit_bytes` bytes, with one setting."""
    budget = request.fit_bytes
    assert budget is not None
    asked = planner.n_ctx_train() if setting.n_ctx == MAX else int(setting.n_ctx)
    model = planner.model

    def plan(n_ctx: int) -> MemoryPlan:
        return planner.plan(replace(setting, n_ctx=n_ctx))

    limit = model.n_ctx_train or asked
    held = operator.methodcaller("held_bytes", request.fit_for)
    found = largest_context(plan, budget, limit, held)
    is_fitting = held(found) <= budget
    wanted = plan(asked) if request.n_ctx else None
    n_ctx = min(found.n_ctx, limit) if is_fitting else 0
    return Fit(
        config=replace(found.config, n_ctx=n_ctx),
        file_type=planner.file_type or model.file_type,
        size_bytes=model.size_bytes,
        bits_per_weight=model.bits_per_weight,
        n_ctx=n_ctx,
        is_limited_by_training=is_fitting and n_ctx >= limit,
        totals_bytes=found.totals_bytes,
        asked_n_ctx=asked if request.n_ctx else None,
        asked_total_bytes=wanted.total_bytes if wanted is not None else None,
        resident_bytes=_needed(found),
        asked_resident_bytes=_needed(wanted),
        reserved_bytes=found.held_bytes(RESERVED),
        asked_reserved_bytes=wanted.held_bytes(RESERVED) if wanted is not None else None,
        device_bytes=found.device_bytes,
        asked_device_bytes=wanted.device_bytes if wanted is not None else None,
    )


def _needed(plan: MemoryPlan | None) -> int | None:
    return None if plan is None or plan.resident is None else plan.resident.needed_bytes


def largest_context(
    plan: Callable[[int], MemoryPlan],
    budget_bytes: int,
    limit: int,
    held: Callable[[MemoryPlan], int] = operator.attrgetter("total_bytes"),
) -> MemoryPlan:
    """The plan of the largest context that fits, in steps of 256 tokens, at most `limit`.

    Where not even the smallest fits, that one's plan, which is larger than the budget.

    Args:
        held: what a plan takes of the budget.
    """
    best = plan(limit)
    if held(best) <= budget_bytes:
        return best
    low, high = 0, -(-limit // _N_CTX_STEP)  # `high` steps do not fit
    found: MemoryPlan | None = None
    while high - low > 1:
        middle = (low + high) // 2
        tried = plan(middle * _N_CTX_STEP)
        if held(tried) <= budget_bytes:
            low, found = middle, tried
        else:
            high = middle
    return found if found is not None else plan(smallest_context(limit))


def smallest_context(limit: int) -> int:
    """The smallest context that is tried, in tokens."""
    return min(_N_CTX_STEP, limit)


def choose_types(
    fits: Sequence[Fit], budget_bytes: int | None, fit_for: str = RESERVED
) -> tuple[str | None, str | None]:
    """Of the file types that hold the context asked for the lightest and the least compressed."""
    held = {id(fit): fit.asked_held_bytes(fit_for) for fit in fits}
    holding = [fit for fit in fits if (held[id(fit)] or math.inf) <= (budget_bytes or 0)]
    if len({fit.file_type for fit in fits}) < 2 or not holding:
        return None, None
    return (
        min(holding, key=lambda fit: held[id(fit)] or 0).file_type,
        max(holding, key=lambda fit: fit.size_bytes).file_type,
    )
