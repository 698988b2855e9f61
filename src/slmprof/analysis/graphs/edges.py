"""A compute graph as plain lists: who feeds whom, what is a weight, what is executed.

Everything that attribution asks of a graph is answered here, from the rows of one graph's tensor
table. Rows stand in execution order, so a smaller row number means 'earlier'; leaves come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

from ...errors import ProfileFormatError
from ...profiles.tables import TensorTable
from ...profiles.vocabulary import USAGES

VIEW_OPS = frozenset({"RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"})
NORM_OPS = frozenset({"NORM", "RMS_NORM", "GROUP_NORM", "L2_NORM"})
PRODUCT_OPS = frozenset({"MUL_MAT", "MUL_MAT_ID"})
RECURRENT_OPS = frozenset(
    {"SSM_CONV", "SSM_SCAN", "RWKV_WKV6", "RWKV_WKV7", "GATED_LINEAR_ATTN", "GATED_DELTA_NET"}
)
# What passes an activation on, possibly fewer rows of it or scaled, without mixing it with another.
CARRYING_OPS = VIEW_OPS | {"GET_ROWS", "SCALE", "CONT", "CPY", "DUP", "CAST"}

# Of all walks through a graph together. Models need three a row.
_STEPS, _STEPS_A_ROW = 100_000, 200

_FLAG_INPUT = 1
_FLAG_COMPUTE = 16
_USAGE_WEIGHTS = USAGES.index("weights")
_USAGE_STATE = USAGES.index("state")


class GraphEdges:
    """The edges of one graph.

    Attributes:
        n_rows: nodes and leaves; n_nodes: nodes alone, rows 0 to n_nodes - 1.
        op, name: text of each row.
        sources: for each row the rows that it reads.
        consumers: for each row the rows that read it.
        executed: whether the backend runs the row; one without elements too, whose barrier is kept.
        weight: the weight leaf that a row is, views, or is computed from alone; -1 otherwise.
        state: the cache or recurrent-state leaf that a row is or views; -1 otherwise.
        is_input: leaves that the host fills before every run.
    """

    def __init__(self, tensors: TensorTable, strings: Sequence[str]) -> None:
        self.n_rows = len(tensors)
        self._steps_left = _STEPS + _STEPS_A_ROW * self.n_rows
        node = tensors.node.tolist()
        self.n_nodes = sum(1 for position in node if position >= 0)
        # A leaf is no result, whatever a file says that it is one of.
        self.op: list[str] = [
            strings[i] if i >= 0 and position >= 0 else "NONE"
            for i, position in zip(tensors.op.tolist(), node, strict=True)
        ]
        self.name: list[str] = [strings[i] if i >= 0 else "" for i in tensors.name.tolist()]
        self.sources: list[list[int]] = [
            [s for s in row if s >= 0] for row in tensors.sources().tolist()
        ]
        self.consumers: list[list[int]] = [[] for _ in range(self.n_rows)]
        for row, sources in enumerate(self.sources):
            for source in sources:
                self.consumers[source].append(row)

        flags = tensors.flags.tolist()
        # Older ggml has no compute flag: then nothing is marked, and every node counts.
        marked = any(flag & _FLAG_COMPUTE for flag in flags[: self.n_nodes])
        self.is_view: list[bool] = [op in VIEW_OPS for op in self.op]
        self.executed: list[bool] = [
            position >= 0
            and op != "NONE"
            and not view
            and (not marked or bool(flag & _FLAG_COMPUTE))
            for position, op, view, flag in zip(node, self.op, self.is_view, flags, strict=True)
        ]

        usage = tensors.usage.tolist()
        view_src = tensors.view_src.tolist()
        self.weight: list[int] = [-1] * self.n_rows
        self.state: list[int] = [-1] * self.n_rows
        self.is_input: list[bool] = [False] * self.n_rows
        for row in range(self.n_rows - 1, -1, -1):
            if row < self.n_nodes and (self.sources[row] or self.op[row] != "NONE"):
                continue
            if usage[row] == _USAGE_WEIGHTS:
                self.weight[row] = row
            elif usage[row] == _USAGE_STATE:
                self.state[row] = row
            elif usage[row] == 0 and not flags[row] & _FLAG_INPUT:
                # Not allocated: a planned graph. Names are all that is left to tell them apart.
                if self.name[row].startswith("cache_"):
                    self.state[row] = row
                elif self.name[row].endswith((".weight", ".bias", ".scale")):
                    self.weight[row] = row
                else:
                    self.is_input[row] = True
            else:
                self.is_input[row] = True
        for row in range(self.n_nodes):
            sources = self.sources[row]
            if not sources:
                continue
            if all(self.weight[s] >= 0 for s in sources):
                self.weight[row] = self.weight[sources[0]]
            if self.is_view[row]:
                self.state[row] = self.state[sources[0]]
            elif view_src[row] >= 0 and self.state[view_src[row]] >= 0:
                self.state[row] = self.state[view_src[row]]

    def is_linear(self, row: int) -> bool:
        """Whether the row multiplies an activation with a weight."""
        if self.op[row] not in PRODUCT_OPS:
            return False
        sources = self.sources[row]
        return self.weight[sources[0]] >= 0 and self.weight[sources[1]] < 0

    def writes_state(self, row: int) -> bool:
        """Whether the row stores into a cache or a recurrent state."""
        return self.executed[row] and self.op[row] in ("SET_ROWS", "CPY") and self.state[row] >= 0

    def walk(
        self, start: int, passes: Callable[[int], bool], *, back: bool = False
    ) -> Iterator[int]:
        """The rows that read a row, or that it reads, and so on from those that `passes` lets
        through; each once."""
        near = self.sources if back else self.consumers
        queue, seen = [start], {start}
        while queue:
            rows = near[queue.pop()]
            self._step(len(rows))
            for row in rows:
                if row not in seen:
                    seen.add(row)
                    yield row
                    if passes(row):
                        queue.append(row)

    def readers(self, row: int) -> list[int]:
        """The executed rows that read this row, directly or through views."""
        is_view = self.is_view
        return sorted(r for r in self.walk(row, is_view.__getitem__) if not is_view[r])

    def behind_views(self, row: int) -> int:
        """The row whose storage a view shows; a row that is no view is its own."""
        while self.is_view[row] and self.sources[row]:
            self._step()
            row = self.sources[row][0]
        return row

    def _step(self, n: int = 1) -> None:
        """Counts the steps of all walks. A graph that a file made up may have a path from each row
        to each other one; a model's blocks are short."""
        self._steps_left -= n
        if self._steps_left < 0:
            raise ProfileFormatError("a graph is too entangled to be that of a model")

    @cached_property
    def ancestors(self) -> list[int]:
        """For each node a bit set, as one integer, of the nodes that it depends on."""
        sets = [0] * self.n_rows
        for row in range(self.n_nodes):
            bits = 0
            for source in self.sources[row]:
                if source < self.n_nodes:
                    bits |= sets[source] | (1 << source)
            sets[row] = bits
        return sets

    @cached_property
    def linears(self) -> int:
        """The bit set of all rows that multiply with a weight."""
        return sum(1 << row for row in range(self.n_nodes) if self.is_linear(row))

    @cached_property
    def norms(self) -> int:
        """The bit set of all norms."""
        return sum(1 << row for row in range(self.n_nodes) if self.op[row] in NORM_OPS)

    @cached_property
    def residuals(self) -> frozenset[int]:
        """Additions that join a branch with the stream that it left.

        One side is an ancestor of the other, and a product with a weight or a norm lies between
        them: that is what tells a block's branch from arithmetic inside a block (`x + a * dx`).
        """
        found: set[int] = set()
        for row in range(self.n_nodes):
            if self.op[row] != "ADD" or any(self.weight[s] >= 0 for s in self.sources[row]):
                continue
            left, right = (self.behind_views(s) for s in self.sources[row][:2])
            if (
                self._skips(left, right, row, found)
                or self._skips(right, left, row, found)
                or self._joins(left, right, found)
                or self._joins(right, left, found)
            ):
                found.add(row)
        return frozenset(found)

    def _skips(self, stream: int, branch: int, joined: int, residuals: set[int]) -> bool:
        """Whether the branch left the stream further up, and the stream is a model's main one."""
        if branch >= self.n_nodes or branch == stream:
            return False
        before = self.ancestors[branch] | 1 << branch
        origin = stream
        while origin < self.n_nodes:
            if before >> origin & 1:
                passed = before & ~self.ancestors[origin]
                return bool(passed & (self.linears | self.norms)) and self._is_stream(
                    origin, residuals, joined
                )
            step = self._carried_from(origin)
            if step < 0:
                return False
            origin = step
        # A stream that starts at an input: embeddings given by the caller.
        return (
            self.is_input[origin]
            and bool(before & self.linears)
            and any(before >> reader & 1 for reader in self.consumers[origin])
            and self._feeds(origin, self.norms | self.linears)
        )

    def _joins(self, stream: int, branch: int, residuals: set[int]) -> bool:
        """Whether one side is a residual sum already, which a branch parallel to another joins."""
        while stream < self.n_nodes and stream not in residuals:
            stream = self._carried_from(stream)
            if stream < 0:
                return False
        return (
            stream in residuals
            and branch < self.n_nodes
            and bool((self.ancestors[branch] | 1 << branch) & self.linears)
        )

    def _is_stream(self, row: int, residuals: set[int], joined: int) -> bool:
        """Whether a row is an earlier sum, or what the graph starts with, normed or not."""
        while row < self.n_nodes and row not in residuals:
            if self.op[row] in NORM_OPS:
                # Some models carry the normed stream on. Arithmetic on a block's own normed input
                # looks the same, but its sum goes into a product, not into the next norm.
                if not self._feeds(joined, self.norms):
                    return False
                row = self.sources[row][0]
                continue
            step = self._carried_from(row)
            if step < 0:
                # Masks are added up too. A stream has looked up embeddings, or goes to a block.
                looked_up = (self.ancestors[row] | 1 << row) & self._lookups
                return not self.ancestors[row] & self.linears and (
                    bool(looked_up) or self._feeds(row, self.norms | self.linears)
                )
            row = step
        return True

    @cached_property
    def _lookups(self) -> int:
        """The bit set of the rows that look up rows of a weight."""
        return sum(
            1 << row
            for row in range(self.n_nodes)
            if self.op[row] == "GET_ROWS" and self.weight[self.sources[row][0]] >= 0
        )

    def _feeds(self, row: int, readers: int) -> bool:
        """Whether one of a set of rows reads this row, directly or scaled, or with rows chosen."""
        return any(readers >> reader & 1 for reader in self.walk(row, self.carries))

    def _carried_from(self, row: int) -> int:
        """The activation that a row passes on, by chosen rows or scaled; -1 if it makes another."""
        self._step()
        sources = self.sources[row]
        if self.op[row] in CARRYING_OPS:
            return -1 if self.weight[sources[0]] >= 0 else sources[0]
        if self.op[row] in ("MUL", "ADD"):
            activations = [s for s in sources if self.weight[s] < 0]
            return activations[0] if len(activations) == 1 else -1
        return -1

    def selects_rows(self, row: int) -> bool:
        """Whether a row keeps some tokens of an activation, by ids that the host gives."""
        if self.op[row] != "GET_ROWS":
            return False
        data, ids = self.sources[row][:2]
        if not self.is_input[ids] or self.state[data] >= 0 or self.weight[data] >= 0:
            return False
        # Other lists of rows exist in a few models; where llama.cpp's own is there, it is the one.
        return self.name[ids] == "out_ids" or not self._has_out_ids

    @cached_property
    def _has_out_ids(self) -> bool:
        return "out_ids" in self.name

    def ends(self, row: int) -> set[int]:
        """The executed rows that read this row, directly or scaled, or with rows chosen."""

        def passes(reader: int) -> bool:
            return reader not in self.joins and self.carries(reader)

        return {r for r in self.walk(row, passes) if self.executed[r] and not passes(r)}

    @cached_property
    def joins(self) -> frozenset[int]:
        """Residual additions, and the sums of parallel branches on their way to one."""
        found = set(self.residuals)
        for row in range(self.n_nodes - 1, -1, -1):
            if self.op[row] == "ADD" and row not in found:
                readers = self.readers(row)
                if (
                    readers
                    and found.issuperset(readers)
                    and all(self.weight[s] < 0 for s in self.sources[row])
                ):
                    found.add(row)
        return frozenset(found)

    def carries(self, row: int) -> bool:
        """Whether a row passes one activation on, chosen by rows or scaled."""
        return bool(self.sources[row]) and self._carried_from(row) >= 0

    def depth(self, row: int) -> int:
        """How many residual additions lie before a row: equal for all rows of one block."""
        return (self.ancestors[row] & self._residual_bits).bit_count()

    @cached_property
    def _residual_bits(self) -> int:
        return sum(1 << row for row in self.residuals)

    @cached_property
    def score_rows(self) -> frozenset[int]:
        """Everything from the products of queries and keys up to their soft max."""
        found: set[int] = set()
        for row in range(self.n_nodes):
            if self.op[row] != "SOFT_MAX":
                continue
            chain = [row]
            source = self.sources[row][0]
            while source < self.n_nodes and not self.is_linear(source):
                self._step()
                chain.append(source)
                if self.op[source] == "MUL_MAT":
                    found.update(chain)
                    break
                if not self.sources[source] or self.op[source] == "GET_ROWS":
                    break
                source = self.sources[source][0]
        return frozenset(found)

    @cached_property
    def attention_cores(self) -> frozenset[int]:
        """The soft max over scores, or the fused operator, of every attention."""
        return frozenset(
            row
            for row in range(self.n_nodes)
            if self.op[row] == "FLASH_ATTN_EXT"
            or (self.op[row] == "SOFT_MAX" and row in self.score_rows)
        )

    @cached_property
    def value_rows(self) -> frozenset[int]:
        """The products of a soft max over scores with the values."""
        return frozenset(
            row
            for core in self.attention_cores
            if self.op[core] == "SOFT_MAX"
            for row in self.walk(core, lambda passed: self.op[passed] in CARRYING_OPS)
            if self.op[row] == "MUL_MAT" and not self.is_linear(row)
        )
