"""What each executed node of a graph is: names, kernel, place in the model.

Rows are Python objects: there are as many as distinct nodes, not as many as executions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ...profiles.data import ProfileData
from ...profiles.tables import TensorTable, trimmed_shape
from .edges import PRODUCT_OPS
from .kernel_names import (
    SERIALIZATION,
    SPLIT_OVERHEAD,
    STRAY_KERNELS,
    UNRECORDED,
    conversion_kernel,
    converted_type,
    kernel_name,
)
from .structures import Structures

# Parts that follow from a weight's type and from the code that runs, not from how a layer is built.
CONVERSIONS = frozenset({"quantize_q8", "convert"})


@dataclass(frozen=True)
class Node:
    """An executed op: a node of a graph, or a fused group of nodes that follow each other.

    Attributes:
        op, kernel: of the first member, which names the kernel that runs.
        tensor, layer, block, part: of the last member, whose result the group leaves;
            layer is None outside the layers.
        occurrence: how many nodes with this first op and tensor name stand before it in the graph.
        dtypes: types of the first member's sources, and of the result: `q4_K,f32->f32`.
        shape: of the result, fastest dimension first, without trailing ones. Not compared: the
            same op has another one where the KV cache view has grown.
        fused: operators of all members of a fused group; empty for a plain op.
        backend: the backend that ran the graph.
        weight: the weight that it reads, the largest of several; empty where it reads none.
    """

    op: str
    kernel: str
    tensor: str = ""
    occurrence: int = 0
    layer: int | None = None
    block: str = ""
    part: str = ""
    dtypes: str = ""
    shape: tuple[int, ...] = field(default=(), compare=False)
    fused: tuple[str, ...] = ()
    backend: str = ""
    weight: str = ""

    def run_as(self, kernel: str) -> Node:
        """This op, or the part of it that a kernel of this family does, on a device."""
        if kernel in CONVERSIONS:
            return replace(self, kernel=kernel, part=kernel, weight="")
        return replace(self, kernel=kernel)

    def conversion(self, code: str) -> Node:
        """The conversion of activations within this product, by the code that did it."""
        source = self.dtypes.partition("->")[0].split(",")
        source_type = source[1] if len(source) > 1 else ""
        type_name = converted_type(code)
        kernel = conversion_kernel(source_type, type_name)
        return replace(
            self,
            kernel=kernel,
            part=kernel if kernel in CONVERSIONS else "convert",
            dtypes=f"{source_type}->{type_name}",
            weight="",
        )


class GraphNodes:
    """The nodes of one graph, described when asked for."""

    def __init__(self, profile: ProfileData, graph: int, structures: Structures) -> None:
        self._tensors = structures.tensors(graph)
        self._strings = profile.strings
        self._backend = profile.text(int(profile.graphs.backend[graph]))
        self._types = structures.types
        structure = structures.of(graph)
        self._attribution, self._edges = structure.attribution, structure.edges
        self._sources = self._tensors.sources()
        self._shapes = self._tensors.shapes()
        self._occurrences = _occurrences(self._tensors, int(profile.graphs.n_nodes[graph]))

    def describe(self, node: int, n_fused: int) -> Node:
        """The node at a position of the graph, with the `n_fused` nodes after it."""
        tensors, last = self._tensors, node + n_fused
        op = self._text(int(tensors.op[node]))
        sources = [int(row) for row in self._sources[node] if row >= 0]
        types = [self._text(int(tensors.type[row])) for row in sources]
        type_name = self._text(int(tensors.type[last]))
        layer = int(self._attribution.layer[last])
        members = range(node, last + 1) if n_fused else ()
        return Node(
            op=op,
            kernel=kernel_name(
                op,
                types[0] if types else "",
                self._text(int(tensors.type[node])),
                self._n_columns(op, node),
                self._is_quantized(types[0] if types else ""),
            ),
            tensor=self._text(int(tensors.name[last])),
            occurrence=self._occurrences[last],
            layer=layer if layer >= 0 else None,
            block=str(self._attribution.block[last]) or "other",
            part=str(self._attribution.part[last]),
            dtypes=f"{','.join(types)}->{type_name}",
            shape=trimmed_shape(self._shapes[last]),
            fused=tuple(self._text(int(tensors.op[member])) for member in members),
            backend=self._backend,
            weight=self._weight(range(node, last + 1)),
        )

    def _weight(self, members: range) -> str:
        edges, sizes = self._edges, self._tensors.size_bytes
        read = {edges.weight[s] for member in members for s in edges.sources[member]} - {-1}
        return edges.name[max(read, key=lambda row: int(sizes[row]))] if read else ""

    def _text(self, index: int) -> str:
        return self._strings[index] if index >= 0 else ""

    def _is_quantized(self, type_name: str) -> bool:
        # A type that ggml has no name for here is nothing plain.
        stored = self._types.get(type_name)
        return stored is None or stored.is_quantized

    def _n_columns(self, op: str, node: int) -> int:
        # Tokens stand in the second dimension of a product, in the third with routed experts.
        if op not in PRODUCT_OPS:
            return 0
        return int(self._shapes[node][2 if op == "MUL_MAT_ID" else 1])


# Stands for what graphs ran while the recorder was full.
UNRECORDED_NODE = Node("UNRECORDED", UNRECORDED, block="other")
# Stands for what a device takes to run nothing, once for each of its ops.
SERIALIZATION_NODE = Node("SERIALIZATION", SERIALIZATION, block="other")
# Stands for kernels of a GPU that belong to no op.
STRAY_NODE = Node("STRAY_KERNELS", STRAY_KERNELS, block="other")
# Stands for what a device takes beside its ops.
SPLIT_OVERHEAD_NODE = Node("SPLIT_OVERHEAD", SPLIT_OVERHEAD, block="other")


def describe_nodes(
    profile: ProfileData, keys: Iterable[tuple[int, int, int]], structures: Structures
) -> dict[tuple[int, int, int], Node]:
    """The nodes for (graph, node, n_fused)."""
    graphs: dict[int, GraphNodes] = {}
    nodes: dict[tuple[int, int, int], Node] = {}
    for graph, node, n_fused in keys:
        if graph not in graphs:
            graphs[graph] = GraphNodes(profile, graph, structures)
        nodes[graph, node, n_fused] = graphs[graph].describe(node, n_fused)
    return nodes


def _occurrences(tensors: TensorTable, n_nodes: int) -> list[int]:
    """For each node, how many nodes before it have its op and name."""
    seen: dict[tuple[int, int], int] = {}
    result = []
    for key in zip(tensors.op[:n_nodes].tolist(), tensors.name[:n_nodes].tolist(), strict=True):
        count = seen.get(key, 0)
        seen[key] = count + 1
        result.append(count)
    return result
