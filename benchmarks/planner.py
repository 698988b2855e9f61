"""What `slmprof memory` costs: time from the shell and in the planner, bytes read, resident memory.

A 0.6 B model is planned from its file, with all its weights there, again with as long a vocabulary
as such models come with, and a 70 B model from a configuration, with no file at all.
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

from slmprof import _core
from slmprof.models.resolve import resolve_model
from slmprof.models.synthesis import find_dimensions, plan_model

N_CTX = 32768
MIB = 1 << 20
PRESET = "qwen1.5-0.5b"  # 0.62 B parameters
FILE, VOCABULARY = f"{PRESET}, a file", f"{PRESET}, an outline with a vocabulary"
CONFIG = "llama of 70 B, a config"

# Llama-3's 70 B: its published dimensions.
LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 8192,
    "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
    "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "tie_word_embeddings": False,
}  # fmt: skip


def write_with_vocabulary(path: Path) -> None:
    """The preset's header with 151936 tokens and as many merges, and a hole for its weights."""
    plan = plan_model(find_dimensions(PRESET))
    n_vocab = plan.dimensions.n_vocab
    metadata = [item for item in plan.metadata if not item[0].startswith("tokenizer.")]
    metadata += [
        ("tokenizer.ggml.model", "gpt2"),
        ("tokenizer.ggml.tokens", tuple(f"token{i}" for i in range(n_vocab))),
        ("tokenizer.ggml.token_type", (1,) * n_vocab),
        ("tokenizer.ggml.merges", tuple(f"token{i} token{i + 1}" for i in range(n_vocab - 1))),
    ]
    _core.write_outline(str(path), metadata, [(t.name, t.shape, t.type) for t in plan.tensors])


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
        outline = Path(folder) / "vocabulary.gguf"
        write_with_vocabulary(outline)
        models = {FILE: resolve_model(f"preset:{PRESET}"), VOCABULARY: outline, CONFIG: config}
        found = {name: measure(path, options.rounds) for name, path in models.items()}
    rows = [{"model": name, **figures} for name, figures in found.items()]
    bars = [
        *(
            Bar(f"{name}, from the shell, ms", found[name]["shell ms"], 500, is_most=True)
            for name in (FILE, VOCABULARY)
        ),
        # With a vocabulary half of it is llama.cpp's own reading of the texts in the header.
        Bar(f"{FILE}, in the planner, ms", found[FILE]["planner ms"], 60, is_most=True),
        Bar(
            f"read of {FILE}, share",
            found[FILE]["read MiB"] / found[FILE]["of a model of MiB"],
            0.01,
            is_most=True,
        ),
        Bar("70 B, peak RSS, MiB", found[CONFIG]["peak RSS MiB"], 200, is_most=True),
    ]
    return publish("planner", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
