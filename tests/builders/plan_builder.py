"""Planned graphs and plans built by hand, whose every byte can be worked out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from slmprof.planning.records import (
    ComputePeak,
    LayerSize,
    LiveTensor,
    MemoryPlan,
    MemoryReport,
    PlannedModel,
    PlannerCost,
    TensorPlace,
    UbatchSize,
)
from slmprof.profiles.records.meta import Buffer
from slmprof.profiles.tables import TensorTable
from slmprof.settings.resolved import ResolvedPlan

INPUT, OUTPUT, COMPUTE = 1, 2, 16
MIB = 1 << 20


@dataclass
class PlannedGraph:
    """A graph in the making; sizes are bytes of f32 rows, places are the allocator's offsets."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def leaf(self, name: str, size_bytes: int = 64, offset: int = -1, flags: int = INPUT) -> int:
        """An input, or with no offset a weight."""
        return self._add("NONE", name, (), size_bytes, offset, flags if offset >= 0 else 0, -1)

    def op(
        self,
        op: str,
        *sources: int,
        name: str = "",
        size_bytes: int = 64,
        offset: int = -1,
        flags: int = COMPUTE,
        view_of: int = -1,
    ) -> int:
        """A node; one that is a view has no place of its own."""
        return self._add(
            op, name or f"t{len(self.rows)}", sources, size_bytes, offset, flags, view_of
        )

    def _add(
        self,
        op: str,
        name: str,
        sources: tuple[int, ...],
        size_bytes: int,
        offset: int,
        flags: int,
        view_of: int,
    ) -> int:
        self.rows.append(
            {
                "op": op, "name": name, "sources": sources, "size_bytes": size_bytes,
                "offset": offset, "flags": flags, "view_of": view_of,
            }
        )  # fmt: skip
        return len(self.rows) - 1

    def planned(self, phase: str = "prefill", size_bytes: int | None = None) -> dict[str, Any]:
        """As the native planner gives it; nodes first, then leaves."""
        nodes = [i for i, row in enumerate(self.rows) if row["op"] != "NONE"]
        order = nodes + [i for i, row in enumerate(self.rows) if row["op"] == "NONE"]
        place = {row: i for i, row in enumerate(order)} | {-1: -1}
        strings: list[str] = []

        def text(value: str) -> int:
            if value not in strings:
                strings.append(value)
            return strings.index(value)

        columns: dict[str, list[int]] = {name: [] for name in TensorTable.schema()}
        for position, number in enumerate(order):
            row = self.rows[number]
            n_elements = row["size_bytes"] // 4
            is_placed = row["offset"] >= 0
            given = {
                "node": position if position < len(nodes) else -1,
                "op": text(row["op"]), "op_detail": -1, "name": text(row["name"]),
                "type": text("f32"), "buffer_type": text("CPU"),
                "usage": 2 if is_placed or row["view_of"] >= 0 or row["op"] != "NONE" else 1,
                "buffer": 0 if is_placed else -1, "offset_bytes": row["offset"],
                "flags": row["flags"], "view_src": place[row["view_of"]],
                "ne0": n_elements, "ne1": 1, "ne2": 1, "ne3": 1,
                "nb0": 4, "nb1": row["size_bytes"], "nb2": row["size_bytes"],
                "nb3": row["size_bytes"], "size_bytes": row["size_bytes"],
            }  # fmt: skip
            for i in range(10):
                given[f"src{i}"] = place[row["sources"][i]] if i < len(row["sources"]) else -1
            for name, column in columns.items():
                column.append(given.get(name, 0))
        tensors = {
            name: np.array(values, TensorTable.schema()[name].dtype)
            for name, values in columns.items()
        }
        ends = [row["offset"] + row["size_bytes"] for row in self.rows if row["offset"] >= 0]
        buffer = {"device": "CPU", "buffer_type": "CPU", "kind": "compute"}
        size = max(ends) if size_bytes is None else size_bytes
        return {
            "phase": phase, "n_tokens": 4, "n_outputs": 4, "work_bytes": 0, "strings": strings,
            "buffers": [{**buffer, "size_bytes": size}], "tensors": tensors,
        }  # fmt: skip


CONFIG = ResolvedPlan.from_json({
    "file_type": None, "n_ctx": 2048, "n_seq_max": 1, "n_batch": 2048, "n_ubatch": 512,
    "n_outputs_max": 0, "flash_attn": "on", "type_k": "f16", "type_v": "f16", "swa_full": False,
    "mmap": True, "repack": True, "threads": 2, "override_tensor": [],
})  # fmt: skip


MODEL = PlannedModel(
    name="example", path="example.gguf", architecture="llama", n_params=1000000, n_layer=3,
    n_embd=256, n_vocab=4096, n_ctx_train=4096, n_expert=0, file_type="Q4_K - Medium",
    size_bytes=562500, tensor_types={"q4_K": 562500}, random_weights=False,
)  # fmt: skip


def example_plan(name: str = "blk.0.attn_q.weight", **config: Any) -> MemoryPlan:
    """Three equal layers of 2 MiB weights and 1 MiB cache; 4 MiB of weights outside them."""
    layers = [LayerSize(i, 2 * MIB, MIB, 0) for i in range(3)]
    logits = LiveTensor("result_output", "MUL_MAT", "lm_head", None, "f32", (4096, 512), 8 * MIB)
    ids = LiveTensor("inp_tokens", "NONE", "embedding", None, "i32", (512,), 2048)
    peaks = (
        ComputePeak(9 * MIB, "prefill", 512, 8 * MIB + 2048, MIB - 2048, 8 * MIB, (logits, ids)),
        ComputePeak(MIB, "decode", 1, MIB, 0, MIB, (ids,)),
    )
    return MemoryPlan(
        config=replace(CONFIG, **config),
        buffers=(
            Buffer("CPU", "CPU_Mapped", "weights", 10 * MIB),
            Buffer("CPU", "CPU_REPACK", "weights", 2 * MIB),
            Buffer("CPU", "CPU", "kv_cache", 3 * MIB),
            Buffer("CPU", "CPU", "compute", 9 * MIB),
            Buffer("CPU", "CPU", "output", 2048),
            Buffer("CPU", "CPU", "work", 4096),
        ),
        layers=(*layers, LayerSize(None, 4 * MIB, 0, 0)),
        tensors=(
            TensorPlace(name, "q4_K", (256, 256), 36864, 0, "weights", "CPU", "CPU_Mapped"),
            TensorPlace("cache_k_l0", "f16", (64, 2048), 262144, 0, "kv_cache", "CPU", "CPU"),
        ),
        compute_phases=peaks,
        ubatch=(UbatchSize(256, 5 * MIB), UbatchSize(512, 9 * MIB)),
        notes=("something to know",),
    )


def example_report(*plans: MemoryPlan, **fields: Any) -> MemoryReport:
    """A report of these plans."""
    values: dict[str, Any] = {
        "model": MODEL,
        "memory_bytes": 8 << 30, "varying": (), "settings": plans or (example_plan(),),
        "refusals": (), "fits": (), "budget_bytes": None, "lightest": None,
        "least_compressed": None, "planner": PlannerCost(1.5, 1000, 2000),
    }  # fmt: skip
    return MemoryReport(**{**values, **fields})
