"""What `slmprof memory` costs: time from the shell and in the planner, bytes read, resident memory.

A 0.5 B model is planned from its file, with all its weights there, and a 70 B model from a
configuration, with no file at all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from reporting import Bar, parser, publish

from slmprof.models.resolve import resolve_model

N_CTX = 32768
MIB = 1 << 20
FILE, CONFIG = "qwen2-0.5b, a file", "llama of 70 B, a config"

# Llama-3's 70 B: its published dimensions.
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
    "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip


def run(model: Path, form: str) -> tuple[float, str]:
    """Wall time of the command in milliseconds, and what it printed."""
    command = [sys.executable, "-m", "slmprof", "memory", str(model), "--n-ctx", str(N_CTX)]
    begin = time.perf_counter()
    answer = subprocess.run([*command, "--format", form], check=True, capture_output=True)
    return (time.perf_counter() - begin) * 1000, answer.stdout.decode()


def measure(model: Path, rounds: int) -> dict[str, Any]:
    """Medians of all rounds, and the most that was read and resident in any."""
    shell, planner, read, rss = [], [], [], []
    size = 0
    for _ in range(rounds):
        shell.append(run(model, "table")[0])
        document = json.loads(run(model, "json")[1])
        cost = document["planner"]
        planner.append(cost["planner_ms"])
        read.append(cost["read_bytes"] or 0)
        rss.append(cost["rss_peak_bytes"] or 0)
        size = document["model"]["size_bytes"]
    return {
        "shell ms": float(np.median(shell)),
        "planner ms": float(np.median(planner)),
        "read MiB": max(read) / MIB,
        "of a model of MiB": size / MIB,
        "peak RSS MiB": max(rss) / MIB,
    }


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=15)
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.json"
        config.write_text(json.dumps(LLAMA_70B), encoding="utf-8")
        models = {FILE: resolve_model("preset:qwen2-0.5b"), CONFIG: config}
        found = {name: measure(path, options.rounds) for name, path in models.items()}
    rows = [{"model": name, **figures} for name, figures in found.items()]
    small, large = found[FILE], found[CONFIG]
    bars = [
        Bar("qwen2-0.5b at 32k from the shell, ms", small["shell ms"], 500, is_most=True),
        Bar("qwen2-0.5b at 32k in the planner, ms", small["planner ms"], 60, is_most=True),
        Bar(
            "read of qwen2-0.5b's file, share",
            small["read MiB"] / small["of a model of MiB"],
            0.01,
            is_most=True,
        ),
        Bar("70 B, peak RSS, MiB", large["peak RSS MiB"], 200, is_most=True),
    ]
    return publish("planner", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
