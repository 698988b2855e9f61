"""Small compute graphs built by hand, as tables of tensors, for the tests of attribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from slmprof.analysis.graphs.attribution import Attribution, attribute
from slmprof.analysis.graphs.edges import GraphEdges
from slmprof.profiles.tables import TensorTable

WEIGHT, COMPUTE, STATE = 1, 2, 3
VIEWS = {"RESHAPE", "VIEW", "PERMUTE", "TRANSPOSE"}
N_EMBD, N_TOKENS = 8, 4


@dataclass
class Row:
    op: str
    name: str
    sources: tuple[int, ...]
    usage: int
    view_of: int = -1
    flags: int = 16
    detail: str = ""
    n_rows: int = N_TOKENS


@dataclass
class Graph:
    """A compute graph in the making. `anonymous` hides the names of weights and caches, as a fork
    with its own naming would."""

    anonymous: bool = False
    rows: list[Row] = field(default_factory=list)

    def leaf(self, name: str, usage: int = WEIGHT) -> int:
        for row, known in enumerate(self.rows):
            if known.op == "NONE" and known.name == name:
                return row
        self.rows.append(Row("NONE", name, (), usage, flags=0))
        return len(self.rows) - 1

    def op(self, op: str, *sources: int | str, name: str = "", detail: str = "") -> int:
        """Adds a node. A source given as text is a weight of that name."""
        found = tuple(self.leaf(s) if isinstance(s, str) else s for s in sources)
        view = found[0] if op in VIEWS else -1
        usage = self.rows[view].usage if view >= 0 else COMPUTE
        self.rows.append(Row(op, name, found, usage, view, detail=detail))
        return len(self.rows) - 1

    def input(self, name: str) -> int:
        return self.leaf(name, COMPUTE)

    def cache(self, name: str) -> int:
        return self.leaf(name, STATE)

    def before(self, row: int) -> int:
        """The first source of a row."""
        return self.rows[row].sources[0]

    # Pieces of models.

    def norm(self, x: int, weight: str = "", op: str = "RMS_NORM") -> int:
        x = self.op(op, x)
        return self.op("MUL", x, weight) if weight else x

    def linear(self, weight: str, x: int, bias: str = "") -> int:
        x = self.op("MUL_MAT", weight, x)
        return self.op("ADD", x, bias) if bias else x

    def attention_core(self, layer: int, q: int, k: int, v: int, flash: bool = False) -> int:
        ids = self.input("attn_inp_k_idxs")
        mask = self.input("attn_inp_kq_mask")
        k_cache, v_cache = self.cache(f"cache_k_l{layer}"), self.cache(f"cache_v_l{layer}")
        self.store(k, ids, k_cache)
        self.store(v, ids, v_cache)
        k_view, v_view = self.op("VIEW", k_cache), self.op("VIEW", v_cache)
        if flash:
            return self.op("FLASH_ATTN_EXT", q, k_view, v_view, mask)
        scores = self.op("MUL_MAT", self.op("PERMUTE", k_view), self.op("PERMUTE", q))
        soft = self.op("SOFT_MAX", scores, mask)
        return self.op("CONT", self.op("PERMUTE", self.op("MUL_MAT", v_view, soft)))

    def store(self, x: int, ids: int, cache: int) -> int:
        row = self.op("SET_ROWS", x, ids, cache)
        self.rows[row].view_of, self.rows[row].usage = cache, STATE
        return row

    def attention(self, layer: int, x: int, **core: Any) -> int:
        """From a normed stream to the output projection, with rope."""
        blk = f"blk.{layer}."
        q, k, v = (self.linear(f"{blk}attn_{p}.weight", x) for p in "qkv")
        q, k = (self.op("ROPE", p, self.input("inp_pos")) for p in (q, k))
        out = self.attention_core(layer, q, k, v, **core)
        return self.linear(f"{blk}attn_output.weight", out)

    def ffn(self, layer: int, x: int) -> int:
        blk = f"blk.{layer}."
        gate = self.linear(f"{blk}ffn_gate.weight", x)
        up = self.linear(f"{blk}ffn_up.weight", x)
        return self.linear(f"{blk}ffn_down.weight", self.op("GLU", gate, up, detail="SWIGLU"))

    def layer(self, layer: int, x: int, **core: Any) -> int:
        """A Llama layer."""
        out = self.attention(layer, self.norm(x, f"blk.{layer}.attn_norm.weight"), **core)
        x = self.op("ADD", out, x)
        return self.op("ADD", self.ffn(layer, self.norm(x, f"blk.{layer}.ffn_norm.weight")), x)

    def embed(self) -> int:
        return self.op("GET_ROWS", "token_embd.weight", self.input("inp_tokens"), name="embd")

    def head(self, x: int) -> int:
        return self.linear("output.weight", self.norm(x, "output_norm.weight"))

    # What the tests ask.

    def table(self) -> tuple[TensorTable, list[str], list[int]]:
        """The table, its texts, and for each of this graph's rows its row in the table."""
        order = [i for i, r in enumerate(self.rows) if r.op != "NONE"]
        n_nodes = len(order)
        order += [i for i, r in enumerate(self.rows) if r.op == "NONE"]
        place = {row: i for i, row in enumerate(order)}
        texts: list[str] = []

        def text(value: str) -> int:
            if value not in texts:
                texts.append(value)
            return texts.index(value)

        columns: dict[str, list[int]] = {name: [] for name in TensorTable.schema()}
        for position, number in enumerate(order):
            row = self.rows[number]
            hidden = self.anonymous and row.usage in (WEIGHT, STATE)
            given = {
                "node": position if position < n_nodes else -1,
                "op": text(row.op),
                "op_detail": text(row.detail),
                "name": text(f"t{number}" if hidden else row.name),
                "type": text("f32"),
                "buffer_type": text("CPU"),
                "usage": row.usage,
                "flags": row.flags,
                "view_src": place[row.view_of] if row.view_of >= 0 else -1,
                "ne0": N_EMBD,
                "ne1": row.n_rows,
                "ne2": 1,
                "ne3": 1,
            }
            for i in range(10):
                given[f"src{i}"] = place[row.sources[i]] if i < len(row.sources) else -1
            for name, column in columns.items():
                column.append(given.get(name, 0))
        return TensorTable.from_columns(columns), texts, [place[i] for i in range(len(self.rows))]

    def places(self) -> Places:
        table, texts, place = self.table()
        return Places(attribute(GraphEdges(table, texts)), place)


@dataclass
class Places:
    result: Attribution
    place: list[int]

    def __call__(self, row: int) -> tuple[int, str, str]:
        at = self.place[row]
        return int(self.result.layer[at]), str(self.result.block[at]), str(self.result.part[at])

    def blocks(self, rows: Sequence[int]) -> set[tuple[int, str]]:
        return {self(row)[:2] for row in rows}


def llama(n_layers: int = 2, anonymous: bool = False, **core: Any) -> Graph:
    graph = Graph(anonymous)
    x = graph.embed()
    for layer in range(n_layers):
        x = graph.layer(layer, x, **core)
    graph.head(x)
    return graph


def parts_in_order(graph: Graph) -> list[tuple[int, str, str]]:
    places = graph.places()
    found = [places(i) for i, row in enumerate(graph.rows) if row.op not in VIEWS | {"NONE"}]
    return [p for i, p in enumerate(found) if i == 0 or found[i - 1] != p]
