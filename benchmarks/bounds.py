"""Whether bounds hold: the same model several times, and two products whose limit is known.

Every round measures each model in a process of its own. What is compared is the bound of each kind
of op (phase, kernel, code, block, part, types): from round to round it may change to and from
"unexplained", never from one cause to another. Two models are made so that their feed-forward
products have a known limit: one with F16 matrices many times larger than the caches, whose decode
memory limits; and one whose F16 matrices stay in the caches, with a long prompt, which arithmetic
limits: the hardware's, or the kernel's best where that is below it.
"""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reporting import Bar, add_models, model_text, parser, publish

import slmprof
from slmprof.machine.caches import data_caches
from slmprof.models.synthesis import synthesize
from slmprof.settings.dimensions import Dimensions

_KIND = ["phase", "kernel", "impl", "block", "part", "dtypes"]
_CERTAIN = {"memory", "cache", "compute", "kernel", "sync"}
# Weights that are so many times larger than the last cache lie in memory.
_TIMES_LAST_CACHE = 8
_UNKNOWN_CACHE_BYTES = 32 * 2**20

Kind = tuple[Any, ...]


@dataclass(frozen=True)
class Known:
    """A model whose feed-forward products have a known limit in one phase."""

    name: str
    dimensions: Dimensions
    settings: dict[str, Any]
    phase: str
    kernel: str
    wanted: frozenset[str]


def _dimensions(name: str, n_layer: int, n_embd: int, n_ff: int) -> Dimensions:
    return Dimensions(
        architecture="llama",
        name=name,
        n_layer=n_layer,
        n_embd=n_embd,
        n_ff=n_ff,
        n_head=n_embd // 64,
        n_head_kv=n_embd // 64,
        n_vocab=512,
        n_ctx_train=4096,
    )


def _known() -> list[Known]:
    caches = data_caches()
    last = caches[-1].size_bytes if caches else _UNKNOWN_CACHE_BYTES
    layer_bytes = 2 * (4 * 4096**2 + 3 * 4096 * 8192)
    n_layer = max(1, -(-_TIMES_LAST_CACHE * last // layer_bytes))
    return [
        Known(
            "memory",
            _dimensions("larger than the caches", n_layer, 4096, 8192),
            {"n_prompt": 8, "n_gen": 24, "repeats": 3},
            "decode",
            "mul_mat_vec_f",
            frozenset({"memory"}),
        ),
        Known(
            "arithmetic",
            _dimensions("in the caches", 2, 512, 1024),
            {"n_prompt": 512, "n_gen": 1, "repeats": 10},
            "prefill",
            # The last layer of a prompt computes one token alone.
            "mul_mat_f",
            frozenset({"compute", "kernel"}),
        ),
    ]


def _bounds(profile: slmprof.Profile) -> dict[Kind, tuple[str | None, float]]:
    """The bound of each kind of op, and its share of the phase's time."""
    ops = profile.ops()
    found: dict[Kind, tuple[str | None, float]] = {}
    for key, rows in ops.groupby(_KIND, sort=False):
        word = rows["bound"].iloc[0]
        found[key] = (None if word is None or word != word else str(word), rows["share"].sum())
    return found


def _ffn_words(profile: slmprof.Profile, phase: str, kernel: str) -> set[str]:
    ops = profile.ops()
    chosen = (ops["phase"] == phase) & (ops["block"] == "ffn") & (ops["kernel"] == kernel)
    return set(ops[chosen]["bound"].fillna("none"))


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "tiny,qwen2-0.5b")
    arguments.add_argument("--rounds", type=int, default=10)
    arguments.add_argument("--threads", type=int, default=None)
    options = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    changed: list[dict[str, Any]] = []
    called: list[dict[str, Any]] = []
    bars: list[Bar] = []
    for model in options.models.split(","):
        words: dict[Kind, list[str | None]] = defaultdict(list)
        shares: dict[Kind, float] = {}
        for _ in range(options.rounds):
            profile = slmprof.profile(model_text(model), threads=options.threads)
            for kind, (word, share) in _bounds(profile).items():
                words[kind].append(word)
                shares[kind] = float(share) if share == share else 0.0
        for phase in ("prefill", "decode"):
            own = {kind: set(all_) for kind, all_ in words.items() if kind[0] == phase}
            turned = [kind for kind, seen in own.items() if len(seen & _CERTAIN) > 1]
            changed += [
                {"model": model, "op": " ".join(map(str, kind)), "share": shares[kind],
                 "bounds": ", ".join(map(str, words[kind]))}
                for kind in turned
            ]  # fmt: skip
            rows.append(
                {"model": model, "phase": phase, "rounds": options.rounds, "kinds of ops": len(own),
                 "the same": sum(len(seen) == 1 for seen in own.values()),
                 "to or from unexplained": sum(
                     len(seen) > 1 and len(seen & _CERTAIN) <= 1 for seen in own.values()),
                 "changed": len(turned)}
            )  # fmt: skip
            bars.append(Bar(f"{model} {phase} bounds that changed", float(len(turned)), 0.0, True))
    with tempfile.TemporaryDirectory(prefix="slmprof-bounds-") as folder:
        for known in _known():
            path = synthesize(
                known.dimensions, Path(folder) / f"{known.name}.gguf", file_type="F16"
            )
            seen = [
                _ffn_words(
                    slmprof.profile(path, threads=options.threads, **known.settings),
                    known.phase,
                    known.kernel,
                )
                for _ in range(options.rounds)
            ]
            path.unlink()
            right = sum(bool(one) and one <= known.wanted for one in seen)
            rows.append(
                {"model": f"{known.name} alone", "phase": known.phase, "rounds": options.rounds,
                 "kinds of ops": max(map(len, seen)), "the same": right,
                 "to or from unexplained": sum("unexplained" in one for one in seen),
                 "changed": sum(bool((one & _CERTAIN) - known.wanted) for one in seen)}
            )  # fmt: skip
            called.append(
                {"model": f"{known.name} alone", "wanted": " or ".join(sorted(known.wanted)),
                 "was, by round": "; ".join("+".join(sorted(one)) or "nothing" for one in seen)}
            )  # fmt: skip
            name = f"{known.name} named rightly, rounds"
            bars.append(Bar(name, float(right), float(options.rounds), False))
    tables = {"Products whose limit is known": called}
    tables.update({"Bounds that changed": changed} if changed else {})
    return publish("bounds", rows, bars, options, tables=tables)


if __name__ == "__main__":
    sys.exit(main())
