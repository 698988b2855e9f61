"""The example schemes inside llama.cpp, against ggml's own types: speed, size and divergence.

- q4_0 through the door, against ggml's q4_0 without repacking: what the door costs.
- q4_25, of 32-element blocks, against today's Q4_K_M of a small model, whose rows 256 does not
  divide: for all weights, and in a recipe that gives the weights that cost most a type with more
  bits, as Q4_K_M does.
- q3_32 against the floats that it would otherwise be simulated with.

Each pair runs process by process in turns. Divergence is that of the trained model of the tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from quality import TRAINED, write_text
from reporting import Bar, model_text, parser, publish

import slmprof
from slmprof import quant

_ROOT = Path(__file__).parents[1]
SCHEMES = _ROOT / "examples" / "schemes"
_LEAST_OF_BUILT_IN = 0.97
_MIXED = "q4_25 and more bits"
# What `quant quality --costs` finds dear of the trained model: embeddings, values, the way down.
_RECIPE = {
    "scheme_tensors": "attn_[qko]|ffn_gate|ffn_up",
    "file_type": "Q5_0",
    "token_embedding_type": "q8_0",
}


def place(name: str) -> str:
    """Where an example stands."""
    file = {"q4_0_again": "q4_0"}.get(name, name)
    return f"{SCHEMES / file}.c:{name}"


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="qwen2-0.5b@F16", help="a preset or GGUF, in floats")
    arguments.add_argument("--processes", type=int, default=8)
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    floats = model_text(options.model)
    with tempfile.TemporaryDirectory() as folder:
        q4_0 = quant.apply(floats, Path(folder) / "q4_0.gguf", file_type="Q4_0", pure=True)
        q4_k_m = quant.apply(floats, Path(folder) / "q4_k_m.gguf", file_type="Q4_K_M")
        scheme = place("q4_25")
        mixed = quant.apply(floats, Path(folder) / "mixed.gguf", scheme=scheme, **_RECIPE)
        # Neither repacked nor mapped, as what a scheme has packed is neither.
        plain = {"repack": False, "mmap": False}
        rows = [
            *compared("q4_0", q4_0, f"{floats}@{place('q4_0_again')}", options, **plain),
            *compared("Q4_K_M", q4_k_m, f"{floats}@{scheme}", options),
            *compared("Q4_K_M", q4_k_m, f"{mixed}@{scheme}", options, name=_MIXED),
            *compared("F16", floats, f"{floats}@{place('q3_32')}", options),
        ]
        text = write_text(Path(folder) / "text.txt", 60_000)
        divergence = [
            diverged(
                "Q4_K_M", quant.apply(TRAINED, Path(folder) / "k.gguf", file_type="Q4_K_M"), text
            ),
            *(diverged(name, f"{TRAINED}@{place(name)}", text) for name in ("q4_25", "q3_32")),
        ]
        mixed = quant.apply(TRAINED, Path(folder) / "m.gguf", scheme=scheme, **_RECIPE)
        divergence.append(diverged(_MIXED, f"{mixed}@{scheme}", text))
    by = {(row["scheme"], row["phase"]): row for row in rows}
    kld = {row["type"]: row["KLD"] for row in divergence}
    small = by[_MIXED, "decode"]
    bars = [
        Bar(
            f"q4_0 through the door, {phase}",
            by["q4_0_again", phase]["speed"],
            _LEAST_OF_BUILT_IN,
            False,
        )
        for phase in ("prefill", "decode")
    ]
    bars += [
        Bar(f"{_MIXED}, decode", small["speed"], 1.0, False),
        Bar(f"{_MIXED}, size", small["size"], 1.0, True),
        Bar(f"{_MIXED}, KLD", kld[_MIXED] / kld["Q4_K_M"], 1.0, True),
        Bar("q3_32, decode", by["q3_32", "decode"]["speed"], 1.0, False),
    ]
    return publish("kernels", rows, bars, options, tables={"Divergence": divergence})


def compared(
    against: str, built_in: Any, custom: str, options: Any, *, name: str = "", **settings: Any
) -> list[dict[str, Any]]:
    """A row for each phase; `speed` and `size` are of the scheme over the built-in type."""
    found = slmprof.compare(
        built_in, custom, processes=options.processes, repeats=options.repeats,
        threads=options.threads, **settings,
    ).to_json()  # fmt: skip
    size = sizes(built_in, custom)
    rows = []
    for row in found["rows"]:
        if row["what"] == "latency":
            rows.append(
                {"scheme": name or custom.rpartition(":")[2], "against": against,
                 "phase": row["phase"], "built-in ms": row["a"], "custom ms": row["b"],
                 "speed": row["a"] / row["b"], "verdict": row["verdict"], "size": size}
            )  # fmt: skip
    return rows


def sizes(built_in: Any, custom: str) -> float:
    """Bytes of all weights, of the scheme over the built-in type."""
    a, b = (
        slmprof.memory(model, by="tensor", n_ctx=512).query("kind == 'weights'")
        .drop_duplicates("tensor")["size_bytes"].sum()
        for model in (built_in, custom)
    )  # fmt: skip
    return float(b / a)


def diverged(name: str, model: Any, text: Path) -> dict[str, Any]:
    """How far the trained model in a type is from itself."""
    found = quant.quality(model, reference=TRAINED, text=text, n_ctx=512)
    assert found.divergence is not None
    return {
        "type": name,
        "bits per weight": found.model.bits_per_weight,
        "perplexity": found.perplexity.value,
        "KLD": found.divergence.kld.value,
        "± KLD": found.divergence.kld.error,
    }


if __name__ == "__main__":
    sys.exit(main())
