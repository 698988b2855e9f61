"""The whole native border. docs/profile-format.md says what the columns mean.

Paths go over it as `os.fsencode` gives them. Texts come back with U+FFFD for what is not UTF-8, and
paths as `os.fsdecode` has them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, type_check_only

import numpy as np
from numpy.typing import ArrayLike, NDArray

_Path: TypeAlias = str | bytes

class NativeModelError(RuntimeError): ...
class NativeEngineError(RuntimeError): ...
class NativeSchemeError(RuntimeError): ...

@type_check_only
class BufferRecord(TypedDict):
    device: str
    buffer_type: str
    kind: str
    size_bytes: int

@type_check_only
class ModelInfo(TypedDict):
    name: str
    architecture: str
    file_type: str
    n_params: int
    size_bytes: int
    n_layer: int
    n_embd: int
    n_vocab: int
    n_ctx_train: int
    n_expert: int
    n_head: int  # of the first layer, as the next two
    n_head_kv: int
    n_ff: int
    has_vocab: bool
    has_encoder: bool
    has_decoder: bool
    is_recurrent: bool
    is_hybrid: bool
    random_weights: bool
    bos: int  # -1: no text begins with it
    scheme: str
    tensor_types: dict[str, int]

@type_check_only
class ContextInfo(TypedDict):
    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_seq_max: int
    n_threads: int
    has_memory: bool
    flash_attn: bool

# Of one allocation. `original`: the source, in a mapped file, of weights that were repacked.
@type_check_only
class BufferObservation(TypedDict):
    buffer: int  # number of the allocation in places(); -1 for compute, output and work
    device: str
    buffer_type: str
    kind: str
    size_bytes: int
    resident_bytes: int | None
    original_bytes: int
    original_resident_bytes: int | None

# None where the system does not tell.
@type_check_only
class ProcessMemory(TypedDict):
    rss_bytes: int | None
    pss_bytes: int | None
    anonymous_bytes: int | None
    file_bytes: int | None
    rss_peak_bytes: int | None
    library_bytes: int | None  # resident of mapped files other than the model
    heap_bytes: int | None  # resident of the heap; of an Observation, beside the buffers
    minor_faults: int | None
    major_faults: int | None

@type_check_only
class Observation(ProcessMemory):
    point: str
    n_past: int
    recorder_bytes: int
    recorder_resident_bytes: int | None
    buffers: list[BufferObservation]

# The largest graph of a phase, as llama.cpp reserves its compute buffer for it.
@type_check_only
class PlannedGraph(TypedDict):
    phase: str  # prefill | decode
    n_tokens: int
    n_outputs: int
    buffers: list[BufferRecord]  # compute bytes that this graph alone would take
    work_bytes: int  # of ggml's threads
    # As Harvest["tensors"], one graph. Compute tensors: `buffer` and `offset_bytes` are the
    # allocator's; -1 and -1 elsewhere.
    tensors: dict[str, NDArray[Any]]
    strings: list[str]

@type_check_only
class Plan(TypedDict):
    context: ContextInfo
    buffers: list[BufferRecord]  # `work`, the larger one of the graphs', only with graphs
    caches: dict[str, Any]  # as Engine.places
    graphs: list[PlannedGraph]  # a model that only encodes has no decode graph
    duration_ns: int

# A tensor of a file, and what a recipe makes of it. `asked`: its type if every block divided its
# rows.
@type_check_only
class QuantizedTensor(TypedDict):
    tensor: str
    shape: list[int]
    source: str
    type: str
    asked: str
    is_quantizable: bool
    source_bytes: int
    size_bytes: int
    asked_bytes: int
    needs_imatrix: bool

@type_check_only
class QuantizationPlan(TypedDict):
    model: ModelInfo
    tensors: list[QuantizedTensor]  # in the quantizer's order

@type_check_only
class SourceTensor(TypedDict):
    tensor: str
    shape: list[int]
    part: int
    source: str
    source_begin: int
    source_bytes: int

@type_check_only
class SourceTensors(TypedDict):
    parts: list[str]
    tensors: list[SourceTensor]  # in the quantizer's order

@type_check_only
class MovedTensor(SourceTensor):
    stored: str
    begin: int
    stored_bytes: int

@type_check_only
class RetypedFile(TypedDict):
    parts: list[str]
    tensors: list[MovedTensor]  # in the order of the file

@type_check_only
class Harvest(TypedDict):
    steps: dict[str, NDArray[Any]]
    segments: dict[str, NDArray[Any]]
    lanes: dict[str, NDArray[Any]]  # as `graphs` and `types`: rows that are new
    runs: dict[str, NDArray[Any]]
    events: dict[str, NDArray[Any]]
    stats: dict[str, NDArray[Any]]
    masks: dict[str, NDArray[Any]]
    # Of devices whose kernels are recorded.
    launches: dict[str, NDArray[Any]]
    stray_kernels: dict[str, NDArray[Any]]
    transfers: dict[str, NDArray[Any]]
    traces: dict[str, NDArray[Any]]
    captures: dict[str, NDArray[Any]]
    captured_nodes: dict[str, NDArray[Any]]
    cloned_nodes: dict[str, NDArray[Any]]
    graph_versions: dict[str, NDArray[Any]]
    issues: dict[str, NDArray[Any]]
    graphs: dict[str, NDArray[Any]]
    tensors: dict[str, NDArray[Any]]
    types: dict[str, NDArray[Any]]
    strings: list[str]

# Of ggml, as this build has it.
@type_check_only
class Device(TypedDict):
    name: str
    description: str
    type: str  # cpu | gpu | igpu | accel | meta
    memory_free_bytes: int  # 0 where the device does not tell
    memory_total_bytes: int

@type_check_only
class ClockReading(TypedDict):
    source: str  # tsc | cntvct | clock_monotonic
    resolution_ns: float
    read_ns: float

@type_check_only
class DeviceIdentity(TypedDict):
    name: str
    compute_capability: int  # 86 for 8.6
    n_multiprocessors: int
    memory_bytes: int
    l2_bytes: int
    nominal_gbps: float
    cuda_driver: int  # 13000 for 13.0
    compiled_for: str  # 750,860

@type_check_only
class NativeDeviceCeilings(TypedDict):
    identity: DeviceIdentity
    bandwidth: list[tuple[str, str, int, float]]  # level, operation, working_set_bytes, gbps
    peaks: list[tuple[str, str, float | None]]  # name, unit, gflops
    transfers: list[tuple[str, int, float]]  # direction, size_bytes, gbps
    op_ns: float

@type_check_only
class PoolUse(TypedDict):
    device: int  # as CUDA counts them
    reserved_bytes: int
    most_reserved_bytes: int
    used_bytes: int
    most_used_bytes: int
    op: str  # which raised the most in use; empty where that is not known
    tensor: str
    workspace_bytes: int

class EngineSettings:
    @property
    def path(self) -> str: ...
    @path.setter
    def path(self, path: _Path) -> None: ...
    n_ctx: int
    n_batch: int
    n_ubatch: int
    n_threads: int
    flash_attn: int
    type_k: str
    type_v: str
    n_seq_max: int
    n_outputs_max: int
    swa_full: bool
    use_mmap: bool
    use_repack: bool
    cuda_graphs: bool  # whether ggml replays them; the first engine of a process decides
    cupti_folders: list[str]  # where CUPTI may be: files, or folders with it
    # Beside the CPU, by ggml's names, or rpc:HOST:PORT; an unknown one is a ValueError.
    devices: list[str]
    n_gpu_layers: int  # that may lie there; -1: all
    split_mode: int  # of several devices: 0 one of them, 1 by layers, 2 by rows
    tensor_split: list[float]  # how much each of them gets
    tensor_overrides: list[tuple[str, str]]
    scheme: KernelScheme | None  # whose weights the file may hold
    observe_by_callback: bool
    can_observe: bool
    exact_clock: bool
    event_capacity: int
    def __init__(self) -> None: ...

class Engine:
    def __init__(self, settings: EngineSettings) -> None: ...
    @property
    def n_past(self) -> int: ...
    # Why the kernels of a device are not recorded; empty where they are, or where there are none.
    @property
    def tracing_problem(self) -> str: ...
    def model_info(self) -> ModelInfo: ...
    def context_info(self) -> ContextInfo: ...
    def buffers(self) -> list[BufferRecord]: ...
    # One row a tensor of weights or caches, which has its place as long as the model or the context
    # lives: the columns of PlaceTable, texts as lists of them.
    def places(self) -> dict[str, Any]: ...
    def observe(self, point: str) -> Observation: ...
    def observations(self) -> list[Observation]: ...
    # Of ggml-cuda, one for each device of which anything is known.
    def pools(self) -> list[PoolUse]: ...
    def tokenize(self, text: str) -> NDArray[np.int32]: ...
    # The most bytes of a text that one token stands for; 0 where that is not limited.
    @property
    def longest_token_bytes(self) -> int: ...
    def truncate(self, n_past: int) -> bool: ...
    def fill(self, tokens: ArrayLike) -> None: ...
    # As fill, with the logits of every token: consumer(position of the first one in the context,
    # logits [n, n_vocab]), n at most n_ubatch and n_outputs_max. Each array is the consumer's own.
    # Logits of the tokens from number `first` on only.
    def score(
        self,
        tokens: ArrayLike,
        consumer: Callable[[int, NDArray[np.float32]], object],
        first: int = 0,
    ) -> None: ...
    # Replaces bytes of a weight in memory, which must have been read, not mapped, and not repacked.
    def write_weight(self, tensor: str, begin: int, bytes: NDArray[np.uint8]) -> None: ...
    # Puts the threads to sleep; the next run wakes them.
    def rest(self) -> None: ...
    # fmt: off
    def prefill(
        self, tokens: ArrayLike, pass_kind: int, repeat: int = 0, depth: int = 0,
        aggregate: bool = False,
    ) -> None: ...
    def decode(
        self, tokens: ArrayLike, pass_kind: int, repeat: int = 0, depth: int = 0,
        aggregate: bool = False,
    ) -> None: ...
    # fmt: on
    def last_logits(self) -> NDArray[np.float32]: ...
    def take(self) -> Harvest: ...

class Planner:
    def __init__(self, settings: EngineSettings) -> None: ...
    @property
    def duration_ns(self) -> int: ...
    @property
    def vocabulary_bytes(self) -> int: ...
    def model_info(self) -> ModelInfo: ...
    def weights(self) -> dict[str, Any]: ...  # as Engine.places
    def plan(self, settings: EngineSettings, graphs: bool = True) -> Plan: ...

def build_info() -> dict[str, Any]: ...
def process_memory(process: str = "/proc/self") -> ProcessMemory: ...
def resident_bytes(address: int, size_bytes: int, process: str = "/proc/self") -> int | None: ...
def cpu_features() -> str: ...
def devices() -> list[Device]: ...
def measure_clock() -> ClockReading: ...
def measure_bandwidth(
    working_set_bytes: int, *, n_threads: int, seconds: float, cores: Sequence[int] = ...
) -> dict[str, float]: ...
def measure_instructions(
    *, n_threads: int, seconds: float, cores: Sequence[int] = ...
) -> list[tuple[str, str, str, float | None]]: ...
def arithmetic_types() -> list[str]: ...
def measure_arithmetic(
    type: str,
    n_columns: Sequence[int],
    *,
    n_threads: int,
    matrix_bytes_per_thread: int,
    seconds: float,
    cores: Sequence[int] = ...,
) -> list[tuple[int, str, float]]: ...
def describe_device(device_index: int) -> DeviceIdentity: ...
def measure_device_ceilings(device_index: int, *, seconds: float) -> NativeDeviceCeilings: ...
def measure_op_ns(*, n_threads: int, seconds: float, cores: Sequence[int] = ...) -> float: ...
def monotonic_ns() -> int: ...
def log_lines() -> list[str]: ...
def clear_log() -> None: ...
def log_to_stderr(enabled: bool) -> None: ...
def synth_file_types() -> dict[str, int]: ...
def synth_file_type_number(file_type: str, *, has_imatrix: bool = False) -> int: ...

# fmt: off
def choose_tensor_types(
    architecture: str, file_type: str, tensors: Sequence[tuple[str, Sequence[int]]], *,
    n_embd: int, n_ff: int, n_layer: int, n_head: int, n_head_kv: int, n_expert: int,
    head_dim: int, patterns: Sequence[tuple[str, str]] = ...,
) -> list[str]: ...
# fmt: on
def weight_types() -> list[tuple[str, int, int, bool]]: ...  # name, block, its bytes, is quantized
def tensor_size_bytes(type: str, shape: Sequence[int]) -> int: ...
def write_random_gguf(
    path: _Path,
    metadata: Sequence[tuple[str, Any]],
    tensors: Sequence[tuple[str, Sequence[int], str, str]],
    *,
    seed: int,
    n_threads: int = 0,
) -> None: ...
def gguf_header(
    metadata: Sequence[tuple[str, Any]],
    tensors: Sequence[tuple[str, Sequence[int], str]],
) -> tuple[bytes, int]: ...
def write_outline(
    path: _Path,
    metadata: Sequence[tuple[str, Any]],
    tensors: Sequence[tuple[str, Sequence[int], str]],
) -> None: ...
def retype_outline(source: _Path, target: _Path, file_type: str) -> None: ...

@type_check_only
class Divergences(TypedDict):
    nll: NDArray[np.float64]
    reference_nll: NDArray[np.float64]
    kld: NDArray[np.float64]
    probability_change: NDArray[np.float64]
    same_top: NDArray[np.uint8]

def negative_log_likelihoods(
    logits: NDArray[np.float32], next: ArrayLike, *, n_threads: int
) -> NDArray[np.float64]: ...
def diverge(
    logits: NDArray[np.float32],
    reference: NDArray[np.float32],
    next: ArrayLike,
    *,
    as_stored: bool,
    n_threads: int,
) -> Divergences: ...
def layer_outputs(engine: Engine, tokens: ArrayLike) -> dict[int, NDArray[np.float32]]: ...

class ImportanceSums:
    def __init__(self, *, takes_head: bool) -> None: ...
    def add(self, engine: Engine, tokens: ArrayLike) -> None: ...
    # `squares` [n_matrices, row] and `counts` [n_matrices, 1], by the name of the weight.
    def sums(self) -> dict[str, dict[str, NDArray[np.float32]]]: ...

class Recipe:
    def __init__(
        self,
        file_type: str,
        *,
        tensor_types: Sequence[tuple[str, str]] = ...,
        output_type: str | None = None,
        embedding_type: str | None = None,
        keeps_output: bool = False,
        is_pure: bool = False,
        has_imatrix: bool = False,
    ) -> None: ...

def check_header(path: _Path) -> None: ...
def write_retyped_outline(
    source: _Path,
    target: _Path,
    *,
    types: Mapping[str, str],
    notes: Sequence[tuple[str, bool | int | float | str | Sequence[str]]],
    row_bytes: Mapping[str, int] = ...,  # of tables of bytes
) -> RetypedFile: ...
def source_tensors(path: _Path, scheme: KernelScheme | None = None) -> SourceTensors: ...

# A quantization scheme that computes by itself (slmprof_scheme.h).
class KernelScheme:
    # Functions that are in this process already. NativeSchemeError.
    def __init__(
        self,
        name: str,
        digest: str,
        *,
        block_size: int,
        type_size: int,
        activations: str,
        group_rows: int,
        addresses: Mapping[str, int],
    ) -> None: ...
    # Those of a shared library, which is loaded. NativeSchemeError.
    @staticmethod
    def load(library: _Path, symbol: str, name: str, digest: str) -> KernelScheme: ...
    @property
    def name(self) -> str: ...
    @property
    def block_size(self) -> int: ...
    @property
    def type_size(self) -> int: ...
    @property
    def group_rows(self) -> int: ...  # 0 without a layout of its own
    @property
    def activations(self) -> str: ...
    @property
    def packs(self) -> bool: ...  # whether it has pack and unpack
    @property
    def kernels(self) -> list[str]: ...  # dot | gemv | gemm
    def takes(self, n_per_row: int) -> bool: ...  # whether so many activations can be converted
    # Memory around what these get is guarded, behind or before it: what goes beyond ends the
    # process.
    def pack(
        self,
        weights: NDArray[np.float32],
        importance: NDArray[np.float32] | None = None,
        guard: str = "behind",
    ) -> NDArray[np.uint8]: ...  # [n, type_size]
    def unpack(
        self, blocks: NDArray[np.uint8], guard: str = "behind"
    ) -> NDArray[np.float32]: ...  # [n, block_size]
    def multiply(
        self,
        kernel: str,
        blocks: NDArray[np.uint8],
        columns: NDArray[np.float32],
        guard: str = "behind",
    ) -> NDArray[np.float32]: ...  # [n_columns, n_rows]
    def converted(
        self, columns: NDArray[np.float32]
    ) -> NDArray[np.float32]: ...  # what kernels see

def is_packed(path: _Path) -> bool: ...
def packable_tensors(settings: EngineSettings, tensors: Sequence[str]) -> list[str]: ...
def unpack_rows(type: str, blocks: NDArray[np.uint8], n_per_row: int) -> NDArray[np.float32]: ...
def pack_rows(
    type: str, values: NDArray[np.float32], importance: NDArray[np.float32] | None = None
) -> NDArray[np.uint8]: ...
def plan_quantization(source: _Path, recipe: Recipe) -> QuantizationPlan: ...
def quantize_file(
    source: _Path,
    target: _Path,
    recipe: Recipe,
    *,
    importances: Sequence[tuple[str, ArrayLike]],
    notes: Sequence[tuple[str, int | str]],
    allow_requantize: bool,
    n_threads: int,
    on_progress: Callable[[int, int], object],
) -> None: ...
