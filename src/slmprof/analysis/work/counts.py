"""What an op has to do: floating-point operations, and distinct bytes read plus written.

The rules stand in `op_flops` and `op_traffic`; docs/measurement.md says what they count.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...profiles.tables import TensorTable, TensorType
from ..graphs.edges import PRODUCT_OPS, VIEW_OPS, GraphEdges
from .flops import count_flops
from .operation import Attended, Operation
from .storage import Tensor, UnknownWorkError, row_bytes, row_size
from .traffic import add_up, trace_traffic

__all__ = ["Attended", "GraphWork", "Work"]

_MASK_PLACES = {"FLASH_ATTN_EXT": 3, "SOFT_MAX": 1}
# What a mask goes through on its way from the host to an attention, its numbers unchanged.
_COPIES = VIEW_OPS | {"CPY", "CONT", "DUP"}
_N_PARAMS = 4
# Views of views of …: ggml has one step, and a damaged file may have a circle.
_MOST_HOPS = 64
# The numbers of a file may be anything.
_FAULTS = (UnknownWorkError, OverflowError, ZeroDivisionError)


@dataclass(frozen=True)
class Work:
    """Work of one call. None where slmprof has no exact count: null rather than wrong.

    Attributes:
        flops: floating-point operations.
        bytes: distinct storage read, plus storage written.
        weight_bytes: bytes of weights read, part of `bytes`.
    """

    flops: float | None = None
    bytes: float | None = None
    weight_bytes: float | None = None


class GraphWork:
    """Work of the nodes of one graph.

    Args:
        tensors: the graph's rows (`TensorTable.of_graph`).
        strings: the profile's texts.
        types: the profile's tensor types by name.
        edges: the graph's edges, where they are there already.
    """

    def __init__(
        self,
        tensors: TensorTable,
        strings: Sequence[str],
        types: Mapping[str, TensorType],
        edges: GraphEdges | None = None,
    ) -> None:
        self._types = types
        self._edges = edges if edges is not None else GraphEdges(tensors, strings)
        self._detail = [strings[i] if i >= 0 else "" for i in tensors.op_detail.tolist()]
        self._type = [strings[i] if i >= 0 else "" for i in tensors.type.tolist()]
        self._shapes = [tuple(row) for row in tensors.shapes().tolist()]
        self._strides = [tuple(row) for row in tensors.strides().tolist()]
        self._places = tensors.sources().tolist()
        self._size = tensors.size_bytes.tolist()
        self._view_src = tensors.view_src.tolist()
        self._view_offset = tensors.view_offset.tolist()
        # Profiles of the first format have one parameter.
        columns = [getattr(tensors, f"param{i}", None) for i in range(_N_PARAMS)]
        self._params = [
            column.tolist() if column is not None else [None] * len(tensors) for column in columns
        ]
        self._tensors: dict[int, Tensor] = {}

    def mask_of(self, node: int) -> int:
        """The row of the mask input that an attention reads; -1 if it reads none.

        A mask is followed through views, copies and casts. One that the graph computes, as the
        choice of keys in a sparse attention is, has no row.
        """
        edges = self._edges
        place = _MASK_PLACES.get(edges.op[node])
        row: int = self._places[node][place] if place is not None else -1
        for _ in range(_MOST_HOPS):
            if not (0 <= row < edges.n_nodes and edges.op[row] in _COPIES and edges.sources[row]):
                break
            row = edges.sources[row][0]
        return row if row >= 0 and edges.is_input[row] else -1

    def router_of(self, node: int) -> int:
        """The first routed product (MUL_MAT_ID) that reads the same ids as an ADD_ID; -1 if none.

        Only a product's event says how many experts were routed to.
        """
        if self._edges.op[node] != "ADD_ID" or self._places[node][2] < 0:
            return -1
        ids: int = self._places[node][2]
        for reader in self._edges.consumers[ids]:
            if self._edges.op[reader] == "MUL_MAT_ID" and self._places[reader][2] == ids:
                return reader
        return -1

    def of(
        self,
        node: int,
        n_fused: int = 0,
        *,
        attended: Attended | None = None,
        n_experts: float | None = None,
    ) -> Work:
        """Work of one call of a node, or of a fused group.

        Args:
            node: row of the (first) node.
            n_fused: how many nodes after it ran fused with it. Their operations add up; what one
                member leaves for another is no traffic.
            attended: what the mask of an attention lets through. Without it, only the work of an
                attention that has no mask is known.
            n_experts: experts that the tokens of a routed product were really routed to.

        Returns:
            None in every field for an operator or a tensor type that slmprof does not know.
        """
        try:
            members = [
                self._operation(row, attended, n_experts)
                for row in range(node, node + n_fused + 1)
                if self._edges.op[row] not in VIEW_OPS and self._edges.op[row] != "NONE"
            ]
        except (*_FAULTS, IndexError):
            return Work()
        if not members:
            return Work(0.0, 0.0, 0.0)
        work = Work()
        with contextlib.suppress(*_FAULTS):
            flops = math.fsum(count_flops(member) for member in members)
            work = Work(flops=flops if 0 <= flops < math.inf else None)
        with contextlib.suppress(*_FAULTS):
            n_bytes, weight_bytes = self._bytes(members)
            work = Work(work.flops, n_bytes, weight_bytes)
        return work

    def of_conversion(self, node: int, converted_type: str) -> Work:
        """Work of converting the activations of a product to another type before it.

        All rows are converted, whatever experts they go to. The conversion reads the second factor
        and writes as many rows of the new type; a conversion counts no floating-point operations.

        Args:
            node: row of the product.
            converted_type: ggml's name of the type (`q8_K`, `f16`).
        """
        try:
            if self._edges.op[node] not in PRODUCT_OPS:
                return Work()
            x = self._operation(node, None, None).source(1)
            written = row_size(self._types.get(converted_type), x.ne[0]) * x.n_rows
            n_bytes, weight_bytes = add_up((x,), (), float(written))
        except (*_FAULTS, IndexError):
            return Work()
        return Work(0.0, n_bytes, weight_bytes)

    def _bytes(self, members: list[Operation]) -> tuple[float | None, float | None]:
        traffic = [trace_traffic(member) for member in members]
        if len(members) == 1:
            (only,) = traffic
            return add_up(only.whole, only.parts, only.written_bytes)
        made = {member.result.row for member in members}
        return add_up(
            tuple(t for each in traffic for t in each.whole if not self._is_made(t, made)),
            tuple(p for each in traffic for p in each.parts if not self._is_made(p[0], made)),
            traffic[-1].written_bytes,
        )

    def _is_made(self, tensor: Tensor, made: set[int]) -> bool:
        """Whether a tensor is what a member of the group leaves, or a view of it."""
        row, edges = tensor.row, self._edges
        for _ in range(_MOST_HOPS):
            if row in made:
                return True
            if not (edges.is_view[row] and edges.sources[row]):
                break
            row = edges.sources[row][0]
        return False

    def _operation(self, row: int, attended: Attended | None, n_experts: float | None) -> Operation:
        sources = [self._tensor(s) if s >= 0 else None for s in self._places[row]]
        while sources and sources[-1] is None:
            sources.pop()
        return Operation(
            op=self._edges.op[row],
            detail=self._detail[row],
            result=self._tensor(row),
            sources=tuple(sources),
            params=tuple(column[row] for column in self._params),
            attended=attended,
            n_experts=n_experts,
        )

    def _tensor(self, row: int) -> Tensor:
        found = self._tensors.get(row)
        if found is None:
            found = self._tensors[row] = self._describe(row)
        return found

    def _describe(self, row: int) -> Tensor:
        stored = self._types.get(self._type[row])
        if stored is None:
            raise UnknownWorkError
        shape, strides = self._shapes[row], self._strides[row]
        if min(shape) < 0 or min(strides) < 0 or self._size[row] < 0:
            raise UnknownWorkError
        root, offset = row, 0
        for _ in range(_MOST_HOPS):
            if self._view_src[root] < 0:
                break
            offset += self._view_offset[root]
            root = self._view_src[root]
        return Tensor(
            row=row,
            element_bytes=stored.element_bytes,
            ne=shape,
            nb=strides,
            size_bytes=self._size[row],
            row_bytes=row_bytes(stored.element_bytes, shape, strides, self._size[row]),
            root=root,
            offset=offset,
            # What is computed from weights alone is no longer one: it lies elsewhere.
            is_weight=self._edges.weight[root] == root,
        )
