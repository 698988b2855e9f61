"""What the example profile says about itself."""

from __future__ import annotations

from typing import Any

N_PROMPT, N_GEN, N_REPEATS = 16, 2, 2
N_EMBD, N_VOCAB = 64, 256


def example_meta() -> dict[str, Any]:
    """The parts of `meta` of the example."""
    return {
        "slmprof": {
            "version": "0.1.0",
            "llama_cpp": {"version": "0.3.36", "source": "pinned"},
            "build": {"GGML_NATIVE": True},
        },
        "environment": {
            "cpu": "Example CPU",
            "n_cores": 2,
            "memory_bytes": 8 * 2**30,
            "os": "Linux",
            "governor": None,
            "warnings": ["another process uses the CPU"],
        },
        "model": {
            "name": "example",
            "path": "example.gguf",
            "architecture": "llama",
            "n_params": 1_234_567,
            "n_layer": 1,
            "n_embd": N_EMBD,
            "n_vocab": N_VOCAB,
            "file_type": "Q4_K_M",
            "size_bytes": 3 * 2**20,
            "tensor_types": {"q4_K": 2 * 2**20, "q6_K": 2**20},
            "random_weights": True,
        },
        "config": {"n_prompt": N_PROMPT, "n_gen": N_GEN, "threads": 2, "mmap": True},
        "run": {
            "created_at": "2026-01-02T03:04:05Z",
            "complete": True,
            "n_repeats": N_REPEATS,
            "n_repeats_done": N_REPEATS,
            "warmup": {"prefill": {"n_passes": 1, "reason": "steady"}},
            "n_dropped": 0,
            "events": "all",
            "error": None,
        },
        "memory": {
            "buffers": [
                _buffer("CPU_Mapped", "weights", 3 * 2**20),
                _buffer("CPU_REPACK", "weights", 2 * 2**20),
                _buffer("CPU", "kv_cache", 2**20),
                _buffer("CPU", "compute", 2**19),
                _buffer("CPU", "output", 2**10),
            ],
            "rss_peak_bytes": 20 * 2**20,
        },
    }


def _buffer(buffer_type: str, kind: str, size_bytes: int) -> dict[str, Any]:
    return {
        "device": "CPU",
        "buffer_type": buffer_type,
        "kind": kind,
        "size_bytes": size_bytes,
    }
