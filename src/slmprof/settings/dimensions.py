"""The dimensions that make an architecture into one model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from ..errors import ModelError

MetadataValue = bool | int | float | str | tuple[int, ...] | tuple[float, ...]
"""What a GGUF key holds: int is stored as uint32 (uint64 if it must), float as float32."""

PerLayer = int | tuple[int, ...]
"""One value for all layers, or one for each (OpenELM's layers differ in width)."""

MAX_LAYERS = 512  # llama.cpp's LLAMA_MAX_LAYERS: it aborts above
MAX_VOCAB = 1 << 22  # several times as many as the largest vocabularies have: a token takes memory
MAX_DIMENSION = 2**31 - 1  # GGUF dimensions end in int32 fields of llama.cpp


@dataclass(frozen=True, kw_only=True)
class StateSpace:
    """The mixer of a Mamba: elements of its stream and state, its convolution's length, the rank of
    its time steps (Mamba-2: its heads), and Mamba-2's groups."""

    n_inner: int
    n_state: int
    n_conv: int
    dt_rank: int
    n_group: int = 1


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Everything that decides the shapes of a model's tensors. Lengths count elements.

    A model of state spaces alone (`ssm`) has no heads and no feed-forward part: 0 each.

    Raises ModelError when the numbers cannot belong together.
    """

    architecture: str  # llama.cpp's name: "llama", "qwen2", …
    name: str  # what to show to a person; goes to `general.name`
    n_layer: int
    n_embd: int
    n_ff: PerLayer
    n_head: PerLayer
    n_head_kv: PerLayer | None = None  # None: as many as n_head
    n_vocab: int
    n_ctx_train: int
    head_dim: int | None = None  # None: n_embd / n_head
    n_rot: int | None = None  # rotated part of a head; None: the whole head
    tied: bool = False  # the output matrix is the embedding matrix
    qkv_bias: bool = False
    fused_qkv: bool = False  # one attn_qkv tensor where the architecture leaves the choice
    norm_eps: float = 1e-5
    rope_freq_base: float = 10000.0
    rope_factors: str = ""  # tensors that stretch RoPE: "", "llama3" or "longrope"
    n_expert: int = 0  # 0: a dense feed-forward part
    n_expert_used: int = 0
    parallel_residual: bool = True  # gptneox: attention and feed-forward side by side
    extra: tuple[tuple[str, MetadataValue], ...] = ()  # further keys, without "{architecture}."
    # Not in `repr`, whose digest the folders of sweeps hold; see `content`.
    ssm: StateSpace | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.n_layer <= MAX_LAYERS:
            raise ModelError(f"n_layer must lie between 1 and {MAX_LAYERS}, not {self.n_layer}")
        for name in ("n_embd", "n_vocab", "n_ctx_train"):
            self._check_positive(name, getattr(self, name))
        if self.n_vocab > MAX_VOCAB:
            raise ModelError(f"n_vocab ({self.n_vocab}) must be {MAX_VOCAB} at most")
        for name in ("n_ff", "n_head", "n_head_kv"):
            value = getattr(self, name)
            if isinstance(value, tuple) and len(value) != self.n_layer:
                raise ModelError(
                    f"{name} lists {len(value)} layers, but the model has {self.n_layer}"
                )
            for item in value if isinstance(value, tuple) else (value,):
                if item is not None and not (item == 0 and self.ssm is not None):
                    self._check_positive(name, item)
        if self.ssm is not None:
            self._check_state_space(self.ssm)
        for layer in range(self.n_layer):
            n_head, n_head_kv = self.n_head_of(layer), self.n_head_kv_of(layer)
            if n_head and (not n_head_kv or n_head % n_head_kv):
                raise ModelError(f"n_head ({n_head}) must be a multiple of n_head_kv ({n_head_kv})")
        if self.head_dim is None:
            n_head = self.n_head_of(0)
            if n_head and self.n_embd % n_head:
                raise ModelError(
                    f"n_embd ({self.n_embd}) must be a multiple of n_head ({n_head}) "
                    "when no head_dim is given"
                )
        else:
            self._check_positive("head_dim", self.head_dim)
        if self.head_length % 2:
            raise ModelError(f"heads of {self.head_length} elements cannot be rotated: odd length")
        if self.n_rot is not None and not 0 < self.n_rot <= self.head_length:
            raise ModelError(
                f"n_rot ({self.n_rot}) must lie between 1 and the head's {self.head_length}"
            )
        if self.n_expert < 0 or not 0 <= self.n_expert_used <= self.n_expert:
            raise ModelError(
                f"{self.n_expert_used} of {self.n_expert} experts cannot be used per token"
            )
        if self.n_expert and not self.n_expert_used:
            raise ModelError("a mixture of experts must use at least one expert per token")
        if self.rope_factors not in ("", "llama3", "longrope"):
            raise ModelError(f"unknown rope_factors {self.rope_factors!r}")

    def _check_state_space(self, space: StateSpace) -> None:
        for name, value in asdict(space).items():
            self._check_positive(name, value)
        if space.n_inner % space.n_group or space.dt_rank % space.n_group:
            raise ModelError(
                f"{space.n_inner} elements and {space.dt_rank} heads of a state cannot be divided "
                f"into {space.n_group} groups"
            )

    @staticmethod
    def _check_positive(field: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(f"{field} must be a positive whole number, not {value!r}")
        if value > MAX_DIMENSION:
            raise ModelError(f"{field} is too large: {value}")

    @property
    def content(self) -> str:
        """What tells these dimensions from others; what was added later counts where it is set."""
        return repr(self) if self.ssm is None else f"{self!r} {self.ssm!r}"

    @property
    def head_length(self) -> int:
        """Elements of one attention head."""
        if self.head_dim is None and not self.n_head_of(0):
            return 0
        return self.n_embd // self.n_head_of(0) if self.head_dim is None else self.head_dim

    @property
    def rotated_length(self) -> int:
        """Elements of a head that RoPE rotates."""
        return self.head_length if self.n_rot is None else self.n_rot

    def n_ff_of(self, layer: int) -> int:
        return self.n_ff[layer] if isinstance(self.n_ff, tuple) else self.n_ff

    def n_head_of(self, layer: int) -> int:
        return self.n_head[layer] if isinstance(self.n_head, tuple) else self.n_head

    def n_head_kv_of(self, layer: int) -> int:
        if self.n_head_kv is None:
            return self.n_head_of(layer)
        return self.n_head_kv[layer] if isinstance(self.n_head_kv, tuple) else self.n_head_kv

    def q_length_of(self, layer: int) -> int:
        """Elements of one token's queries."""
        return self.n_head_of(layer) * self.head_length

    def kv_length_of(self, layer: int) -> int:
        """Elements of one token's keys, and of its values."""
        return self.n_head_kv_of(layer) * self.head_length
