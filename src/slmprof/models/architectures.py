"""Which tensors and which metadata keys each architecture has in a GGUF file.

Names and shapes are those that llama.cpp's loader asks for (`load_arch_tensors` in
`src/models/*.cpp`) and its converter writes (`conversion/*.py`). Shapes are in ggml's order: the
row length first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from math import prod
from typing import Literal

from ..errors import ModelError
from ..settings.dimensions import Dimensions, MetadataValue, StateSpace

Fill = Literal["weight", "norm", "bias", "decay"]


@dataclass(frozen=True)
class TensorSpec:
    """One tensor without its type; `fill` says around what its random values lie."""

    name: str
    shape: tuple[int, ...]
    fill: Fill = "weight"

    @property
    def n_elements(self) -> int:
        return prod(self.shape)


Tensors = Iterator[TensorSpec]


def _weight(name: str, *shape: int) -> Tensors:
    yield TensorSpec(f"{name}.weight", shape)


def _linear(name: str, n_in: int, n_out: int, *, bias: bool) -> Tensors:
    yield TensorSpec(f"{name}.weight", (n_in, n_out))
    if bias:
        yield TensorSpec(f"{name}.bias", (n_out,), "bias")


def _rms_norm(name: str, length: int) -> Tensors:
    yield TensorSpec(f"{name}.weight", (length,), "norm")


def _layer_norm(name: str, length: int) -> Tensors:
    yield TensorSpec(f"{name}.weight", (length,), "norm")
    yield TensorSpec(f"{name}.bias", (length,), "bias")


Layer = Callable[[Dimensions, int], Tensors]
"""The tensors of one layer, or of one part of it."""


def _attention(*, qkv_bias: bool | None = None, out_bias: bool = False) -> Layer:
    """The projections around attention, separate or fused as the dimensions say, which decide on
    the bias too where it is None."""

    def tensors(d: Dimensions, i: int) -> Tensors:
        bias = d.qkv_bias if qkv_bias is None else qkv_bias
        if d.fused_qkv:
            return _fused_attention(qkv_bias=bias, out_bias=out_bias)(d, i)
        q, kv = d.q_length_of(i), d.kv_length_of(i)
        return chain(
            _linear(f"blk.{i}.attn_q", d.n_embd, q, bias=bias),
            _linear(f"blk.{i}.attn_k", d.n_embd, kv, bias=bias),
            _linear(f"blk.{i}.attn_v", d.n_embd, kv, bias=bias),
            _linear(f"blk.{i}.attn_output", q, d.n_embd, bias=out_bias),
        )

    return tensors


def _fused_attention(*, qkv_bias: bool, out_bias: bool) -> Layer:
    def tensors(d: Dimensions, i: int) -> Tensors:
        q, kv = d.q_length_of(i), d.kv_length_of(i)
        yield from _linear(f"blk.{i}.attn_qkv", d.n_embd, q + 2 * kv, bias=qkv_bias)
        yield from _linear(f"blk.{i}.attn_output", q, d.n_embd, bias=out_bias)

    return tensors


def _normed(attention: Layer) -> Layer:
    """An attention whose queries and keys are normed."""

    def tensors(d: Dimensions, i: int) -> Tensors:
        yield from attention(d, i)
        yield from _rms_norm(f"blk.{i}.attn_q_norm", d.head_length)
        yield from _rms_norm(f"blk.{i}.attn_k_norm", d.head_length)

    return tensors


def _gated_ffn(d: Dimensions, i: int, share: int = 1) -> Tensors:
    """The first Qwen's `n_ff` counts gate and up together: each has a `share`-th of it."""
    n_ff = d.n_ff_of(i) // share
    yield from _weight(f"blk.{i}.ffn_gate", d.n_embd, n_ff)
    yield from _weight(f"blk.{i}.ffn_up", d.n_embd, n_ff)
    yield from _weight(f"blk.{i}.ffn_down", n_ff, d.n_embd)


def _expert_ffn(d: Dimensions, i: int) -> Tensors:
    n_ff = d.n_ff_of(i)
    yield from _weight(f"blk.{i}.ffn_gate_inp", d.n_embd, d.n_expert)
    yield from _weight(f"blk.{i}.ffn_gate_exps", d.n_embd, n_ff, d.n_expert)
    yield from _weight(f"blk.{i}.ffn_up_exps", d.n_embd, n_ff, d.n_expert)
    yield from _weight(f"blk.{i}.ffn_down_exps", n_ff, d.n_embd, d.n_expert)


def _gated_or_expert_ffn(d: Dimensions, i: int) -> Tensors:
    return _expert_ffn(d, i) if d.n_expert else _gated_ffn(d, i)


def _fused_gate_ffn(d: Dimensions, i: int) -> Tensors:
    """Gate and up in one tensor, named ffn_up."""
    yield from _weight(f"blk.{i}.ffn_up", d.n_embd, 2 * d.n_ff_of(i))
    yield from _weight(f"blk.{i}.ffn_down", d.n_ff_of(i), d.n_embd)


def _plain_ffn(d: Dimensions, i: int) -> Tensors:
    n_ff = d.n_ff_of(i)
    yield from _linear(f"blk.{i}.ffn_up", d.n_embd, n_ff, bias=True)
    yield from _linear(f"blk.{i}.ffn_down", n_ff, d.n_embd, bias=True)


def _layer(
    norm: Callable[[str, int], Tensors], attention: Layer, ffn: Layer, *, norms_after: bool = False
) -> Layer:
    """Attention and FFN in a row, each behind a norm, and with one behind it where asked for."""

    def tensors(d: Dimensions, i: int) -> Tensors:
        yield from norm(f"blk.{i}.attn_norm", d.n_embd)
        yield from attention(d, i)
        if norms_after:
            yield from norm(f"blk.{i}.post_attention_norm", d.n_embd)
        yield from norm(f"blk.{i}.ffn_norm", d.n_embd)
        yield from ffn(d, i)
        if norms_after:
            yield from norm(f"blk.{i}.post_ffw_norm", d.n_embd)

    return tensors


# gptneox, bloom, gpt2: layer norms, one fused projection, biases everywhere.
_classic_layer = _layer(_layer_norm, _fused_attention(qkv_bias=True, out_bias=True), _plain_ffn)
_llama_layer = _layer(_rms_norm, _attention(), _gated_or_expert_ffn)
_qwen_layer = _layer(
    _rms_norm, _fused_attention(qkv_bias=True, out_bias=False), partial(_gated_ffn, share=2)
)
_qwen2_layer = _layer(_rms_norm, _attention(qkv_bias=True), _gated_ffn)
_gemma_layer = _layer(_rms_norm, _attention(qkv_bias=False), _gated_ffn)
_gemma2_layer = _layer(_rms_norm, _attention(qkv_bias=False), _gated_ffn, norms_after=True)
_phi3_layer = _layer(_rms_norm, _fused_attention(qkv_bias=False, out_bias=False), _fused_gate_ffn)
_stablelm_layer = _layer(_layer_norm, _attention(), _gated_ffn)
_gemma3_layer = _layer(_rms_norm, _normed(_attention()), _gated_ffn, norms_after=True)
_qwen3_layer = _layer(_rms_norm, _normed(_attention()), _gated_ffn)
_openelm_layer = _layer(
    _rms_norm, _normed(_fused_attention(qkv_bias=False, out_bias=False)), _gated_ffn
)


def _phi2_layer(d: Dimensions, i: int) -> Tensors:
    """Attention and FFN side by side behind one norm."""
    yield from _layer_norm(f"blk.{i}.attn_norm", d.n_embd)
    yield from _attention(qkv_bias=True, out_bias=True)(d, i)
    yield from _plain_ffn(d, i)


def _olmo_layer(d: Dimensions, i: int) -> Tensors:
    """Norms without parameters."""
    yield from _attention(qkv_bias=False)(d, i)
    yield from _gated_ffn(d, i)


def _space(d: Dimensions) -> StateSpace:
    assert d.ssm is not None  # `architecture_of` looked
    return d.ssm


def _conv(name: str, length: int, channels: int) -> Tensors:
    yield TensorSpec(f"{name}.weight", (length, channels))
    yield TensorSpec(f"{name}.bias", (channels,), "bias")


def _mamba_layer(d: Dimensions, i: int) -> Tensors:
    space, blk = _space(d), f"blk.{i}."
    yield from _rms_norm(f"{blk}attn_norm", d.n_embd)
    yield from _weight(f"{blk}ssm_in", d.n_embd, 2 * space.n_inner)
    yield from _conv(f"{blk}ssm_conv1d", space.n_conv, space.n_inner)
    yield from _weight(f"{blk}ssm_x", space.n_inner, space.dt_rank + 2 * space.n_state)
    yield from _linear(f"{blk}ssm_dt", space.dt_rank, space.n_inner, bias=True)
    yield TensorSpec(f"{blk}ssm_a", (space.n_state, space.n_inner), "decay")
    yield TensorSpec(f"{blk}ssm_d", (space.n_inner,), "norm")
    yield from _weight(f"{blk}ssm_out", space.n_inner, d.n_embd)


def _mamba2_layer(d: Dimensions, i: int) -> Tensors:
    """The time steps and the groups' matrices come out of the first projection, too."""
    space, blk = _space(d), f"blk.{i}."
    n_conv = space.n_inner + 2 * space.n_group * space.n_state
    yield from _rms_norm(f"{blk}attn_norm", d.n_embd)
    yield from _weight(f"{blk}ssm_in", d.n_embd, space.n_inner + n_conv + space.dt_rank)
    yield from _conv(f"{blk}ssm_conv1d", space.n_conv, n_conv)
    yield TensorSpec(f"{blk}ssm_dt.bias", (space.dt_rank,), "bias")
    yield TensorSpec(f"{blk}ssm_a", (1, space.dt_rank), "decay")
    yield TensorSpec(f"{blk}ssm_d", (1, space.dt_rank), "norm")
    norm = (space.n_inner // space.n_group, space.n_group)
    yield TensorSpec(f"{blk}ssm_norm.weight", norm, "norm")
    yield from _weight(f"{blk}ssm_out", space.n_inner, d.n_embd)


Output = Literal["tied", "separate", "either"]


@dataclass(frozen=True)
class Architecture:
    """What one architecture has besides its layers, and what it allows."""

    layer: Layer
    norm: Literal["rms", "layer", "none"]  # of the output; also names the key of the epsilon
    output: Output  # where the output matrix may come from
    free_head_dim: bool = False  # heads may be longer or shorter than n_embd / n_head
    token_norm: bool = False  # a norm behind the embedding
    position_embedding: bool = False  # learned positions, so no RoPE
    rope: bool = True
    output_bias: bool = False
    experts: bool = False
    per_layer: bool = False  # widths and heads may differ between layers
    grouped_heads: bool = True  # n_head_kv may be smaller than n_head
    recurrent: bool = False  # state spaces instead of attention and FFN


ARCHITECTURES: dict[str, Architecture] = {
    "bloom": Architecture(
        _classic_layer, "layer", "either", token_norm=True, rope=False, grouped_heads=False
    ),
    "gemma": Architecture(_gemma_layer, "rms", "tied", free_head_dim=True),
    "gemma2": Architecture(_gemma2_layer, "rms", "tied", free_head_dim=True),
    "gemma3": Architecture(_gemma3_layer, "rms", "either", free_head_dim=True),
    "gpt2": Architecture(
        _classic_layer, "layer", "either", position_embedding=True, rope=False, grouped_heads=False
    ),
    "gptneox": Architecture(_classic_layer, "layer", "separate", grouped_heads=False),
    "llama": Architecture(_llama_layer, "rms", "either", free_head_dim=True, experts=True),
    "mamba": Architecture(_mamba_layer, "rms", "either", rope=False, recurrent=True),
    "mamba2": Architecture(_mamba2_layer, "rms", "either", rope=False, recurrent=True),
    "minicpm": Architecture(_llama_layer, "rms", "either", free_head_dim=True, experts=True),
    "olmo": Architecture(_olmo_layer, "none", "either"),
    "openelm": Architecture(_openelm_layer, "rms", "tied", free_head_dim=True, per_layer=True),
    "phi2": Architecture(_phi2_layer, "layer", "separate", output_bias=True),
    "phi3": Architecture(_phi3_layer, "rms", "either"),
    "qwen": Architecture(_qwen_layer, "rms", "separate", grouped_heads=False),
    "qwen2": Architecture(_qwen2_layer, "rms", "either"),
    "qwen3": Architecture(_qwen3_layer, "rms", "either", free_head_dim=True),
    "stablelm": Architecture(_stablelm_layer, "layer", "separate"),
}


def architecture_of(d: Dimensions) -> Architecture:
    """The rules for these dimensions. Raises ModelError where the architecture forbids them."""
    rules = ARCHITECTURES.get(d.architecture)
    if rules is None:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelError(f"cannot synthesise architecture {d.architecture!r}; known are {known}")
    space = d.ssm
    problems = [
        (
            rules.recurrent and space is None,
            "needs the dimensions of its state, which a preset or a config.json gives",
        ),
        (not rules.recurrent and space is not None, "has no state space"),
        (
            d.architecture == "mamba" and space is not None and space.n_inner != 2 * d.n_embd,
            "is twice as wide within as without in llama.cpp: expand must be 2",
        ),
        (
            space is not None and bool(d.n_head_of(0) or d.n_ff_of(0)),
            "has neither heads nor a feed-forward part",
        ),
        (rules.output == "tied" and not d.tied, "always ties its output to the embedding"),
        (rules.output == "separate" and d.tied, "always has an output matrix of its own"),
        (bool(d.n_expert) and not rules.experts, "has no experts"),
        (
            not (rules.free_head_dim or rules.recurrent)
            and d.head_length * d.n_head_of(0) != d.n_embd,
            "needs heads of n_embd / n_head elements",
        ),
        (
            not rules.grouped_heads and d.kv_length_of(0) != d.q_length_of(0),
            "needs as many KV heads as heads",
        ),
        (
            not rules.per_layer and any(isinstance(x, tuple) for x in (d.n_ff, d.n_head)),
            "has the same dimensions in every layer",
        ),
        (
            d.architecture == "llama" and d.rotated_length != d.head_length,
            "rotates whole heads: n_rot must equal the head's length",
        ),
    ]
    for wrong, message in problems:
        if wrong:
            raise ModelError(f"architecture {d.architecture} {message} ({d.name})")
    return rules


def list_tensors(d: Dimensions) -> list[TensorSpec]:
    """All tensors of a model, embedding first. Raises ModelError."""
    rules = architecture_of(d)
    tensors = list(_weight("token_embd", d.n_embd, d.n_vocab))
    if rules.position_embedding:
        tensors += _weight("position_embd", d.n_embd, d.n_ctx_train)
    if rules.token_norm:
        tensors += _layer_norm("token_embd_norm", d.n_embd)
    if d.rope_factors == "llama3":
        tensors += _rms_norm("rope_freqs", d.rotated_length // 2)
    elif d.rope_factors == "longrope":
        tensors += _rms_norm("rope_factors_long", d.rotated_length // 2)
        tensors += _rms_norm("rope_factors_short", d.rotated_length // 2)
    for layer in range(d.n_layer):
        tensors += rules.layer(d, layer)
    if rules.norm == "rms":
        tensors += _rms_norm("output_norm", d.n_embd)
    elif rules.norm == "layer":
        tensors += _layer_norm("output_norm", d.n_embd)
    if not d.tied:
        tensors += _linear("output", d.n_embd, d.n_vocab, bias=rules.output_bias)
    return tensors


def list_metadata(d: Dimensions) -> list[tuple[str, MetadataValue]]:
    """The keys that llama.cpp needs to load the model, in the order its converter writes them."""
    rules = architecture_of(d)
    arch = d.architecture
    epsilon = "layer_norm_rms_epsilon" if rules.norm == "rms" else "layer_norm_epsilon"
    metadata: list[tuple[str, MetadataValue]] = [
        ("general.architecture", arch),
        ("general.type", "model"),
        # A name from a command line or a JSON file may hold what UTF-8 cannot.
        ("general.name", d.name.encode("utf-8", "replace").decode("utf-8")),
        (f"{arch}.block_count", d.n_layer),
        (f"{arch}.context_length", d.n_ctx_train),
        (f"{arch}.embedding_length", d.n_embd),
        (f"{arch}.feed_forward_length", d.n_ff),
        (f"{arch}.attention.head_count", d.n_head),
        (f"{arch}.attention.head_count_kv", d.n_head if d.n_head_kv is None else d.n_head_kv),
        (f"{arch}.attention.{epsilon}", float(d.norm_eps)),
        (f"{arch}.vocab_size", d.n_vocab),
    ]
    if d.ssm is not None:
        space = d.ssm
        metadata += [
            (f"{arch}.ssm.conv_kernel", space.n_conv),
            (f"{arch}.ssm.inner_size", space.n_inner),
            (f"{arch}.ssm.state_size", space.n_state),
            (f"{arch}.ssm.time_step_rank", space.dt_rank),
            *([(f"{arch}.ssm.group_count", space.n_group)] if arch == "mamba2" else []),
        ]
    if d.head_dim is not None:
        metadata.append((f"{arch}.attention.key_length", d.head_dim))
        metadata.append((f"{arch}.attention.value_length", d.head_dim))
    if rules.rope:
        metadata.append((f"{arch}.rope.dimension_count", d.rotated_length))
        metadata.append((f"{arch}.rope.freq_base", float(d.rope_freq_base)))
    if arch in ("gptneox", "stablelm"):
        metadata.append((f"{arch}.use_parallel_residual", d.parallel_residual))
    if d.n_expert:
        metadata.append((f"{arch}.expert_count", d.n_expert))
        metadata.append((f"{arch}.expert_used_count", d.n_expert_used))
    metadata += [(f"{arch}.{key}", value) for key, value in d.extra]
    # Random weights have no words; llama.cpp then takes the vocabulary's size from the key above.
    metadata.append(("tokenizer.ggml.model", "none"))
    return metadata
