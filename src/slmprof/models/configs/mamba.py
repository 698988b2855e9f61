"""Mamba and Mamba-2: no attention, no feed-forward part, a state of fixed size."""

from __future__ import annotations

from ...settings.dimensions import Dimensions, StateSpace
from .keys import Keys
from .transformer import name_of

# A state has no end; this is what llama.cpp's converter writes.
_N_CTX_TRAIN = 2**20


def mamba(keys: Keys) -> Dimensions:
    n_embd = keys.whole("hidden_size", "d_model", default=768)
    n_inner = _inner(keys, n_embd)
    rank = None if keys.find("time_step_rank") == "auto" else keys.find("time_step_rank")
    auto = -(-n_embd // 16)
    space = StateSpace(
        n_inner=n_inner,
        n_state=keys.whole("state_size", default=16),
        n_conv=keys.whole("conv_kernel", default=4),
        dt_rank=auto if rank is None else keys.whole("time_step_rank"),
    )
    return _dimensions(keys, "mamba", n_embd, space, n_layer=32, n_vocab=50280, tied=True)


def mamba2(keys: Keys) -> Dimensions:
    n_embd = keys.whole("hidden_size", "d_model", default=4096)
    n_inner = _inner(keys, n_embd)
    n_head = keys.whole("num_heads", default=128)
    head_dim = keys.whole("head_dim", default=64)
    if n_head * head_dim != n_inner:
        raise keys.error(
            f"hidden_size * expand ({n_inner}) must equal num_heads * head_dim "
            f"({n_head} * {head_dim})"
        )
    keys.find("time_step_rank")  # of the first Mamba; here each head has one step
    space = StateSpace(
        n_inner=n_inner,
        n_state=keys.whole("state_size", default=128),
        n_conv=keys.whole("conv_kernel", default=4),
        dt_rank=n_head,
        n_group=keys.whole("n_groups", default=8),
    )
    return _dimensions(keys, "mamba2", n_embd, space, n_layer=64, n_vocab=32768, tied=False)


def _inner(keys: Keys, n_embd: int) -> int:
    keys.find("intermediate_size", "d_inner")  # follow from the two
    return int(keys.real("expand", default=2) * n_embd)


def _dimensions(
    keys: Keys, architecture: str, n_embd: int, space: StateSpace, *,
    n_layer: int, n_vocab: int, tied: bool,
) -> Dimensions:  # fmt: skip
    """Dimensions from the keys that both share; the numbers are the classes' defaults."""
    # llama.cpp's convolution has a bias, and its projections have none.
    if keys.flag("use_bias", default=False):
        keys.refuse("use_bias")
    if not keys.flag("use_conv_bias", default=True):
        keys.refuse("use_conv_bias")
    return Dimensions(
        architecture=architecture,
        name=name_of(keys),
        n_layer=keys.whole("num_hidden_layers", "n_layer", default=n_layer),
        n_embd=n_embd,
        n_ff=0,
        n_head=0,
        n_vocab=keys.whole("vocab_size", default=n_vocab),
        n_ctx_train=_N_CTX_TRAIN,
        tied=keys.flag("tie_word_embeddings", default=tied),
        norm_eps=keys.real("layer_norm_epsilon", default=1e-5),
        ssm=space,
    )
