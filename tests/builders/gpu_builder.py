"""The profile of `device_builder` with a GPU in the remote device's place.

Its kernels are recorded. The product at node 5 is one kernel; that of node 6 is two, of which the
first, a quarter of the time, converts the activations. Before the first kernel the host launches,
between each two the device takes its time, and behind the last one a kernel runs that belongs to no
op; then the host is late.
"""

from __future__ import annotations

from typing import Any

from builders import MS, PREFILL
from device_builder import FIRST_NODE, DeviceBuilder

from slmprof.profiles.vocabulary import JOIN_WAYS, NODE_KINDS, TRANSFERS

NAME = "CUDA0"
LAUNCH_NS, DEVICE_GAP_NS, HOST_NS, STRAY_NS = MS // 5, MS // 10, MS // 4, MS // 20
QUANTIZE = "quantize_q8_1(float const*, void*, long, long, long, long, long, unsigned int, uint3)"
PRODUCT = "void mul_mat_vec_q<(ggml_type)14, 1, false, false>(void const*, void const*, float*)"
ATTENTION = "void mul_mat_vec_f<__half, float, 1, 128, false>(__half const*, float const*, float*)"
STRAY = "void k_set_up(int*)"
N_KERNELS = 3
COPIED_BYTES = 4096
# CUPTI's ids of the CUDA graphs: captured, executable, and executable but never seen before.
CAPTURED, EXEC, UNSEEN = 2, 3, 9
GAPS_NS = LAUNCH_NS + (N_KERNELS - 1) * DEVICE_GAP_NS + HOST_NS


class GpuBuilder(DeviceBuilder):
    """Builds that profile."""

    name, kind = NAME, "gpu"
    empty_ns, beside_ns = 0, GAPS_NS + STRAY_NS

    def kernels_of(self, spans: dict[int, int]) -> list[tuple[int, str, int]]:
        """Node, name and time of each kernel, in their order."""
        last = spans[FIRST_NODE + 1]
        return [
            (FIRST_NODE, ATTENTION, spans[FIRST_NODE]),
            (FIRST_NODE + 1, QUANTIZE, last // 4),
            (FIRST_NODE + 1, PRODUCT, last - last // 4),
        ]

    def run_on_device(
        self, step: int, graph: int, told: int, spans: dict[int, int], is_op: bool
    ) -> None:
        end = told + self.device_ns(spans, is_op)
        gaps = {
            "gap_launch_ns": LAUNCH_NS,
            "gap_device_ns": (N_KERNELS - 1) * DEVICE_GAP_NS,
            "gap_host_ns": HOST_NS,
        }
        run = self.run(step, graph, 1, told, end, lane=2, **(gaps if is_op else {}))
        if not is_op:
            return
        at = told + LAUNCH_NS
        issue = self.replay(run, self.kernels_of(spans))
        for place, (node, name, span) in enumerate(self.kernels_of(spans)):
            self.event(run, node, 2, at, at + span, path=name)
            self.launch(
                step, run, node, name, at, at + span, issue=issue, cuda_node=EXEC << 32 | place
            )
            at += span + DEVICE_GAP_NS
        at -= DEVICE_GAP_NS
        self.launch(step, run, -1, STRAY, at, at + STRAY_NS, issue=self.beside(run))
        self.stray_kernels.add(step=step, name=self.text(STRAY), calls=1, total_ns=STRAY_NS)
        self.transfers.add(
            step=step, kind=TRANSFERS.index("host_to_device"), calls=2, n_joined=1,
            size_bytes=COPIED_BYTES, total_ns=MS // 50,
        )  # fmt: skip
        joined = sum(span for _, _, span in self.kernels_of(spans))
        self.traces.add(
            step=step, kernel_ns=joined + STRAY_NS, joined_ns=joined, n_stray=1,
            n_by_clone=N_KERNELS, n_ordered=N_KERNELS, n_unordered_replays=1, clock_error_ns=1500,
        )  # fmt: skip

    def replay(self, run: int, kernels: list[tuple[int, str, int]]) -> int:
        """What the run's kernels are joined by; returns the issue."""
        trace = len(self.traces.rows)
        capture = self.captures.add(trace=trace, cuda_graph=CAPTURED)
        for place, (node, name, _) in enumerate(kernels):
            captured = CAPTURED << 32 | place
            self.captured_nodes.add(
                capture=capture, place=place, cuda_node=captured, kind=NODE_KINDS.index("kernel"),
                name=self.text(name), node=node - FIRST_NODE,
            )  # fmt: skip
            self.cloned_nodes.add(
                trace=trace, cuda_node=EXEC << 32 | place, original_cuda_node=captured
            )
        version = self.graph_versions.add(
            trace=trace, cuda_graph=EXEC, made_from=capture, updated_from=capture
        )
        return self.issues.add(run=run, node=-1, version=version)

    def beside(self, run: int) -> int:
        """A replay of a graph that nobody saw captured."""
        version = self.graph_versions.add(
            trace=len(self.traces.rows), cuda_graph=UNSEEN, made_from=-1, updated_from=-1
        )
        return self.issues.add(run=run, node=-1, version=version)

    def launch(
        self, step: int, run: int, node: int, name: str, begin: int, end: int, *, issue: int,
        cuda_node: int = UNSEEN << 32,
    ) -> None:  # fmt: skip
        self.launches.add(
            step=step, run=run, node=node, way=JOIN_WAYS.index("clone" if node >= 0 else "none"),
            name=self.text(name), begin_ns=begin, end_ns=end, stream=7, grid0=64, grid1=1, grid2=1,
            block0=32, block1=4, block2=1, registers=40, correlation=issue + 1,
            cuda_graph=cuda_node >> 32, cuda_node=cuda_node,
            trace=len(self.traces.rows), issue=issue,
        )  # fmt: skip

    def device(self) -> None:
        super().device()
        numbers = {"q4_K": 12, "q6_K": 14}
        for row in self.types.rows:
            row["number"] = numbers.get(self.text.texts[row["name"]], -1)


def gpu_profile(**run: Any) -> Any:
    """The profile that the module's docstring describes."""
    return GpuBuilder().fill().build(**run)


def kernels_ms(phase: int) -> float:
    """What the kernels of a step's ops on the GPU take."""
    return 7.0 if phase == PREFILL else 3.5
