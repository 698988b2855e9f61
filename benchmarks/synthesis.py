"""Presets: how long synthesising takes, and what llama.cpp says of the file."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from reporting import Bar, parser, publish

from slmprof import Session

# Parameters in millions and size in MiB at Q4_K_M, as published for the GGUF files of these models.
_PUBLISHED = {"qwen2-0.5b": (494.03, 373.71), "qwen1.5-0.5b": (619.57, 382.62)}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(_PUBLISHED))
    options = arguments.parse_args()
    rows, bars = [], []
    for model in options.models.split(","):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "slmprof", "synth", model, "-o", str(path)],
                check=True, capture_output=True,
            )  # fmt: skip
            elapsed = time.perf_counter() - begin
            with Session(path) as session:
                info = session.model_info
        millions, mebibytes = info["n_params"] / 1e6, info["size_bytes"] / 2**20
        rows.append({"model": model, "s": elapsed, "M params": millions, "MiB": mebibytes})
        bars.append(Bar(f"{model} seconds", elapsed, 10, is_most=True))
        if model in _PUBLISHED:
            params, size = _PUBLISHED[model]
            bars.append(Bar(f"{model} off in M params", abs(millions - params), 0.005, True))
            bars.append(Bar(f"{model} off in MiB", abs(mebibytes - size), 0.005, True))
    return publish("synthesis", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
