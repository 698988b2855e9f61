"""Memory of the 0.5 B presets and of a model with a large vocabulary and windows: predicted,
allocated, expected to be resident, observed, and what none of them explains.

Each setting is run in a worker process of its own, with and without memory mapping, repacking and
flash attention, the model with windows also in a depth of 8 k. The difference is what no line of
the reconciliation explains, at the peak of the resident memory; what was resident only between the
observed points counts to it here. `expected` is what the run itself said before it loaded the
model, `planned` what `slmprof memory` says of a prompt of that length.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reporting import Bar, model_text, parser, publish

import slmprof
from slmprof import _core
from slmprof.analysis.memory.reconciliation import BETWEEN
from slmprof.analysis.memory.use import memory_report
from slmprof.models.synthesis import plan_model
from slmprof.planning.process import plan_memory
from slmprof.reporters.documents.records import records
from slmprof.settings.dimensions import Dimensions

MIB = 2**20
# What may stay without an explanation: the larger of the two.
MOST_SHARE, MOST_MIB = 0.02, 16.0
# How far what is expected to be resident may be off.
MOST_OFF_SHARE, MOST_OFF_MIB = 0.03, 16.0
# ggml's threads ask for theirs by the batch at hand; the planner has that of the largest batch.
BY_BATCH = "work"
WINDOWS = "windows"
N_VOCAB, N_DEPTH = 262144, 8000

# Of a 270 M model with windows of 512 and 262144 tokens, with a third of its layers.
DIMENSIONS = Dimensions(
    architecture="gemma2", name="windows and vocabulary", n_layer=6, n_embd=768, n_ff=2048,
    n_head=4, n_head_kv=1, head_dim=256, n_vocab=N_VOCAB, n_ctx_train=32768, tied=True,
    norm_eps=1e-6,
    extra=(
        ("attn_logit_softcapping", 50.0), ("final_logit_softcapping", 30.0),
        ("attention.sliding_window", 512),
    ),
)  # fmt: skip


def write_with_vocabulary(folder: Path, file_type: str) -> Path:
    """The model of `DIMENSIONS` with texts for all its tokens, as a SentencePiece vocabulary."""
    plan = plan_model(DIMENSIONS, file_type)
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    pieces += [f"piece{i}" for i in range(N_VOCAB - len(pieces))]
    kinds = [2, 3, 3, *([6] * 256)]
    metadata = [item for item in plan.metadata if not item[0].startswith("tokenizer.")]
    metadata += [
        ("tokenizer.ggml.model", "llama"),
        ("tokenizer.ggml.tokens", tuple(pieces)),
        ("tokenizer.ggml.scores", tuple(float(-i) for i in range(N_VOCAB))),
        ("tokenizer.ggml.token_type", tuple(kinds + [1] * (N_VOCAB - len(kinds)))),
        ("tokenizer.ggml.bos_token_id", 1),
        ("tokenizer.ggml.eos_token_id", 2),
    ]
    path = folder / f"{WINDOWS}-{file_type}.gguf"
    tensors = [(t.name, t.shape, t.type, t.fill) for t in plan.tensors]
    _core.write_random_gguf(str(path), metadata, tensors, seed=0)
    return path


def measure(model: str, threads: int, n_depth: int = 0, **settings: Any) -> dict[str, Any]:
    """One run, as a row of the table; sizes in MiB."""
    n_ctx = 8192 if n_depth else 2048
    profile = slmprof.profile(
        model, threads=threads, n_depth=n_depth, n_ctx=n_ctx, n_gen=10, repeats=1,
        ceilings="off", **settings,
    )  # fmt: skip
    # A plan has no depth: to it all of that is the prompt.
    n_prompt = n_depth + 50
    asked = {"n_ctx": n_ctx, "n_prompt": n_prompt, "threads": threads, **settings}
    plan = plan_memory(model, **asked).settings[0]
    report = memory_report(profile)
    found = report.reconciliation
    terms = records(found.rows)

    def total(column: str) -> int:
        return sum(row[column] or 0 for row in terms if row["kind"] != BY_BATCH)

    between = sum(row["resident_bytes"] or 0 for row in terms if row["kind"] == BETWEEN)
    peak = found.peak_bytes or 0
    unexplained = (found.difference_bytes or 0) + between
    expected = report.expected.profiled_bytes if report.expected is not None else 0
    planned = plan.resident.profiled_bytes if plan.resident is not None else 0
    names = {"mmap": "mmap", "repack": "repack", "flash_attn": "flash"}
    shown = {short: settings[name] for name, short in names.items()}
    return {
        "model": Path(model).stem if model.endswith(".gguf") else model.removeprefix("preset:"),
        **{n: {True: "on", False: "off"}.get(value, value) for n, value in shown.items()},
        "depth": n_depth,
        "predicted": total("predicted_bytes") / MIB,
        "allocated": total("allocated_bytes") / MIB,
        "expected": expected / MIB,
        "planned": planned / MIB,
        "peak": peak / MIB,
        "difference": (found.difference_bytes or 0) / MIB,
        "between": between / MIB,
        "%": 100 * abs(unexplained) / peak if peak else 100.0,
    }


def cases(models: list[str], files: list[Path]) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Each model with its depth and settings."""
    names = ("mmap", "repack", "flash_attn")
    for model, *values in itertools.product(models, (True, False), (True, False), ("on", "off")):
        yield model_text(str(model)), 0, dict(zip(names, values, strict=True))
    for path, mmap, repack, depth in itertools.product(
        files, (True, False), (True, False), (0, N_DEPTH)
    ):
        yield str(path), depth, {"mmap": mmap, "repack": repack, "flash_attn": "on"}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--models", nargs="*", default=["qwen2-0.5b", "qwen1.5-0.5b"],
        help="presets or GGUF files",
    )  # fmt: skip
    arguments.add_argument(
        "--windows", nargs="*", default=["Q4_0", "Q4_K_M"],
        help="file types of the model with windows and a large vocabulary",
    )  # fmt: skip
    arguments.add_argument("--threads", type=int, default=2)
    options = arguments.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        files = [write_with_vocabulary(Path(folder), name) for name in options.windows]
        for model, n_depth, settings in cases(options.models, files):
            rows.append(measure(model, options.threads, n_depth, **settings))

    def most(value: Callable[[dict[str, Any]], float], share: float, mebibytes: float) -> float:
        return max(abs(value(row)) / max(mebibytes, share * row["peak"]) for row in rows)

    bars = [
        Bar(
            "unexplained, of 16 MiB or 2 % of the peak",
            most(lambda row: row["difference"] + row["between"], MOST_SHARE, MOST_MIB),
            1.0,
            is_most=True,
        ),
        Bar(
            "expected resident, off the peak, of 16 MiB or 3 % of it",
            most(lambda row: row["expected"] - row["peak"], MOST_OFF_SHARE, MOST_OFF_MIB),
            1.0,
            is_most=True,
        ),
        Bar(
            "the same of `slmprof memory`",
            most(lambda row: row["planned"] - row["peak"], MOST_OFF_SHARE, MOST_OFF_MIB),
            1.0,
            is_most=True,
        ),
        Bar(
            "allocated but not predicted, MiB",
            max(abs(row["predicted"] - row["allocated"]) for row in rows),
            0.0,
            is_most=True,
        ),
    ]
    return publish("memory (MiB)", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
