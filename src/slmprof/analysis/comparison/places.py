"""The things that take time, which two profiles are compared by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ..graphs.nodes import CONVERSIONS, Node

LATENCY, BLOCK, PART, KERNEL, LAYER, OP = "latency", "block", "part", "kernel", "layer", "op"
MEMORY = "memory"
TIMES: tuple[str, ...] = (LATENCY, BLOCK, PART, KERNEL, LAYER, OP)
# ggml names tensors that nobody named by their place, which tells nothing about their role.
_UNNAMED = re.compile(r"(node|leaf)_\d+")


class Place(NamedTuple):
    """One thing that takes time: what it is, and what tells it from others of its kind.

    `impl` is the code of a kernel that has a row for each of several codes. An op is told by its
    role: phase, layer, block, part, ggml's operator and the tensor that it makes; never by order.
    """

    what: str
    phase: str
    name: str
    impl: str | None = None
    layer: int | None = None
    block: str | None = None
    part: str | None = None
    op: str | None = None


def places_of(phase: str, node: Node, code: str) -> Iterator[Place]:
    """What an op is a part of, and itself."""
    yield Place(BLOCK, phase, node.block, block=node.block)
    yield Place(KERNEL, phase, node.kernel)
    yield Place(KERNEL, phase, node.kernel, impl=code)
    if node.layer is not None:
        yield Place(LAYER, phase, f"layer {node.layer}", layer=node.layer)
    is_conversion = node.part in CONVERSIONS
    task = "conversion" if is_conversion else node.part
    name = "/".join(filter(None, (node.block, task)))
    yield Place(PART, phase, name, block=node.block, part=task)
    tensor = "" if _UNNAMED.fullmatch(node.tensor) else node.tensor
    if is_conversion and tensor:
        tensor = f"{tensor} (conversion)"
    yield Place(OP, phase, tensor, layer=node.layer, block=node.block, part=task, op=node.op)
