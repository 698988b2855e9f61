"""What a reader of a plan should know, in plain sentences."""

from __future__ import annotations

from collections.abc import Sequence

from ..settings.devices import is_planned, split_names
from .records import LiveTensor, MemoryPlan

_MIB = 1 << 20
_GIB = 1 << 30
# Logits are worth a word from this share of the compute buffer's peak on.
_MUCH = 0.5


def size_text(size_bytes: int) -> str:
    """Bytes in words: MiB, and GiB from ten of them on."""
    if size_bytes >= 10 * _GIB:
        return f"{size_bytes / _GIB:.2f} GiB"
    return f"{size_bytes / _MIB:.2f} MiB"


def context_notes(n_ctx: int, n_ctx_train: int) -> list[str]:
    """Where a context exceeds what the model was trained for."""
    if 0 < n_ctx_train < n_ctx:
        return [f"the model was trained for a context of {n_ctx_train}, not of {n_ctx}"]
    return []


def machine_notes(total_bytes: int, memory_bytes: int) -> list[str]:
    """Where the total exceeds the machine's memory."""
    if total_bytes > memory_bytes > 0:
        return [
            f"{size_text(total_bytes)} are more than this machine's memory "
            f"({size_text(memory_bytes)})"
        ]
    return []


def device_notes(device: str) -> list[str]:
    """Where a device is only planned, whose memory holds more than buffers."""
    if not any(map(is_planned, split_names(device))):
        return []
    return [
        f"{device} is planned as ggml-cuda would place tensors there, for a GPU with tensor cores; "
        "CUDA's context, the pools of kernels and cuBLAS's workspaces come on top and are not known"
    ]


def outputs_notes(n_tokens: int, size_bytes: int) -> list[str]:
    """Where a model gives outputs for each of the tokens that it is given at once.

    Args:
        size_bytes: of all these outputs; llama.cpp makes room for them when they are first given.
    """
    return [
        f"this model has outputs for each token of its prompt: with up to {n_tokens} tokens at "
        f"once its output buffer grows to {size_text(size_bytes)}"
    ]


def logits_bytes(plan: MemoryPlan) -> int:
    """Bytes of the logits where they make up much of the largest peak, else 0."""
    largest = _dominating(plan)
    return largest.size_bytes if largest is not None and largest.block == "lm_head" else 0


def scores_bytes(plan: MemoryPlan) -> int:
    """Bytes of an attention's scores where they make up much of the largest peak, else 0."""
    largest = _dominating(plan)
    if largest is None or plan.config.flash_attn == "on":
        return 0
    is_scores = largest.block == "attention" and largest.op in ("MUL_MAT", "SOFT_MAX")
    return largest.size_bytes if is_scores else 0


def _dominating(plan: MemoryPlan) -> LiveTensor | None:
    peak = plan.compute_peak
    if peak is None or not peak.tensors or peak.n_tokens < 2:
        return None
    largest = peak.tensors[0]
    return largest if largest.size_bytes >= _MUCH * peak.size_bytes else None


def scores_notes(plan: MemoryPlan, with_flash: MemoryPlan) -> list[str]:
    """What the scores cost that flash attention does not keep."""
    compute, less = (p.totals_bytes["compute"] for p in (plan, with_flash))
    if less >= compute:
        return []
    return [
        f"the attention's scores take {size_text(scores_bytes(plan))} of the compute buffer's "
        f"{size_text(compute)}; with --flash-attn on it is {size_text(less)}"
    ]


def logits_notes(plan: MemoryPlan, with_few: MemoryPlan) -> list[str]:
    """What the logits of all tokens of a ubatch cost.

    Args:
        with_few: the plan with `n_outputs_max` at its least.
    """
    peak = plan.compute_peak
    compute, less = (p.totals_bytes["compute"] for p in (plan, with_few))
    if peak is None or less >= compute:
        return []
    n_outputs = with_few.config.n_outputs_max
    return [
        f"the logits of {peak.n_tokens} tokens take {size_text(logits_bytes(plan))} of the compute "
        f"buffer's {size_text(compute)}; with --n-outputs-max {n_outputs} it is {size_text(less)}"
    ]


def ubatch_choices(n_ubatch: int, n_batch: int) -> Sequence[int]:
    """The physical batches whose effect is shown: a smaller, a larger, and the one used."""
    choices = {n_ubatch // 4, n_ubatch, 4 * n_ubatch}
    return sorted(n for n in choices if n >= 1 and (n <= n_batch or n == n_ubatch))
