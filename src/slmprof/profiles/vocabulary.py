"""The names of the small integers in a profile's tables, in the order of their values."""

from __future__ import annotations

PHASES: tuple[str, ...] = ("prefill", "decode")
PASSES: tuple[str, ...] = ("warmup", "timing", "op", "split")

# Which part of a step each host segment belongs to (docs/measurement.md, conservation).
HOST_PREPARE: tuple[str, ...] = ("batch", "graph_build", "graph_alloc", "inputs", "launch")
COPIES: tuple[str, ...] = ("copies",)
HOST_FINISH: tuple[str, ...] = ("outputs",)
SEGMENTS: tuple[str, ...] = (*HOST_PREPARE, *COPIES, *HOST_FINISH)

USAGES: tuple[str, ...] = ("none", "weights", "compute", "state")

# What a row of `stats` is about: the op itself, or the conversion of a product's activations in it.
STAGES: tuple[str, ...] = ("op", "conversion")

# How a kernel of a device found its op (docs/cuda.md).
JOIN_WAYS: tuple[str, ...] = ("none", "launch", "source", "node", "clone", "local", "order")

# What a node of a captured CUDA graph does.
NODE_KINDS: tuple[str, ...] = ("kernel", "copy", "fill", "child", "other")

# What a device copied from where to where, or filled.
TRANSFERS: tuple[str, ...] = (
    "other", "host_to_device", "device_to_host", "device_to_device", "peer_to_peer", "host_to_host",
    "fill",
)  # fmt: skip

# What a device does in a run while none of its kernels is running: `runs.gap_*_ns`.
GAPS: tuple[str, ...] = ("copy", "host", "launch", "device", "unknown")

# Nodes that a backend may compute together with the first one; a dozen is much.
MOST_FUSED = 63

# Whose clock the times of a lane are: the host's monotonic one.
CLOCKS: tuple[str, ...] = ("host",)

# By the names that columns and a profile's `meta["enums"]` have for them.
ENUMS: dict[str, tuple[str, ...]] = {
    "phase": PHASES,
    "pass": PASSES,
    "segment": SEGMENTS,
    "usage": USAGES,
    "stage": STAGES,
    "clock": CLOCKS,
    "join": JOIN_WAYS,
    "transfer": TRANSFERS,
    "cuda_node": NODE_KINDS,
}

STAGE_OP = STAGES.index("op")
STAGE_CONVERSION = STAGES.index("conversion")

PASS_WARMUP = PASSES.index("warmup")
PASS_TIMING = PASSES.index("timing")
PASS_OP = PASSES.index("op")
PASS_SPLIT = PASSES.index("split")

# Kinds of lanes: a thread of the CPU; a device whose backend tells of its ops or does not; and one
# whose kernels are recorded.
CPU_THREAD, ACCELERATOR, OPAQUE_DEVICE, GPU = "cpu_thread", "accelerator", "device", "gpu"

# Kinds of memory, as `memory.buffers[].kind` spells them.
MEMORY_KINDS: tuple[str, ...] = (
    "weights", "kv_cache", "recurrent_state", "compute", "output", "other",
)  # fmt: skip

# What a row of a profile's breakdown can be, and of a plan of memory: the values of `--by`.
VIEWS: tuple[str, ...] = (
    "block", "layer", "kernel", "op", "part", "tensor", "depth", "place", "energy",
)  # fmt: skip
BOUNDS: tuple[str, ...] = ("memory", "cache", "compute", "kernel", "sync", "unexplained")
MEMORY_VIEWS: tuple[str, ...] = ("total", "buffer", "layer", "tensor", "peak")


def enums() -> dict[str, list[str]]:
    """What a profile's `meta["enums"]` holds."""
    return {name: list(texts) for name, texts in ENUMS.items()}
