"""What fits into a given amount of memory: the largest context, and the types that hold one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ..settings.planning import AskedPlan, MemoryRequest
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
    found = largest_context(plan, budget, limit)
    is_fitting = found.total_bytes <= budget
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
        asked_total_bytes=plan(asked).total_bytes if request.n_ctx else None,
    )


def largest_context(plan: Callable[[int], MemoryPlan], budget_bytes: int, limit: int) -> MemoryPlan:
    """The plan of the largest context that fits, in steps of 256 tokens, at most `limit`.

    Where not even the smallest fits, that one's plan, which is larger than the budget.
    """
    best = plan(limit)
    if best.total_bytes <= budget_bytes:
        return best
    low, high = 0, -(-limit // _N_CTX_STEP)  # `high` steps do not fit
    found: MemoryPlan | None = None
    while high - low > 1:
        middle = (low + high) // 2
        tried = plan(middle * _N_CTX_STEP)
        if tried.total_bytes <= budget_bytes:
            low, found = middle, tried
        else:
            high = middle
    return found if found is not None else plan(min(_N_CTX_STEP, limit))


def choose_types(fits: Sequence[Fit], budget_bytes: int | None) -> tuple[str | None, str | None]:
    """Of the file types that hold the context asked for the lightest and the least compressed."""
    holding = [
        fit
        for fit in fits
        if fit.asked_total_bytes is not None and fit.asked_total_bytes <= (budget_bytes or 0)
    ]
    if len({fit.file_type for fit in fits}) < 2 or not holding:
        return None, None
    return (
        min(holding, key=lambda fit: fit.asked_total_bytes or 0).file_type,
        max(holding, key=lambda fit: fit.size_bytes).file_type,
    )
