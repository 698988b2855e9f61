"""The part of its block that each executed op is: projections by their weights, the rest by its op
and by the parts next to it."""

from __future__ import annotations

from functools import cached_property

from .edges import NORM_OPS, RECURRENT_OPS, GraphEdges
from .placing import Region
from .weight_roles import PARTS, WeightRole

_MOVING_OPS = frozenset({"CONT", "CPY", "DUP", "CONCAT", "PAD", "REPEAT", "SET", "FILL"})


def assign_parts(
    edges: GraphEdges, regions: dict[int, Region], roles: dict[int, WeightRole]
) -> dict[int, str]:
    """The part of every row that has a region."""
    return _Parts(edges, regions, roles).run()


class _Parts:
    def __init__(
        self, edges: GraphEdges, regions: dict[int, Region], roles: dict[int, WeightRole]
    ) -> None:
        self.edges = edges
        self.regions = regions
        self.roles = roles
        self.part: dict[int, str] = {}

    def run(self) -> dict[int, str]:
        placed = [row for row in range(self.edges.n_nodes) if row in self.regions]
        # Forward: what a part's own product goes through on its way. Backward: what prepares one.
        for rule in (self._from_op, self._following):
            for row in placed:
                if row not in self.part and (part := rule(row)) is not None:
                    self.part[row] = part
        for row in reversed(placed):
            if row not in self.part:
                self.part[row] = self._preparing(row) or self._default(row)
        for row in reversed(placed):
            self._move_with_reader(row)
        return self.part

    def _from_op(self, row: int) -> str | None:
        edges = self.edges
        block = self.regions[row][1]
        op = edges.op[row]
        role = self.roles.get(row)
        if block not in ("other", "embedding") and edges.selects_rows(row):
            return "row_select"
        if block == "other":
            return self._other_part(row)
        if role is not None and (role.kind == "use" or role.part == "altup"):
            return self._translated(role.part, block)
        if op in NORM_OPS or (role is not None and role.kind == "norm"):
            return self._norm_part(row, block)
        if block == "attention":
            found = self._attention_op(row, op)
            if found is not None:
                return found
        if op.startswith("DSV4_HC_") and "hyper_connection" in PARTS[block]:
            return "hyper_connection"
        if block == "recurrent" and op in RECURRENT_OPS:
            return "conv" if op == "SSM_CONV" else "scan"
        reads_state = any(edges.state[s] >= 0 for s in edges.sources[row][:1])
        if block in ("recurrent", "ffn") and (reads_state or edges.writes_state(row)):
            return "state"
        if row in edges.residuals:
            return "embed" if block == "embedding" else "residual"
        if op == "MUL_MAT_ID" and block == "ffn":
            return "experts"
        if block == "embedding":
            return "embed"
        return None

    def _other_part(self, row: int) -> str:
        if any(self.edges.is_input[s] for s in self.edges.sources[row]):
            return "pooler"
        return "vocoder" if self._has_vocoder else "unknown"

    @cached_property
    def _has_vocoder(self) -> bool:
        return any(role.part == "vocoder" for role in self.roles.values())

    def _attention_op(self, row: int, op: str) -> str | None:
        edges = self.edges
        if op == "FLASH_ATTN_EXT":
            return "flash_attn"
        if op in ("ROPE", "ROPE_BACK"):
            return "rope"
        if op == "LIGHTNING_INDEXER":
            return "indexer"
        if row in edges.attention_cores:
            return "softmax"
        if row in edges.score_rows:
            return "scores"
        if edges.writes_state(row):
            return "kv_write"
        if row in edges.value_rows:
            return "values"
        if self._is_input_made(row):
            return "mask"
        if edges.executed[row] and any(edges.state[s] >= 0 for s in edges.sources[row][:1]):
            return "kv_read"
        return None

    def _is_input_made(self, row: int) -> bool:
        """Whether a row depends on the host's inputs alone, as masks and positions do."""
        edges = self.edges
        return all(
            edges.weight[source] < 0 and edges.state[source] < 0
            for source in edges.walk(row, lambda _: True, back=True)
        )

    def _norm_part(self, row: int, block: str) -> str:
        role = self.roles.get(row)
        if role is not None and role.part != "norm":
            return self._translated(role.part, block)
        edges = self.edges
        for reader in edges.readers(row):
            named = self.roles.get(reader)
            if edges.op[reader] in ("MUL", "ADD") and named is not None and named.kind == "norm":
                if named.part != "norm":
                    return self._translated(named.part, block)
                break
        if block == "attention" and any(
            self.part.get(self.edges.behind_views(s)) in ("qkv", "qk_norm", "rope")
            for s in edges.sources[row]
        ):
            fed = self._next_linear_parts(row)
            return "norm" if "out_proj" in fed else "qk_norm"
        return "norm"

    def _next_linear_parts(self, row: int) -> set[str]:
        edges = self.edges

        def part(reader: int) -> str | None:
            if reader in edges.residuals:
                # A norm of the block's own output: no norm of queries or keys.
                return "out_proj"
            role = self.roles.get(reader)
            return role.part if role is not None and role.kind == "use" else None

        reached = edges.walk(row, lambda r: part(r) is None and r not in edges.attention_cores)
        return {found for found in map(part, reached) if found is not None}

    @staticmethod
    def _translated(part: str, block: str) -> str:
        """A part by its block's words: a weight's name may come from another kind of block."""
        if part in PARTS[block]:
            return part
        if block == "recurrent":
            return {"qkv": "in_proj", "qk_norm": "norm", "values": "out_proj"}.get(part, "scan")
        return {"qk_norm": "norm"}.get(part, PARTS[block][0])

    def _following(self, row: int) -> str | None:
        edges = self.edges
        region = self.regions[row]
        block = region[1]
        op = edges.op[row]
        near = self._parts_of(edges.sources[row], region)
        if block == "lm_head":
            return "norm" if near == {"norm"} else "head" if near else None
        if self._ends_block(row):
            return "residual"
        if block == "ffn":
            for part in ("shared_expert", "experts", "router"):
                if part in near:
                    if part == "router" and op in ("MUL", "ADD") and "experts" in near:
                        return "experts"
                    return part
            if near & {"gate_up", "activation"}:
                return "activation"
        if block == "attention" and near & {"values", "flash_attn"} and op != "MUL_MAT":
            return "gate" if op in ("MUL", "DIV") else "values"
        if block == "recurrent":
            return self._recurrent_following(op, near)
        for part in ("out_proj", "gate", "indexer", "compressor", "laurel", "altup"):
            if part in near:
                return part
        order = PARTS[block]
        if near == {"residual"}:
            return "residual"
        ranked = sorted(near - {"mask", "residual", "row_select", "state"}, key=order.index)
        return ranked[-1] if ranked and ranked[-1] not in ("norm",) else None

    def _recurrent_following(self, op: str, near: set[str]) -> str | None:
        if op in _MOVING_OPS and near & {"state"}:
            return "state"
        for part in ("out_proj", "gate", "scan", "state_params", "conv", "in_proj", "token_shift"):
            if part in near:
                return "scan" if part == "in_proj" and op in ("MUL_MAT", "MUL") else part
        return None

    def _parts_of(self, rows: list[int], region: Region) -> set[str]:
        found = set()
        for source in rows:
            behind = self.edges.behind_views(source)
            if self.regions.get(behind, (None, None))[1] == region[1] and behind in self.part:
                found.add(self.part[behind])
        return found

    def _ends_block(self, row: int) -> bool:
        """Whether a row joins or scales what leaves a block: parallel branches, residual scales."""
        edges = self.edges
        region = self.regions[row]
        if edges.op[row] not in ("ADD", "SCALE", "MUL"):
            return False
        readers = edges.readers(row)
        if edges.op[row] == "ADD" and not any(edges.weight[s] >= 0 for s in edges.sources[row]):
            feeders = {self.regions.get(edges.behind_views(s), region) for s in edges.sources[row]}
            leaves = all(self.regions.get(r) != region or r in edges.residuals for r in readers)
            return len(feeders) > 1 and leaves
        if edges.residuals.issuperset(readers) and readers:
            return edges.op[row] == "SCALE" or row not in self.roles
        comes_from = {self.part.get(edges.behind_views(s)) for s in edges.sources[row]}
        return "residual" in comes_from and all(self.regions.get(r) != region for r in readers)

    def _preparing(self, row: int) -> str | None:
        edges = self.edges
        region = self.regions[row]
        near = {self.part[r] for r in edges.readers(row) if r in self.part}
        near = {p for p in near if p in PARTS[region[1]]}
        near.discard("residual")
        return min(near, key=PARTS[region[1]].index) if near else None

    def _default(self, row: int) -> str:
        block = self.regions[row][1]
        return {
            "embedding": "embed",
            "attention": "qkv",
            "ffn": "residual",
            "recurrent": "scan",
            "lm_head": "head",
        }.get(block, "unknown")

    def _move_with_reader(self, row: int) -> None:
        """What only prepares a KV write, a product of the attention or a gate is part of it."""
        edges = self.edges
        if row in self.roles or edges.writes_state(row) or self.regions[row][1] != "attention":
            return
        readers = {self.part.get(r) for r in edges.readers(row)}
        if len(readers) != 1 or self.part[row] == "mask":
            return
        only = readers.pop()
        op = edges.op[row]
        if (op in _MOVING_OPS and only in ("kv_write", "scores", "values", "flash_attn")) or (
            (op in _MOVING_OPS or op == "UNARY") and only == "gate"
        ):
            self.part[row] = only
