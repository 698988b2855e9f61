"""Changes to GGUF files that know their structure: keys, types, lengths, shapes, offsets, parts.

A mutation is a function of a tree (`gguf_tree`) and a generator of random numbers; it does nothing
to a file that lacks what it changes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from gguf_tree import (
    ARRAY,
    BLOCKS,
    FLOAT_KINDS,
    SCALARS,
    TEXT,
    Array,
    Gguf,
    NotGgufError,
    Pair,
    Tensor,
    Text,
    read,
)
from odd_values import cut, flip_bytes, mutate_with, odd_float, odd_text, odd_whole, pick

Mutation = Callable[[Gguf, Random], None]

# Holes in place of data cost no room on the disk, but a run goes through them.
_MOST_DATA_BYTES = 32 << 20
_MOST_ITEMS = 20_000
_KINDS = (*SCALARS, TEXT, ARRAY)
# Keys that some architecture reads, by their ends; a file gets those of its own architecture too.
_KNOWN_ENDS = (
    b"context_length", b"embedding_length", b"block_count", b"feed_forward_length", b"vocab_size",
    b"attention.head_count", b"attention.head_count_kv", b"attention.key_length",
    b"attention.value_length", b"attention.layer_norm_rms_epsilon", b"attention.sliding_window",
    b"attention.layer_norm_epsilon", b"attention.causal", b"attention.group_norm_groups",
    b"attention.clamp_kqv", b"attention.max_alibi_bias", b"attention.scale",
    b"attention.sliding_window_pattern", b"attention.kv_lora_rank", b"attention.indexer.top_k",
    b"rope.dimension_count", b"rope.freq_base", b"rope.scaling.type", b"rope.scaling.factor",
    b"rope.scaling.original_context_length", b"rope.dimension_sections",
    b"expert_count", b"expert_used_count", b"expert_shared_count", b"expert_group_count",
    b"leading_dense_block_count", b"expert_feed_forward_length", b"nextn_predict_layers",
    b"ssm.conv_kernel", b"ssm.inner_size", b"ssm.state_size", b"ssm.time_step_rank",
    b"ssm.group_count", b"decoder_start_token_id", b"decoder_block_count", b"pooling_type",
    b"logit_scale", b"residual_scale", b"embedding_scale", b"final_logit_softcapping",
    b"attn_logit_softcapping", b"use_parallel_residual", b"wkv.head_size", b"token_shift_count",
)  # fmt: skip
_GENERAL_KEYS = (
    b"general.architecture", b"general.name", b"general.type", b"general.alignment",
    b"general.file_type", b"general.quantization_version", b"split.count", b"split.no",
    b"split.tensors.count", b"tokenizer.ggml.model", b"tokenizer.ggml.pre",
    b"tokenizer.ggml.tokens", b"tokenizer.ggml.scores", b"tokenizer.ggml.token_type",
    b"tokenizer.ggml.merges", b"tokenizer.ggml.bos_token_id", b"tokenizer.ggml.eos_token_id",
    b"tokenizer.ggml.unknown_token_id", b"tokenizer.ggml.add_bos_token", b"tokenizer.chat_template",
    b"tokenizer.ggml.precompiled_charsmap", b"tokenizer.ggml.token_type_count", b"adapter.type",
    b"general.sampling.top_k", b"slmprof.plan", b"slmprof.synthetic", b"quantize.imatrix.file",
)  # fmt: skip
_ARCHITECTURES = (
    b"llama", b"bert", b"t5", b"mamba", b"mamba2", b"qwen2", b"gemma", b"gemma3", b"phi2", b"bloom",
    b"gpt2", b"falcon", b"rwkv6", b"deepseek2", b"clip", b"llada", b"jamba", b"wavtokenizer-dec",
    b"mmproj", b"none",
)  # fmt: skip
_FLOAT_PARTS = (
    b"epsilon", b"freq_base", b"factor", b"scale", b"softcapping", b"bias", b"clamp", b"max_alibi",
)  # fmt: skip
_TOKENIZERS = (b"no_vocab", b"none", b"llama", b"gpt2", b"bert", b"t5", b"rwkv", b"plamo2", b"x")


def drop_pair(gguf: Gguf, rng: Random) -> None:
    if gguf.pairs:
        gguf.pairs.remove(rng.choice(gguf.pairs))


def double_pair(gguf: Gguf, rng: Random) -> None:
    if pair := pick(gguf.pairs, rng):
        gguf.pairs.insert(rng.randrange(len(gguf.pairs) + 1), copy.deepcopy(pair))


def shuffle_pairs(gguf: Gguf, rng: Random) -> None:
    rng.shuffle(gguf.pairs)


def add_known_key(gguf: Gguf, rng: Random) -> None:
    """A key that llama.cpp may read, with a value of some kind."""
    key = rng.choice(_GENERAL_KEYS)
    if rng.random() < 0.7:
        key = _architecture(gguf) + b"." + rng.choice(_KNOWN_ENDS)
    kind = _kind_of(key) if rng.random() < 0.8 else rng.choice(_KINDS)
    gguf.pairs = [pair for pair in gguf.pairs if pair.key.data != key or rng.random() < 0.1]
    gguf.pairs.append(Pair(Text(key), kind, _some_value(kind, gguf, rng)))


def _kind_of(key: bytes) -> int:
    """The kind of value that llama.cpp expects."""
    end = key.rpartition(b".")[2]
    if any(part in end for part in _FLOAT_PARTS):
        return 6
    if end.startswith((b"add_", b"use_", b"causal", b"synthetic")):
        return 7
    if end in (b"type", b"architecture", b"name", b"model", b"pre", b"plan", b"file"):
        return TEXT
    if end in (b"tokens", b"scores", b"token_type", b"merges", b"dimension_sections"):
        return ARRAY
    return {b"split.count": 2, b"split.no": 2, b"split.tensors.count": 5}.get(key, 4)


def rename_key(gguf: Gguf, rng: Random) -> None:
    if pair := pick(gguf.pairs, rng):
        pair.key.data = odd_text(rng) if rng.random() < 0.6 else pair.key.data + odd_text(rng)


def claim_length(gguf: Gguf, rng: Random) -> None:
    """Another length of a text or an array than it has."""
    texts: list[Text | Array] = [pair.key for pair in gguf.pairs]
    texts += [pair.value for pair in gguf.pairs if isinstance(pair.value, Text | Array)]
    texts += [tensor.name for tensor in gguf.tensors]
    if text := pick(texts, rng):
        real = len(text.items) if isinstance(text, Array) else len(text.data)
        text.claimed = odd_whole(rng, real)


def change_number(gguf: Gguf, rng: Random) -> None:
    pair = pick([pair for pair in gguf.pairs if isinstance(pair.value, int | float)], rng)
    if pair is not None:
        pair.value = _near(pair.value, pair.kind, rng)


def change_kind(gguf: Gguf, rng: Random) -> None:
    """Another kind of value: told by the file alone, or with a value of that kind."""
    if pair := pick(gguf.pairs, rng):
        pair.kind = rng.choice((*_KINDS, 13, 2**31, 2**32 - 1))
        if rng.random() < 0.7:
            pair.value = _some_value(pair.kind, gguf, rng)


def number_for_layers(gguf: Gguf, rng: Random) -> None:
    """An array with a number for each layer in place of one for all."""
    pairs = [p for p in gguf.pairs if isinstance(p.value, int) and p.kind in (4, 5)]
    if pair := pick(pairs, rng):
        n_layers = gguf.find(b".block_count")
        count = n_layers.value if n_layers is not None and isinstance(n_layers.value, int) else 2
        n = min(abs(count), 1000) + rng.choice((0, 0, 0, -1, 1))
        assert isinstance(pair.value, int)
        values = [pair.value if rng.random() < 0.7 else odd_whole(rng, pair.value)] * max(n, 0)
        pair.kind, pair.value = ARRAY, Array(rng.choice((4, 5, 5, 4, 6)), list(values))


def change_text(gguf: Gguf, rng: Random) -> None:
    pair = pick([pair for pair in gguf.pairs if isinstance(pair.value, Text)], rng)
    if pair is not None:
        known = {b"general.architecture": _ARCHITECTURES, b"tokenizer.ggml.model": _TOKENIZERS}
        choices = known.get(pair.key.data)
        text = rng.choice(choices) if choices and rng.random() < 0.5 else odd_text(rng)
        pair.value = Text(text)


def rename_architecture(gguf: Gguf, rng: Random) -> None:
    """Another architecture whose keys are all there, under its name."""
    old, new = _architecture(gguf), rng.choice(_ARCHITECTURES)
    for pair in gguf.pairs:
        if pair.key.data == b"general.architecture":
            pair.value = Text(new)
        elif pair.key.data.startswith(old + b"."):
            pair.key.data = new + pair.key.data[len(old) :]


def change_array(gguf: Gguf, rng: Random) -> None:
    pair = pick([pair for pair in gguf.pairs if isinstance(pair.value, Array)], rng)
    if pair is None:
        return
    array = pair.value
    assert isinstance(array, Array)
    way = rng.randrange(6)
    if way == 0:
        del array.items[rng.randrange(len(array.items) + 1) :]
    elif way == 1:
        array.items = (array.items * rng.choice((2, 3, 100)))[:_MOST_ITEMS]
    elif way == 2:
        array.kind = rng.choice((*_KINDS, 13))
    elif way == 3:
        array.kind, array.items = ARRAY, [copy.deepcopy(array)]
    elif array.items:
        at = rng.randrange(len(array.items))
        item = array.items[at]
        array.items[at] = (
            _near(item, array.kind, rng) if isinstance(item, int | float) else Text(odd_text(rng))
        )


def drop_tensor(gguf: Gguf, rng: Random) -> None:
    if gguf.tensors:
        del gguf.tensors[rng.randrange(len(gguf.tensors))]


def double_tensor(gguf: Gguf, rng: Random) -> None:
    if tensor := pick(gguf.tensors, rng):
        double = copy.deepcopy(tensor)
        if rng.random() < 0.7:
            double.name.data += rng.choice((b"2", b".bias", b".scale", b"\0"))
        gguf.tensors.insert(rng.randrange(len(gguf.tensors) + 1), double)


def swap_tensors(gguf: Gguf, rng: Random) -> None:
    """Two tensors exchange their names, so that each has the other's shape."""
    if len(gguf.tensors) > 1:
        one, other = rng.sample(gguf.tensors, 2)
        one.name, other.name = other.name, one.name


def rename_tensor(gguf: Gguf, rng: Random) -> None:
    if tensor := pick(gguf.tensors, rng):
        choices = [odd_text(rng), b"n" * rng.choice((62, 63, 64, 65, 200))]
        choices.append(tensor.name.data.replace(b"blk.0", b"blk.%d" % odd_whole(rng)))
        choices.append(tensor.name.data.replace(b".weight", b".bias"))
        tensor.name.data = rng.choice(choices)


def change_shape(gguf: Gguf, rng: Random) -> None:
    if tensor := pick(gguf.tensors, rng):
        way = rng.randrange(6)
        if way == 0:
            tensor.shape.reverse()
        elif way == 1:
            tensor.shape.append(odd_whole(rng, 1))
        elif way == 2:
            tensor.shape = tensor.shape[: rng.randrange(len(tensor.shape) + 1)]
        elif way == 3:
            tensor.n_dims = odd_whole(rng, len(tensor.shape))
        elif tensor.shape:
            at = rng.randrange(len(tensor.shape))
            tensor.shape[at] = odd_whole(rng, tensor.shape[at])


def change_length_everywhere(gguf: Gguf, rng: Random) -> None:
    """Another length wherever one stands, in tensors and keys, as of another model."""
    tensor = pick([tensor for tensor in gguf.tensors if tensor.shape], rng)
    if tensor is None:
        return
    old = rng.choice(tensor.shape)
    new = rng.choice((old * 2, old // 2, old + 1, old - 1, 32, 256, 1, 1000))
    for other in gguf.tensors:
        other.shape = [new if length == old else length for length in other.shape]
    for pair in gguf.pairs:
        if pair.value == old and pair.kind in (4, 5, 10):
            pair.value = new


def change_type(gguf: Gguf, rng: Random) -> None:
    types = (*BLOCKS, 4, 5, 31, 33, 36, 43, 1000, 2**31, 2**32 - 1)
    tensors = gguf.tensors if rng.random() < 0.3 else [pick(gguf.tensors, rng)]
    type_ = rng.choice(types)
    fits = rng.random() < 0.7  # a row of the tensor into blocks of the type
    for tensor in tensors:
        if tensor is None or (len(tensors) > 1 and len(tensor.shape) < 2):
            continue
        block = BLOCKS.get(type_, (1, 0))[0]
        if not fits or (tensor.shape and tensor.shape[0] % block == 0):
            tensor.type = type_


def change_offset(gguf: Gguf, rng: Random) -> None:
    if tensor := pick(gguf.tensors, rng):
        other = rng.choice(gguf.tensors).offset
        tensor.offset = rng.choice((other, tensor.offset + 32, odd_whole(rng, tensor.offset)))


def change_version(gguf: Gguf, rng: Random) -> None:
    gguf.version = rng.choice((0, 1, 2, 3, 4, 3 << 24, 2**31, 2**32 - 1))


def change_counts(gguf: Gguf, rng: Random) -> None:
    """Other numbers of tensors or keys than there are."""
    if rng.random() < 0.5:
        gguf.n_tensors = odd_whole(rng, len(gguf.tensors))
    else:
        gguf.n_pairs = odd_whole(rng, len(gguf.pairs))


def change_alignment(gguf: Gguf, rng: Random) -> None:
    gguf.alignment = rng.choice((1, 8, 16, 31, 64, 4096))
    key = rng.choice((gguf.alignment, odd_whole(rng, 32)))
    gguf.pairs = [pair for pair in gguf.pairs if pair.key.data != b"general.alignment"]
    gguf.pairs.append(Pair(Text(b"general.alignment"), rng.choice((4, 4, 4, 5, 10)), key))


def change_data(gguf: Gguf, rng: Random) -> None:
    """Less data than there should be, or more."""
    real = gguf.data_bytes or 0
    gguf.data_bytes = rng.choice((0, real // 2, max(real - 1, 0), real + 1, real + 4096))
    if rng.random() < 0.2:
        gguf.tail = odd_text(rng)


def many_keys(gguf: Gguf, rng: Random) -> None:
    n = rng.choice((100, 5000))
    gguf.pairs += [Pair(Text(b"many.%d" % i), 4, i) for i in range(n)]


def many_tensors(gguf: Gguf, rng: Random) -> None:
    n = rng.choice((100, 3000))
    gguf.tensors += [Tensor(Text(b"many.%d" % i), [1], 0) for i in range(n)]


MUTATIONS: tuple[Mutation, ...] = (
    drop_pair, double_pair, shuffle_pairs, *[add_known_key] * 5, rename_key, claim_length,
    *[change_number] * 5, change_kind, number_for_layers, change_text, change_text,
    rename_architecture, change_array, change_array, drop_tensor, double_tensor, swap_tensors,
    rename_tensor, change_shape, *[change_length_everywhere] * 2, *[change_type] * 4, change_offset,
    change_version, change_counts, change_alignment, change_data, many_keys, many_tensors,
)  # fmt: skip


@dataclass(frozen=True)
class MutatedFile:
    """The header of a file, its length with the hole that follows, and what was done to it."""

    header: bytes
    file_bytes: int
    mutations: tuple[str, ...]


def whole(header: bytes) -> MutatedFile:
    """The file of a header as it is."""
    gguf = read(header)
    gguf.lay_out()
    return MutatedFile(header, len(header) + (gguf.data_bytes or 0), ())


def mutate(seed: bytes, rng: Random, mutations: Sequence[Mutation] = MUTATIONS) -> MutatedFile:
    """A changed file; in most of them tensors still lie behind each other, so that more is read.

    Args:
        seed: a file, or its header alone.
    """
    try:
        gguf = read(seed)
    except NotGgufError:
        changed = flip_bytes(seed, rng)
        return MutatedFile(changed, len(changed), ("flip_bytes",))
    gguf.lay_out()
    names = mutate_with(gguf, rng, mutations)
    keeps_places = {"change_offset", "change_data"} & set(names)
    if not keeps_places and rng.random() < 0.8:
        gguf.lay_out()
    header = gguf.header()
    data_bytes = gguf.data_bytes or 0
    if data_bytes > _MOST_DATA_BYTES:
        data_bytes = _MOST_DATA_BYTES
        names.append("less_data")
    file_bytes = len(header) + data_bytes
    if rng.random() < 0.06:
        header = flip_bytes(header, rng)
        names.append("flip_bytes")
    if rng.random() < 0.05:
        header = cut(header, rng)
        file_bytes = len(header)
        names.append("cut")
    return MutatedFile(header, max(file_bytes, len(header)), tuple(names))


def _architecture(gguf: Gguf) -> bytes:
    pair = gguf.find(b"general.architecture")
    return pair.value.data if pair is not None and isinstance(pair.value, Text) else b"llama"


def _near(value: int | float, kind: int, rng: Random) -> int | float:
    if kind in FLOAT_KINDS:
        return odd_float(rng, float(value))
    return odd_whole(rng, int(value))


def _some_value(kind: int, gguf: Gguf, rng: Random, depth: int = 0) -> object:
    if kind == TEXT:
        return Text(odd_text(rng))
    if kind == ARRAY and depth < 3:
        item = rng.choice(_KINDS)
        n = rng.choice((0, 1, 2, 3, 100, 513))
        return Array(item, [_some_value(item, gguf, rng, depth + 1) for _ in range(n)])
    return odd_float(rng) if kind in FLOAT_KINDS else odd_whole(rng)
