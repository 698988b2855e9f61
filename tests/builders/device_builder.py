"""The example profile with its last two ops on a remote device, which tells nothing of its ops.

A recorded step is as in the example until node 5. Then the copy of what node 5 reads takes 0.5 ms,
the device computes, and the host's outputs begin when the device has been told and end 1 ms after
it is done. In a split pass the device takes as long as the example's spans. In an op pass it runs
the two ops one by one, each for its span and the millisecond that an empty graph takes.
"""

from __future__ import annotations

from typing import Any

from builders import DECODE, EXECUTED, HOST_MS, MS, N_GEN, PREFILL, Builder

from slmprof.profiles.vocabulary import PASS_OP, PASS_SPLIT, SEGMENTS

DEVICE = "RPC0"
FIRST_NODE = 5
COPY_NS, EMPTY_NS, TOLD_NS = MS // 2, MS, MS // 10
CPU_OPS = [row for row in EXECUTED if row[0] < FIRST_NODE]
DEVICE_OPS = [row for row in EXECUTED if row[0] >= FIRST_NODE]


class DeviceBuilder(Builder):
    """Builds that profile."""

    name, kind = DEVICE, "device"
    # What the device takes beside an op that it runs alone, and beside a split.
    empty_ns, beside_ns = EMPTY_NS, 0

    def repeat(self, repeat: int) -> None:
        super().repeat(repeat)
        self.recorded_step(PASS_SPLIT, PREFILL, repeat, 0, 0)
        for index in range(N_GEN):
            self.recorded_step(PASS_SPLIT, DECODE, repeat, index, 1 + index)

    def op_step(self, phase: int, repeat: int, index: int, graph: int) -> None:
        self.recorded_step(PASS_OP, phase, repeat, index, graph)

    def recorded_step(self, pass_: int, phase: int, repeat: int, index: int, graph: int) -> None:
        share = 2 if phase == PREFILL else 1
        is_op = pass_ == PASS_OP
        spans = {node: span * share * MS // 2 for node, _, _, span in EXECUTED}
        on_cpu = sum(spans[node] for node, *_ in CPU_OPS)
        on_device = self.device_ns(spans, is_op)
        duration = sum(HOST_MS.values()) * MS + on_cpu + COPY_NS + on_device + TOLD_NS
        begin = self.now
        step = self.step(phase, pass_, repeat, index, duration)
        at = begin
        for name in ("batch", "graph_build", "graph_alloc", "inputs"):
            at = self.segment(step, name, at)
        # Of two threads, as in the example.
        run = self.run(step, graph, 0, at, at + on_cpu, n_threads=2)
        for lane, busy in ((0, 8), (1, 6)) if is_op else ():
            start = at
            for node, n_fused, path, _ in CPU_OPS:
                self.event(run, node, lane, start, start + spans[node] * busy // 10, n_fused, path)
                start += spans[node]
        at += on_cpu
        copied, at = at, at + COPY_NS
        self.segments.add(step=step, kind=SEGMENTS.index("copies"), begin_ns=copied, end_ns=at)
        self.copies.add(
            step=step, split=2 * graph + 1, tensor=self.text("Qcur-0"), source=self.text("CPU"),
            target=self.text(self.name), size_bytes=1024, begin_ns=copied, end_ns=at,
        )  # fmt: skip
        told, at = at, at + on_device
        self.run_on_device(step, graph, told, spans, is_op)
        self.segments.add(
            step=step, kind=SEGMENTS.index("outputs"), begin_ns=told,
            end_ns=at + HOST_MS["outputs"] * MS,
        )  # fmt: skip

    def device_ns(self, spans: dict[int, int], is_op: bool) -> int:
        """How long the device takes for its split."""
        empty = self.empty_ns if is_op else 0
        return self.beside_ns + sum(spans[node] + empty for node, *_ in DEVICE_OPS)

    def run_on_device(
        self, step: int, graph: int, told: int, spans: dict[int, int], is_op: bool
    ) -> None:
        empty = self.empty_ns if is_op else 0
        end = told + self.device_ns(spans, is_op)
        run = self.run(step, graph, 1, told, end, lane=2, empty_ns=empty)
        for node, *_ in DEVICE_OPS if is_op else ():
            self.event(run, node, 2, told, told + spans[node] + empty)
            told += spans[node] + empty

    def run(
        self, step: int, graph: int, split: int, begin: int, end: int, *, lane: int = 0,
        n_threads: int = 1, **more: int,
    ) -> int:  # fmt: skip
        return self.runs.add(
            step=step, graph=graph, split=2 * graph + split, lane=lane, n_threads=n_threads,
            begin_ns=begin, end_ns=end, **more,
        )  # fmt: skip

    def event(
        self, run: int, node: int, lane: int, begin: int, end: int, n_fused: int = 0, path: str = ""
    ) -> None:
        self.events.add(
            run=run, node=node, n_fused=n_fused, lane=lane, path=self.text(path), begin_ns=begin,
            end_ns=end, convert=-1,
        )  # fmt: skip

    def device(self) -> None:
        super().device()
        self.lanes.add(kind=self.text(self.kind), device=self.text(self.name))

    def whole_graphs(self) -> None:
        """Each graph in two splits."""
        for number, graph in enumerate(self.graphs.rows):
            graph["backend"] = -1
            for device, first, n in (("CPU", 0, FIRST_NODE), (self.name, FIRST_NODE, 2)):
                self.splits.add(graph=number, device=self.text(device), first_node=first, n_nodes=n)


def device_profile(**run: Any) -> Any:
    """The profile that the module's docstring describes."""
    return DeviceBuilder().fill().build(**run)
