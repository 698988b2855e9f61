"""Files of quantization schemes, as users write them."""

from __future__ import annotations

from pathlib import Path

# Whole blocks of 32 in 4 bits with a float16 scale, by the decorator and with methods.
MINE = """
import numpy as np
from slmprof.quant import Scheme

@Scheme(name="mine", block_size=32, type_size=18)
class Mine:
    def quantize_blocks(self, blocks):
        scale = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype(np.float16)
        wide = scale.astype(np.float32)
        inverse = np.divide(1, wide, out=np.zeros_like(wide), where=wide > 0)
        numbers = (np.clip(np.round(blocks * inverse), -7, 7) + 8).astype(np.uint8)
        return np.hstack([scale.view(np.uint8), numbers[:, :16] | numbers[:, 16:] << 4])

    def dequantize_blocks(self, blocks):
        scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        numbers = np.hstack([blocks[:, 2:] & 15, blocks[:, 2:] >> 4]).astype(np.float32)
        return (numbers - 8) * scale

@Scheme(bits_per_weight=2.5)
def halves(values):
    return np.round(values * 2) / 2

@Scheme(bits_per_weight=1, whole_tensors=True)
def signs(values):
    return np.sign(values) * np.abs(values).mean()
"""


def write_scheme(folder: Path, text: str = MINE, name: str = "mine.py") -> Path:
    """A file of schemes in a folder."""
    path = folder / name
    path.write_text(text)
    return path


def variant(old: str, new: str) -> str:
    """The schemes with one thing wrong."""
    assert MINE.count(old) == 1
    return MINE.replace(old, new)
