"""Small GGUF files of architectures that slmprof does not synthesise."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

N_LAYER, N_EMBD, N_FF, N_VOCAB, N_CTX = 2, 64, 128, 100, 128
Shapes = dict[str, tuple[int, ...]]


def pack_text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def write_gguf(path: Path, metadata: dict[str, object], shapes: Shapes) -> Path:
    """A GGUF file of float32 tensors with small random values."""
    data = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(metadata))
    for key, value in metadata.items():
        data += pack_text(key)
        if isinstance(value, str):
            data += struct.pack("<I", 8) + pack_text(value)
        elif isinstance(value, bool):
            data += struct.pack("<I?", 7, value)
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
