"""Small GGUF files of architectures that slmprof does not synthesise."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

N_LAYER, N_EMBD, N_FF, N_VOCAB, N_CTX = 2, 64, 128, 100, 128
Shapes = dict[str, tuple[int, ...]]
Text = str | bytes


def pack_text(text: Text) -> bytes:
    """A text as it stands in a GGUF file; bytes need not be UTF-8."""
    data = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(data)) + data


def write_gguf(
    path: Path,
    metadata: Mapping[Any, object],
    shapes: Mapping[Any, tuple[int, ...]],
    *,
    sparse: bool = False,
) -> Path:
    """A GGUF file of float32 tensors with small random values, or with a hole in their place."""
    data = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    for key, value in metadata.items():
        data += pack_text(key)
        if isinstance(value, str | bytes):
            data += struct.pack("<I", 8) + pack_text(value)
        elif isinstance(value, bool):
            data += struct.pack("<I?", 7, value)
        elif isinstance(value, np.uint16):
            data += struct.pack("<IH", 2, value)
        elif isinstance(value, np.int32):
            data += struct.pack("<Ii", 5, value)
        elif isinstance(value, float):
            data += struct.pack("<If", 6, value)
        else:
            data += struct.pack("<II", 4, value)
    offset = 0
    for name, shape in shapes.items():
        data += pack_text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        data += struct.pack("<IQ", 0, offset)
        offset += -(-4 * int(np.prod(shape)) // 32) * 32
    data += bytes(-len(data) % 32)
    if sparse:
        path.write_bytes(data)
        os.truncate(path, len(data) + offset)
        return path
    rng = np.random.default_rng(0)
    for shape in shapes.values():
        block = rng.normal(0, 0.02, int(np.prod(shape))).astype("<f4").tobytes()
        data += block + bytes(-len(block) % 32)
    path.write_bytes(data)
    return path


def common_metadata(architecture: str) -> dict[str, object]:
    return {
        "general.architecture": architecture,
        f"{architecture}.context_length": N_CTX,
        f"{architecture}.embedding_length": N_EMBD,
        f"{architecture}.block_count": N_LAYER,
        f"{architecture}.feed_forward_length": N_FF,
        f"{architecture}.attention.head_count": 2,
        f"{architecture}.vocab_size": N_VOCAB,
        "tokenizer.ggml.model": "no_vocab",
    }


def llama_shapes(n_layer: int, n_embd: int, n_ff: int, n_vocab: int, n_kv: int) -> Shapes:
    """The tensors of a Llama whose keys are `n_kv` wide."""
    shapes: Shapes = {
        "token_embd.weight": (n_embd, n_vocab),
        "output_norm.weight": (n_embd,),
        "output.weight": (n_embd, n_vocab),
    }
    for i in range(n_layer):
        for name, width in (("q", n_embd), ("k", n_kv), ("v", n_kv), ("output", n_embd)):
            shapes[f"blk.{i}.attn_{name}.weight"] = (n_embd, width)
        for name in ("attn_norm", "ffn_norm"):
            shapes[f"blk.{i}.{name}.weight"] = (n_embd,)
        for name in ("gate", "up"):
            shapes[f"blk.{i}.ffn_{name}.weight"] = (n_embd, n_ff)
        shapes[f"blk.{i}.ffn_down.weight"] = (n_ff, n_embd)
    return shapes


def write_moe(path: Path, n_expert: int = 8) -> Path:
    """A small Llama with two of so many experts for each token."""
    shapes = llama_shapes(N_LAYER, N_EMBD, N_FF, N_VOCAB, N_EMBD)
    for i in range(N_LAYER):
        for name, shape in (
            ("gate", (N_EMBD, N_FF)), ("up", (N_EMBD, N_FF)), ("down", (N_FF, N_EMBD)),
        ):  # fmt: skip
            del shapes[f"blk.{i}.ffn_{name}.weight"]
            shapes[f"blk.{i}.ffn_{name}_exps.weight"] = (*shape, n_expert)
        shapes[f"blk.{i}.ffn_gate_inp.weight"] = (N_EMBD, n_expert)
    metadata = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.expert_count": n_expert,
        "llama.expert_used_count": 2,
    }
    return write_gguf(path, metadata, shapes)


def write_split_llama(folder: Path) -> Path:
    """A small Llama in two parts; the path of the first one."""
    shapes = llama_shapes(N_LAYER, N_EMBD, N_FF, N_VOCAB, N_EMBD)
    names = sorted(shapes)
    halves = names[: len(names) // 2], names[len(names) // 2 :]
    split: dict[str, object] = {
        "split.count": np.uint16(2),
        "split.tensors.count": np.int32(len(names)),
    }
    metadata = {**common_metadata("llama"), "llama.attention.layer_norm_rms_epsilon": 1e-5}
    for number, half in enumerate(halves):
        path = folder / f"split-{number + 1:05}-of-00002.gguf"
        part = {"split.no": np.uint16(number), **split}
        part_shapes = {name: shapes[name] for name in half}
        write_gguf(path, {**(metadata if number == 0 else {}), **part}, part_shapes)
    return folder / "split-00001-of-00002.gguf"


def write_huge_llama(path: Path) -> Path:
    """The header of a Llama of 70 B parameters, and a hole in place of its weights."""
    metadata = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.context_length": 131072,
        "llama.embedding_length": 8192,
        "llama.block_count": 80,
        "llama.feed_forward_length": 28672,
        "llama.attention.head_count": 64,
        "llama.attention.head_count_kv": 8,
        "llama.vocab_size": 128256,
    }
    return write_gguf(path, metadata, llama_shapes(80, 8192, 28672, 128256, 1024), sparse=True)


def write_bert(path: Path) -> Path:
    """A model that only encodes."""
    metadata = {
        **common_metadata("bert"),
        "bert.attention.layer_norm_epsilon": 1e-6,
        "bert.attention.causal": False,
        "tokenizer.ggml.token_type_count": 2,
    }
    shapes: Shapes = {
        "token_embd.weight": (N_EMBD, N_VOCAB),
        "token_types.weight": (N_EMBD, 2),
        "position_embd.weight": (N_EMBD, N_CTX),
        "token_embd_norm.weight": (N_EMBD,),
        "token_embd_norm.bias": (N_EMBD,),
    }
    for i in range(N_LAYER):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            shapes[f"blk.{i}.{name}.weight"] = (N_EMBD, N_EMBD)
        for name in ("attn_output_norm", "layer_output_norm"):
            shapes[f"blk.{i}.{name}.weight"] = shapes[f"blk.{i}.{name}.bias"] = (N_EMBD,)
        shapes[f"blk.{i}.ffn_up.weight"] = (N_EMBD, N_FF)
        shapes[f"blk.{i}.ffn_down.weight"] = (N_FF, N_EMBD)
    return write_gguf(path, metadata, shapes)


def write_t5(path: Path) -> Path:
    """A model whose decoder reads what its encoder made of the prompt."""
    metadata = {
        **common_metadata("t5"),
        "t5.attention.layer_norm_rms_epsilon": 1e-6,
        "t5.attention.relative_buckets_count": 32,
    }
    shapes: Shapes = {"token_embd.weight": (N_EMBD, N_VOCAB)}
    for side, attentions in (("enc", ["attn"]), ("dec", ["attn", "cross_attn"])):
        shapes[f"{side}.output_norm.weight"] = (N_EMBD,)
        for i in range(N_LAYER):
            prefix = f"{side}.blk.{i}"
            for attention in attentions:
                for part in "qkvo":
                    shapes[f"{prefix}.{attention}_{part}.weight"] = (N_EMBD, N_EMBD)
                shapes[f"{prefix}.{attention}_norm.weight"] = (N_EMBD,)
            shapes[f"{prefix}.attn_rel_b.weight"] = (2, 32)
            shapes[f"{prefix}.ffn_norm.weight"] = (N_EMBD,)
            shapes[f"{prefix}.ffn_up.weight"] = (N_EMBD, N_FF)
            shapes[f"{prefix}.ffn_down.weight"] = (N_FF, N_EMBD)
    return write_gguf(path, metadata, shapes)


def write_llada(path: Path) -> Path:
    """A model of diffusion: it decodes without a memory, and all its tokens have outputs."""
    metadata = {**common_metadata("llada"), "llada.attention.layer_norm_rms_epsilon": 1e-5}
    return write_gguf(path, metadata, llama_shapes(N_LAYER, N_EMBD, N_FF, N_VOCAB, N_EMBD))


def write_mamba(path: Path, n_layer: int, n_inner: int, n_state: int) -> Path:
    """The header of a recurrent model: a sequence's state has `n_inner` x `n_state` a layer."""
    n_rank, n_conv = 8, 4
    metadata = {
        **common_metadata("mamba"),
        "mamba.attention.layer_norm_rms_epsilon": 1e-5,
        "mamba.block_count": n_layer,
        "mamba.ssm.conv_kernel": n_conv,
        "mamba.ssm.inner_size": n_inner,
        "mamba.ssm.state_size": n_state,
        "mamba.ssm.time_step_rank": n_rank,
    }
    metadata["mamba.embedding_length"] = n_inner // 2
    shapes: Shapes = {
        "token_embd.weight": (n_inner // 2, N_VOCAB),
        "output_norm.weight": (n_inner // 2,),
    }
    for i in range(n_layer):
        for name, shape in {
            "attn_norm.weight": (n_inner // 2,),
            "ssm_in.weight": (n_inner // 2, 2 * n_inner),
            "ssm_conv1d.weight": (n_conv, n_inner),
            "ssm_conv1d.bias": (n_inner,),
            "ssm_x.weight": (n_inner, n_rank + 2 * n_state),
            "ssm_dt.weight": (n_rank, n_inner),
            "ssm_dt.bias": (n_inner,),
            "ssm_a": (n_state, n_inner),
            "ssm_d": (n_inner,),
            "ssm_out.weight": (n_inner, n_inner // 2),
        }.items():
            shapes[f"blk.{i}.{name}"] = shape
    return write_gguf(path, metadata, shapes, sparse=True)
