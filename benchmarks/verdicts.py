"""Whether verdicts can be believed: models compared with themselves, and with ones that differ.

In each session processes of all variants of a model run in turns: the model twice, with wider FFNs,
and with half the heads for keys and values. The model compared with itself must not show a
difference; the wider FFN must be slower in its FFN and only there, the halved heads must show in
attention and only there. Further sessions compare the model with itself while another process keeps
one core busy.

Takes hours with the defaults; --sessions 2 --busy-sessions 1 --models tiny takes minutes. With
--kept FILE the sessions can be spread over several runs: each counts those before it, too. With
--only-itself quiet sessions leave out the variants that differ.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from busy_core import busy_core
from reporting import Bar, parser, publish

import slmprof
from slmprof.analysis.comparison.comparison import Pairing, compare_subjects, summarize_all
from slmprof.analysis.comparison.intervals import FASTER, SLOWER
from slmprof.capture.comparison import DEFAULTS, find_entries, run_entries
from slmprof.models.presets import find_preset
from slmprof.settings.dimensions import Dimensions

# Rows of whole 32-blocks, which the types need, at each step of the FFN's width; heads that halve.
BASES: dict[str, dict[str, Any]] = {
    "tiny": {"n_ff": 1280, "n_layer": 8},
    "smollm-135m": {"n_ff": 1280, "n_head": 8, "n_head_kv": 4, "head_dim": 64},
}
# One takes a fifth of the last cache that most machines have, the other several times all of it.
# A model at the edge gets slower in all of its blocks when its FFN gets wider: tiny with its 30
# layers does.
FILE_TYPES = {"tiny": "Q4_0", "smollm-135m": "Q8_0"}
WIDER = (1.025, 1.05)
ASKED = 1.05  # the widening that has to be found
HALVED = "half the KV heads"
BASE, SELF = "base", "itself"
QUIET, BUSY = "quiet", "core busy"
ENOUGH = 19 / 20
_SETTINGS = ("processes", "repeats", "threads")
# In a round of so many variants each waits longer for its turn than one of two does.
_DEFAULTS = {**DEFAULTS, "processes": 24}


class Found(msgspec.Struct, frozen=True):
    """What one comparison said.

    Attributes:
        where: whether the machine was quiet.
        told: phase, block and verdict of the blocks that differ.
        n_rows: all rows of times with such a verdict.
    """

    model: str
    where: str
    variant: str
    told: list[tuple[str, str, str]]
    n_rows: int
    text: str

    def is_right(self, block: str, verdict: str) -> bool:
        """Whether decode differs in the block as it should, and no other block differs at all."""
        others = [name for _, name, _ in self.told if name != block]
        return ("decode", block, verdict) in self.told and not others


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--models", default=",".join(BASES))
    arguments.add_argument("--sessions", type=int, default=20, help="of each model, quiet")
    arguments.add_argument("--busy-sessions", type=int, default=10, help="of each, one core busy")
    arguments.add_argument("--kept", type=Path, help="JSON lines: earlier sessions, and these")
    arguments.add_argument("--only-itself", action="store_true", help="no variant that differs")
    for name in _SETTINGS:
        arguments.add_argument(f"--{name}", type=int, default=_DEFAULTS.get(name))
    options = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    wrong, n_self = 0, 0
    smallest: list[dict[str, Any]] = []
    bars: list[Bar] = []
    kept = read_kept(options.kept)
    for model in options.models.split(","):
        found = [one for one in kept if one.model == model]
        for one in measure(model, options):
            found.append(one)
            keep(one, options.kept)
        quiet, busy = ([one for one in found if one.where == where] for where in (QUIET, BUSY))
        for where, ones in ((QUIET, quiet), (BUSY, busy)):
            alike = [one for one in ones if one.variant == SELF]
            n_wrong = sum(one.n_rows > 0 for one in alike)
            wrong, n_self = wrong + n_wrong, n_self + len(alike)
            rows.append(row(model, where, SELF, alike, len(alike) - n_wrong))
        shares = {}
        for variant in variants_of(model):
            alike = [one for one in quiet if one.variant == variant]
            if variant != BASE and alike:
                block, verdict = ("attention", FASTER) if variant == HALVED else ("ffn", SLOWER)
                n_right = sum(one.is_right(block, verdict) for one in alike)
                shares[variant] = n_right / len(alike)
                rows.append(row(model, QUIET, variant, alike, n_right))
        if shares:
            for variant in (wider(ASKED), HALVED):
                share = shares[variant]
                bars.append(Bar(f"{model}, {variant}: found, and only it", share, ENOUGH, False))
            least = smallest_found(shares)
            smallest.append(
                {"model": model, "smallest widening found": least and f"{100 * least:.1f} %"}
            )
    bars.insert(0, Bar(f"differences of a model from itself, of {n_self}", wrong, 0, True))
    tables = {"found in 19 of 20": smallest} if smallest else {}
    return publish("verdicts", rows, bars, options, tables=tables)


def wider(factor: float) -> str:
    return f"FFN {100 * (factor - 1):.1f} % wider"


def variants_of(model: str) -> dict[str, Dimensions]:
    """The dimensions of a model and of those that differ from it in one thing, by name."""
    base = replace(find_preset(model).dimensions, **BASES[model])
    made = {BASE: base}
    for factor in WIDER:
        made[wider(factor)] = replace(base, n_ff=round(base.n_ff_of(0) * factor))
    made[HALVED] = replace(base, n_head_kv=base.n_head_kv_of(0) // 2)
    return made


def write_variants(model: str, folder: Path) -> dict[str, Path]:
    """The files of a model's variants, by their names; itself is the same file once more."""
    paths = {}
    for number, (name, dimensions) in enumerate(variants_of(model).items()):
        paths[name] = folder / f"{number}.gguf"
        slmprof.synthesize(dimensions, paths[name], file_type=FILE_TYPES[model])
    return {BASE: paths.pop(BASE), SELF: folder / "0.gguf", **paths}


def measure(model: str, options: Any) -> Iterator[Found]:
    """The comparisons of all sessions of a model."""
    with tempfile.TemporaryDirectory() as folder:
        variants = write_variants(model, Path(folder))
        alike = {name: variants[name] for name in (BASE, SELF)}
        for _ in range(options.sessions):
            tried = alike if options.only_itself else variants
            yield from session(model, QUIET, tried, options)
        with busy_core(max(os.sched_getaffinity(0))):
            for _ in range(options.busy_sessions):
                yield from session(model, BUSY, alike, options)


def read_kept(path: Path | None) -> list[Found]:
    """The comparisons of earlier runs."""
    if path is None or not path.exists():
        return []
    return msgspec.json.Decoder(Found).decode_lines(path.read_bytes())


def keep(found: Found, path: Path | None) -> None:
    """Appends a comparison."""
    if path is not None:
        with path.open("ab") as file:
            file.write(msgspec.json.encode(found) + b"\n")


def session(model: str, where: str, variants: Mapping[str, Path], options: Any) -> list[Found]:
    """All variants in turns; each but the first compared with the first, on its own."""
    names = list(variants)
    settings = {name: getattr(options, name) for name in _SETTINGS}
    entries = find_entries(list(variants.values()), settings)
    named = [replace(entry, name=name) for entry, name in zip(entries, names, strict=True)]
    profiles = run_entries(named, lambda _: None)
    base, *others = summarize_all(profiles)
    found = [
        Found(model, where, name, *summed(compare_subjects([base, other]).pairings[0]))
        for name, other in zip(names[1:], others, strict=True)
    ]
    for one in found:
        print(f"{model}, {where}: {one.variant}: {one.text}", file=sys.stderr, flush=True)
    return found


def summed(pairing: Pairing) -> tuple[list[tuple[str, str, str]], int, str]:
    """Blocks that differ, all rows that do, and one line with what verdicts rest on."""
    times = [r for r in pairing.rows if r.verdict in (FASTER, SLOWER)]
    told = [(r.phase or "", r.name, r.verdict) for r in times if r.what == "block"]
    shown = []
    for r in pairing.rows:
        interval = r.intervals.relative_corrected_ci
        if interval is not None and (r.what == "latency" or r.name in ("attention", "ffn")):
            low, high = (100 * end for end in interval)
            name = r.name if r.name == r.phase else f"{r.phase} {r.name}"
            shown.append(f"{name} {low:+.1f} to {high:+.1f} % {r.verdict}")
    return told, len(times), ", ".join(shown)


def smallest_found(shares: Mapping[str, float]) -> float | None:
    """The smallest widening from which on every one tried was found often enough."""
    least = None
    for factor in sorted(WIDER, reverse=True):
        if shares.get(wider(factor), 0.0) < ENOUGH:
            break
        least = factor - 1
    return least


def row(
    model: str, where: str, variant: str, found: Sequence[Found], n_right: int
) -> dict[str, Any]:
    """How many comparisons were right, and in how many each block differed, prefill / decode."""
    blocks = {
        block: " / ".join(
            str(sum((phase, block) == (p, name) for one in found for p, name, _ in one.told))
            for phase in ("prefill", "decode")
        )
        for block in ("attention", "ffn", "lm_head")
    }
    return {"model": model, "machine": where, "against": variant, "n": len(found),
            "right": n_right, **blocks}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
