"""`slmprof quant quality` against llama-perplexity of the same source: speed, and the numbers.

Whole commands in turns, on a trained GGUF and a text: perplexity of the model alone, for the speed
(less a run of one chunk, so that what both need to start does not count), and once what both say of
the model and of a file type made of it. Build the peers first:

    cmake --preset peers && cmake --build build/peers --target peers
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import numpy as np
from reporting import Bar, median_interval, parser, publish

from slmprof import quant

_LEAST_SPEED = 0.95
# Of figures with four digits.
_MOST_DIFFERENCE = 1e-4
TRAINED = Path(__file__).parents[1] / "tests" / "models" / "trained.gguf"
_FIGURES = {
    "perplexity": r"Mean PPL\(Q\)",
    "of the reference": r"Mean PPL\(base\)",
    "KLD": r"Mean    KLD",
    "same top": r"Same top p",
}


def write_text(path: Path, n_bytes: int) -> Path:
    """The end of Python's help."""
    whole = "\n\n".join(topics[name] for name in sorted(topics))
    path.write_text(whole[-n_bytes:], encoding="utf-8")
    return path


def theirs(options: argparse.Namespace, *more: object) -> tuple[str, float]:
    """What llama-perplexity prints, and how long it takes."""
    command = [
        options.peers / "llama-perplexity", "-c", options.n_ctx, "-t", options.threads, *more
    ]  # fmt: skip
    return run(command)


def seconds_of(options: argparse.Namespace, model: Path, text: Path) -> list[float]:
    """What both need for a text, less that for its first chunk: llama-perplexity first."""
    found = []
    for run_one in (theirs, ours):
        arguments = ("-m", model, "-f", text) if run_one is theirs else (model, text)
        whole, first = (run_one(options, *arguments, *more)[1] for more in ((), ("--chunks", 1)))
        found.append(whole - first)
    return found


def ours(options: argparse.Namespace, model: Path, text: Path, *more: object) -> tuple[str, float]:
    """The same of the command of slmprof."""
    command = [
        sys.executable, "-m", "slmprof", "quant", "quality", model, "--text", text,
        "--n-ctx", options.n_ctx, "--threads", options.threads, *more,
    ]  # fmt: skip
    return run(command)


def run(command: list[object]) -> tuple[str, float]:
    begin = time.perf_counter()
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    return done.stdout + done.stderr, time.perf_counter() - begin


def compare_numbers(model: Path, text: Path, folder: Path, options: Any) -> list[dict[str, Any]]:
    """Both programs' figures of a file type against the model."""
    made = quant.apply(
        model, folder / "made.gguf", file_type=options.file_type, allow_requantize=True
    )
    base = ("--kl-divergence-base", folder / "logits")
    theirs(options, "-m", model, "-f", text, *base)
    printed = ""
    while "Same top p" not in printed:  # now and then it ends before all of its log is written
        printed, _ = theirs(options, "-m", made, "--kl-divergence", *base)
    found = quant.quality(
        made, text=text, reference=model, n_ctx=options.n_ctx, threads=options.threads,
        compatible=True,
    )  # fmt: skip
    divergence = found.divergence
    assert divergence is not None
    values = {
        "perplexity": found.perplexity.value,
        "of the reference": divergence.perplexity.value,
        "KLD": divergence.kld.value,
        "same top": 100 * divergence.top1_agreement.value,
    }
    rows = []
    for name, pattern in _FIGURES.items():
        match = re.search(rf"{pattern}\s*:\s*(-?\d+\.\d+)", printed)
        assert match, printed
        rows.append({"figure": name, "slmprof": values[name], "llama-perplexity": float(match[1]),
                     "off": off(values[name], match[1])})  # fmt: skip
    return rows


def off(value: float, printed: str) -> float:
    """The relative difference, beyond what the digits that are printed leave open."""
    half = 0.5 * 10.0 ** -len(printed.partition(".")[2])
    return max(0.0, abs(value - float(printed)) - half) / float(printed)


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=str(TRAINED), help="trained GGUF files, by commas")
    arguments.add_argument("--peers", type=Path, default=Path("build/peers/peers/bin"))
    arguments.add_argument("--file-type", default="Q2_K", help="whose numbers are compared")
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--n-ctx", type=int, default=512)
    arguments.add_argument("--bytes", type=int, default=400_000, help="of the text")
    arguments.add_argument("--rounds", type=int, default=4)
    options = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    bars: list[Bar] = []
    numbers: list[dict[str, Any]] = []
    for name in options.models.split(","):
        model = Path(name)
        with tempfile.TemporaryDirectory() as folder:
            text = write_text(Path(folder) / "text.txt", options.bytes)
            pairs = []
            for number in range(options.rounds + 1):
                pair = seconds_of(options, model, text)
                if number > 0:  # the first warms the file's cache
                    pairs.append(pair)
            for row in compare_numbers(model, text, Path(folder), options):
                numbers.append({"model": model.name, **row})
                bars.append(
                    Bar(f"{model.name} {row['figure']} off", row["off"], _MOST_DIFFERENCE, True)
                )
        seconds = np.array(pairs)
        ratio, low, high = median_interval(seconds[:, 0] / seconds[:, 1])
        theirs_s, ours_s = np.median(seconds, axis=0)
        rows.append(
            {"model": model.name, "llama-perplexity s": theirs_s, "slmprof s": ours_s,
             "speed": ratio, "low": low, "high": high}
        )  # fmt: skip
        bars.append(Bar(f"{model.name} speed", ratio, _LEAST_SPEED, False))
    return publish("quality", rows, bars, options, tables={"Numbers": numbers})


if __name__ == "__main__":
    sys.exit(main())
