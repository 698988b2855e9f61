"""The cheapest change of a setting with which a model fits that does not as it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..errors import SlmprofError
from ..settings.planning import AskedPlan
from .records import FitChange

Values = dict[str, Any]
Size = Callable[[AskedPlan], int]
"""Bytes that a setting takes; raises what planning it raises."""

_UBATCHES = (256, 128, 64, 32)
# From the one that costs the least accuracy to the one that costs the most.
_FILE_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K")
_CACHE_TYPE = "q8_0"
_WIDE_TYPES = ("f32", "f16", "bf16")


def find_change(
    size_of: Size, setting: AskedPlan, n_ctx: int, budget_bytes: int, model_bytes: int,
    size_of_type: Callable[[str], int | None],
) -> FitChange:  # fmt: skip
    """One change that makes a context fit; where no single one does, several at once.

    They are tried in the order of what they cost: logits of fewer tokens cost nothing, smaller
    ubatches slow down the prompt, smaller types of cache and weights lose accuracy. Each was
    planned before it is named. Where even all of them are not enough, `missing_bytes` says by how
    much.

    Args:
        size_of: of a setting with a file type, or with the file as it is where that is None.
        setting: as it was asked for; it does not fit.
        model_bytes: of the weights as they are.
        size_of_type: bytes of the weights in a file type, None where it is not possible.
    """
    asked = replace(setting, n_ctx=n_ctx)

    def size(values: Values) -> int | None:
        try:
            return size_of(replace(asked, **values))
        except SlmprofError:
            return None  # not every model has every setting

    steps = [list(step) for step in _steps(asked, model_bytes, size_of_type)]
    for step in steps:
        for values in step:
            taken = size(values)
            if taken is not None and taken <= budget_bytes:
                return FitChange(values, n_ctx, taken, 0)
    chosen: Values = {}
    least = size({})
    for step in steps:
        best = chosen
        for values in step:
            taken = size({**chosen, **values})
            if taken is None:
                continue
            if taken <= budget_bytes:
                return _pruned({**chosen, **values}, values, size, n_ctx, budget_bytes)
            if least is None or taken < least:
                best, least = {**chosen, **values}, taken
        chosen = best
    least = least or 0
    return FitChange(chosen, n_ctx, least, max(least - budget_bytes, 0))


def _pruned(
    values: Values, last: Values, size: Callable[[Values], int | None], n_ctx: int, budget: int
) -> FitChange:
    """Without the changes that are not needed beside the last one."""
    for name in [name for name in values if name not in last]:
        fewer = {key: value for key, value in values.items() if key != name}
        taken = size(fewer)
        if taken is not None and taken <= budget:
            values = fewer
    return FitChange(values, n_ctx, size(values) or 0, 0)


def _steps(
    asked: AskedPlan, model_bytes: int, size_of_type: Callable[[str], int | None]
) -> Iterator[Sequence[Values]]:
    """The changes of each setting, the least first; settings in the order of what they cost."""
    if asked.n_outputs_max != asked.n_seq_max:
        yield [{"n_outputs_max": asked.n_seq_max}]
    # llama.cpp gives each sequence a token of a ubatch.
    yield [{"n_ubatch": n} for n in _UBATCHES if asked.n_seq_max <= n < asked.n_ubatch]
    names = ["type_k", *(["type_v"] if asked.flash_attn != "off" else [])]
    wide = {n: _CACHE_TYPE for n in names if getattr(asked, n).lower() in _WIDE_TYPES}
    if wide:
        yield [wide]
    sizes = ((name, size_of_type(name)) for name in _FILE_TYPES)
    yield [{"file_type": name} for name, size in sizes if size is not None and size < model_bytes]
