"""What the trained model has not read, and the model itself (tests/models/train.py)."""

from __future__ import annotations

from pathlib import Path
from pydoc_data.topics import topics

TRAINED = Path(__file__).parents[1] / "models" / "trained.gguf"
_N_BYTES = 40_000


def held_out_text(n_bytes: int = _N_BYTES) -> str:
    """The end of Python's help, of which the model has read what comes before."""
    whole = "\n\n".join(topics[name] for name in sorted(topics)).encode()
    return whole[-_N_BYTES:][:n_bytes].decode("utf-8", "ignore")


def write_held_out(folder: Path, n_bytes: int = _N_BYTES) -> Path:
    """The same as a file."""
    path = folder / "held-out.txt"
    path.write_text(held_out_text(n_bytes), encoding="utf-8")
    return path
