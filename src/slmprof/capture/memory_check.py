"""Whether the machine can hold a model and a context, before they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..children.memory import available_bytes
from ..errors import CaptureError, EngineError
from ..settings.devices import is_host, is_mapped, is_repacked

if TYPE_CHECKING:
    from .. import _core

_GIB = 1 << 30
_HEADROOM_BYTES = 256 << 20
_STATE_KINDS = ("kv_cache", "recurrent_state")
_ADVICE = "use a smaller --n-ctx, --n-ubatch or model"
# Up to here the planner's own notes on the cells of a cache are no matter; of these bytes each cell
# has more than that: its position, its place, its sequences.
_SMALL_N_CTX = 1 << 21
_CELL_BYTES = 40


def plan_buffers(
    plan: Callable[[int], _core.Plan],
    name: str,
    n_ctx: int,
    free_elsewhere: Callable[[], Mapping[str, int]] = dict,
) -> Sequence[Mapping[str, Any]]:
    """What a context will take; refuses one that the machine could not hold.

    Otherwise the system would kill the process for it, half-way.

    Args:
        plan: makes the plan of a context, or raises EngineError.
        name: of the model, for the message.
        n_ctx: the context that was asked for.
        free_elsewhere: tells what is free on devices beside the CPU, by their names; 0 where one
            does not tell. Asked when the plan has been made.

    Raises:
        CaptureError: more is needed than is free.
    """
    available = available_bytes()
    # The planner allocates no buffers, only its notes on each cell of a cache. Where those could
    # not be held it is not made to try: to fill a memory takes long.
    if (
        available is not None
        and n_ctx * _CELL_BYTES > available
        # Of recurrent states, which are of one size, no cells are noted.
        and any(b["kind"] == "kv_cache" for b in plan(min(n_ctx, _SMALL_N_CTX))["buffers"])
    ):
        raise _too_many_cells(n_ctx, available)
    try:
        planned = plan(n_ctx)["buffers"]
    except EngineError as error:
        if available is not None and any(
            "bad_alloc" in line for line in (str(error), *error.log_lines)
        ):
            raise _too_many_cells(n_ctx, available) from None
        raise
    _check_devices(planned, name, free_elsewhere())
    here = [buffer for buffer in planned if is_host(buffer["device"])]
    needed = sum(buffer["size_bytes"] for buffer in here) - _droppable_bytes(here)
    if available is None or needed + _HEADROOM_BYTES <= available:
        return planned
    state = sum(b["size_bytes"] for b in here if b["kind"] in _STATE_KINDS)
    raise CaptureError(
        f"{name} with a context of {n_ctx} needs {needed / _GIB:.2f} GiB "
        f"({state / _GIB:.2f} GiB of it for the context), {available / _GIB:.2f} GiB are free; "
        f"{_ADVICE}"
    )


def _check_devices(
    planned: Sequence[Mapping[str, Any]], name: str, free: Mapping[str, int]
) -> None:
    for device, available in free.items():
        needed = sum(int(b["size_bytes"]) for b in planned if b["device"] == device)
        if needed > available > 0:
            raise CaptureError(
                f"{name} needs {needed / _GIB:.2f} GiB on {device}, {available / _GIB:.2f} GiB are "
                f"free there; use a smaller --n-gpu-layers, or {_ADVICE.removeprefix('use ')}"
            )


def _too_many_cells(n_ctx: int, available: int) -> CaptureError:
    return CaptureError(
        f"a context of {n_ctx} is too large for this machine: llama.cpp's bookkeeping "
        f"alone exceeds the {available / _GIB:.2f} GiB that are free; {_ADVICE}"
    )


def _droppable_bytes(planned: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of a memory-mapped file whose weights are repacked: nobody reads them again."""
    weights = [buffer for buffer in planned if buffer["kind"] == "weights"]
    mapped, repacked = (
        sum(int(buffer["size_bytes"]) for buffer in weights if is_one(buffer["buffer_type"]))
        for is_one in (is_mapped, is_repacked)
    )
    return min(mapped, repacked)
