"""What a GPU's driver says that a run held there, and what of it is no buffer of llama.cpp."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .decoding import Record, Whole

_Bytes = Annotated[int, msgspec.Meta(ge=0, le=2**48 - 1)]


class DeviceMemory(Record, frozen=True, kw_only=True):
    """One GPU at the last point that was observed; None is what was not told.

    Attributes:
        device: ggml's name of it.
        driver_bytes: what the driver says that the process holds there.
        method: how that is known: the driver tells it of the `process`, or it is by how much more
            is in use on the whole `device` than before the run, by whichever process.
        context_bytes: the same figure when CUDA's context was there and nothing of the model.
        pool_bytes: what the pools of kernels hold; most_pool_bytes: the most that they held.
        most_used_pool_bytes: the most of it that was handed out at once, for `pool_op`, the op of
            `pool_tensor`.
        workspace_bytes: of cuBLAS.
        graph_bytes: what CUDA graphs have allocated.
        note: why something is not known.
    """

    device: str
    driver_bytes: Whole | None = None
    method: Literal["process", "device"] | None = None
    context_bytes: Whole | None = None
    pool_bytes: _Bytes | None = None
    most_pool_bytes: _Bytes | None = None
    most_used_pool_bytes: _Bytes | None = None
    pool_op: str | None = None
    pool_tensor: str | None = None
    workspace_bytes: _Bytes | None = None
    graph_bytes: _Bytes | None = None
    note: str | None = None

    @property
    def tells(self) -> bool:
        """Whether there is anything that buffers do not say, or a reason why there is not."""
        return (self.driver_bytes, self.pool_bytes, self.note) != (None, None, None)
