"""Measure a tiny model, and print what does not hold together: one line of JSON, a list of texts.

Usage: smoke.py FOLDER

With the slmprof that Python finds: `breakdown` and `memory` of a synthetic model. Every view of a
run has to add up to the time of the steps' ops, and every buffer that was planned to be allocated.
Speed is not looked at. The folder takes the profile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slmprof import Profile

MODEL = "preset:tiny"
N_CTX = 256
N_REPEATS = 2
N_PROMPT = 32
N_GEN = 8
PHASES = {"prefill": N_REPEATS, "decode": N_REPEATS * N_GEN}
BLOCKS = {"embedding", "attention", "ffn", "lm_head"}
# What of a step's wall time has a name; far below what it is on a quiet machine.
LEAST_ATTRIBUTED = 0.5
# Made in the first step, not with the context.
WORK = "work"

_Buffers = dict[tuple[str, str, str], int]


class CommandError(Exception):
    """A command of slmprof that did not end well."""


def run(*words: str) -> str:
    """What a command of slmprof prints."""
    command = [sys.executable, "-m", "slmprof", *words]
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode != 0:
        last = (answer.stderr.strip() or "nothing said").splitlines()[-1]
        raise CommandError(f"slmprof {words[0]}: status {answer.returncode}: {last}")
    return answer.stdout


def check_steps(n_samples: Mapping[str, int]) -> Iterator[str]:
    """Whether all of the run was measured."""
    if dict(n_samples) != PHASES:
        yield f"steps: {dict(n_samples)} instead of {PHASES}"


def check_sums(view: str, sums: Mapping[str, float], ops_ms: Mapping[str, float]) -> Iterator[str]:
    """Whether what a view shows of each phase is the time of its ops."""
    for phase in PHASES:
        found, expected = sums.get(phase, 0.0), ops_ms.get(phase, 0.0)
        if not expected or abs(found - expected) > 1e-9 * expected:
            yield f"conservation: {view} of {phase} take {found} ms, its ops {expected} ms"


def check_buffers(what: str, planned: _Buffers, allocated: _Buffers) -> Iterator[str]:
    """Whether what was planned is what was allocated."""
    if not allocated:
        yield "memory: no buffers are known"
    for key in sorted({*planned, *allocated}):
        if planned.get(key) != allocated.get(key):
            yield (
                f"memory: {'/'.join(key)} of {what}: {planned.get(key)} bytes planned, "
                f"{allocated.get(key)} allocated"
            )


def buffers_of(rows: Iterable[Mapping[str, Any]]) -> _Buffers:
    """Sizes by device, buffer type and kind."""
    return {
        (row["device"], row["buffer_type"], row["kind"]): int(row["size_bytes"])
        for row in rows
        if row["kind"] != WORK
    }


def check_profile(profile: Profile) -> Iterator[str]:
    """What a profile says of itself."""
    phases = profile.phases().set_index("phase")
    ops_ms: dict[Any, float] = phases["segments_ms.ops"].to_dict()
    yield from check_steps(phases["n_samples"].to_dict())
    views = {
        "blocks": profile.blocks(), "layers": profile.layers(),
        "kernels": profile.kernels(), "ops": profile.ops(),
    }  # fmt: skip
    for view, frame in views.items():
        sums: dict[Any, float] = frame.groupby("phase")["time_ms"].sum().to_dict()
        yield from check_sums(view, sums, ops_ms)
    blocks = set(views["ops"]["block"])
    if blocks != BLOCKS:
        yield f"attribution: the blocks are {sorted(blocks)} instead of {sorted(BLOCKS)}"
    share = float(phases["attributed_share"].min())
    if share < LEAST_ATTRIBUTED:
        yield f"attribution: {share:.2f} of a step's time is accounted for"


def examine(folder: Path) -> Iterator[str]:
    """Everything that does not hold together."""
    import slmprof

    file = folder / "tiny.slmprof"
    settings = ["--n-ctx", str(N_CTX), "--threads", "2"]
    run("breakdown", MODEL, *settings, "--n-prompt", str(N_PROMPT), "--n-gen", str(N_GEN),
        "--repeats", str(N_REPEATS), "--ceilings", "off", "--save", str(file))  # fmt: skip
    plan = json.loads(run("memory", MODEL, *settings, "--format", "json"))
    profile = slmprof.load(file)
    yield from check_profile(profile)
    memory = profile.meta.memory
    allocated = buffers_of(buffer.to_json() for buffer in memory.buffers)
    before = buffers_of(buffer.to_json() for buffer in memory.predicted)
    yield from check_buffers("a run", before, allocated)
    yield from check_buffers("`memory`", buffers_of(plan["settings"][0]["buffers"]), allocated)


def main() -> int:
    try:
        problems = list(examine(Path(sys.argv[1])))
    except CommandError as error:
        problems = [str(error)]
    print(json.dumps(problems))
    return 0


if __name__ == "__main__":
    sys.exit(main())
