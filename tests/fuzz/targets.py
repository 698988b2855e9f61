"""What the harnesses feed with files and options: slmprof's own code, in this process.

A target takes the bytes of a file and gives back how the command ended that read it. No process is
started and nothing is run: where a command would ask a worker, it is told that there is none.
"""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import profile_mutator
from case_maker import CONFIG_KEYS, CORPUS, GOLDEN
from endings import Ending
from json_mutator import mutate_json
from odd_values import cut, flip_bytes, odd_text, odd_whole

from slmprof.children import question
from slmprof.commands import main as command_line
from slmprof.errors import EngineError, SlmprofError
from slmprof.models import synthesis
from slmprof.models.outline import outline_plan
from slmprof.profiles.records.ceilings import read_ceilings
from slmprof.profiles.records.device_ceilings import read_device_ceilings
from slmprof.profiles.vocabulary import VIEWS
from slmprof.views import Profile, load

_TRAINED = Path(__file__).parents[1] / "models" / "trained.gguf"
_FORMATS = ("table", "table", "json", "csv", "markdown")
_COMMANDS = ("breakdown", "memory", "roofline", "synth", "show", "compare", "sweep", "quant")
_SEPARATOR = b"\0"
_SPARE = (
    b"", b"0", b"-1", b"1", b"on", b"off", b"auto", b"all", b"cpu", b"cuda:0", b"planned:cuda",
    b"rpc:127.0.0.1:1", b"f16", b"q8_0", b"Q4_K_M", b"8GiB", b"1e400", b"nan", b"0x10", b"1_000",
    b"max", b"1,2,3", b",", b".*=CPU", b"(a+)+$=CPU", b"preset:tiny", b"preset:tiny@Q8_0",
    b"config.json", b"p.slmprof", b"prompt.txt", b"model.gguf", b"none.gguf", b"/", b".",
    b"/dev/null", b"--", b"-", b"llama", b"16", b"64",
)  # fmt: skip

Mutate = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class Target:
    """One kind of input.

    Attributes:
        seeds: where mutation begins.
        mutate: changes an input, knowing its structure.
        run: reads an input in an empty folder, which is the current one.
    """

    name: str
    seeds: Callable[[], list[bytes]]
    mutate: Mutate
    run: Callable[[bytes], Ending]


def command(arguments: Sequence[str]) -> Ending:
    """How a command ends in this process, with what it prints."""
    streams = [io.BytesIO(), io.BytesIO()]
    before = sys.stdout, sys.stderr
    sys.stdout = io.TextIOWrapper(streams[0], encoding="utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(streams[1], "utf-8", "backslashreplace", write_through=True)
    begin = time.process_time()
    try:
        status = command_line.main(arguments)
        out, err = (stream.getvalue() for stream in streams)
    finally:
        # Kept until here: what wraps a stream closes it when it goes.
        sys.stdout, sys.stderr = before
    return Ending(status, out, err, time.process_time() - begin)


def _show(data: bytes) -> Ending:
    Path("p.slmprof").write_bytes(data)
    rng = _rng_of(data)
    arguments = ["show", "p.slmprof", "--format", rng.choice(_FORMATS)]
    arguments += rng.choice(([], ["--full"], ["--by", rng.choice(VIEWS)], ["--join-again"]))
    return command(arguments)


def _plan(data: bytes) -> Ending:
    """Everything that is worked out of a configuration, to the header of the file."""
    Path("config.json").write_bytes(data)
    model = "config.json" + _rng_of(data).choice(("", "@Q8_0", "@IQ2_XS", "@F16"))
    return command(["synth", model, "-o", "made.gguf"])


def _hold_to_ceilings(data: bytes) -> Ending:
    """Reads ceilings, and has a profile compared with them."""
    Path("ceilings.json").write_bytes(data)
    profile = _example()
    try:
        if b"device" in data[:200]:
            found = read_device_ceilings("ceilings.json")
            profile = _with_meta(profile, device_ceilings=(found,))
        else:
            profile = _with_meta(profile, ceilings=read_ceilings("ceilings.json"))
    except SlmprofError as error:
        return _refused(error)
    profile.save("p.slmprof")
    shown = rng_views(_rng_of(data))
    ending = command(["show", "p.slmprof", *shown])
    if ending.status:
        # What was read as good must make a profile that can be read.
        return replace(ending, status=99)
    return ending


def _tokenize(data: bytes) -> Ending:
    """Reads a prompt, and takes it apart by the vocabulary of a model."""
    Path("prompt.txt").write_bytes(data)
    try:
        tokens = _session().read_prompt("prompt.txt")
    except SlmprofError as error:
        return _refused(error)
    return Ending(0, f"{len(tokens)}\n".encode(), b"")


def _options(data: bytes) -> Ending:
    """A command with any options, as far as it comes without a worker."""
    Path("config.json").write_bytes((CORPUS / "configs" / "llama.json").read_bytes())
    Path("p.slmprof").write_bytes((GOLDEN / "profile-v2.slmprof").read_bytes())
    Path("model.gguf").write_bytes((CORPUS / "gguf" / "llama.gguf").read_bytes())
    Path("prompt.txt").write_bytes(b"text")
    # To see what it says takes a traceback; a list of all options is no error.
    arguments = [
        os.fsdecode(part) for part in data.split(_SEPARATOR) if not part.startswith(b"--debug")
    ]
    return command(arguments)


def _mutate_options(data: bytes, rng: Random) -> bytes:
    parts = data.split(_SEPARATOR)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(parts) + 1)
        way = rng.randrange(6)
        if way == 0 and len(parts) > 1:
            del parts[at % len(parts)]
        elif way == 1:
            parts[at:at] = [rng.choice(_SPARE)]
        elif way == 2:
            parts[at:at] = [rng.choice(_known_options()), rng.choice(_SPARE)]
        elif way == 3:
            parts[at % len(parts)] = rng.choice((*_SPARE, odd_text(rng).replace(b"\0", b"?")))
        elif way == 4:
            parts[at % len(parts)] = b"%d" % odd_whole(rng)
        else:
            parts[at % len(parts)] = flip_bytes(parts[at % len(parts)], rng).replace(b"\0", b"")
    return _SEPARATOR.join(parts)


def _known_options() -> list[bytes]:
    """Every option of every command."""
    if not _OPTIONS:
        parser = command_line.build_parser()
        for action in parser._actions:
            for sub in (getattr(action, "choices", None) or {}).values():
                names = (name for one in sub._actions for name in one.option_strings)
                _OPTIONS.extend(sorted({name.encode() for name in names} - {b"--debug"}))
    return _OPTIONS


_OPTIONS: list[bytes] = []


def _seeds_of_options() -> list[bytes]:
    few = [(name, "model.gguf") for name in ("breakdown", "memory", "sweep", "compare")]
    few += [("show", "p.slmprof"), ("show", "p.slmprof", "p.slmprof"), ("roofline",)]
    few += [("synth", "config.json", "-o", "made.gguf"), ("quant", "make", "model.gguf")]
    few += [("memory", "config.json", "--n-ctx", "1,2", "--fit", "8GiB"), ("--version",)]
    few += [("synth", "--arch", "llama", "--n-layer", "2", "--n-embd", "64", "--n-ff", "64",
             "--n-head", "4", "--n-vocab", "64", "-o", "made.gguf")]  # fmt: skip
    few += [(name, "--help") for name in _COMMANDS]
    return [_SEPARATOR.join(part.encode() for part in parts) for parts in few]


def _mutate_plain(data: bytes, rng: Random) -> bytes:
    changed = flip_bytes(data, rng)
    return cut(changed, rng) if rng.random() < 0.05 else changed * rng.choice((1, 1, 1, 50))


def _json_with(keys: Sequence[str] = ()) -> Mutate:
    return lambda data, rng: mutate_json(data, rng, keys)[0]


def _corpus(name: str) -> Callable[[], list[bytes]]:
    return lambda: [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


TARGETS = {
    target.name: target
    for target in (
        Target(
            "profile",
            lambda: [path.read_bytes() for path in sorted(GOLDEN.glob("*.slmprof"))],
            lambda data, rng: profile_mutator.mutate(data, rng)[0],
            _show,
        ),
        Target("config", _corpus("configs"), _json_with(CONFIG_KEYS), _plan),
        Target("ceilings", _corpus("ceilings"), _json_with(), _hold_to_ceilings),
        Target("prompt", _corpus("prompts"), _mutate_plain, _tokenize),
        Target("options", _seeds_of_options, _mutate_options, _options),
    )
}


def stay_in_process() -> None:
    """Has nothing started and no weights written from now on, and leaves the cache alone."""

    def refuse(*_: object) -> None:
        raise EngineError("no process is started here")

    question.started = refuse
    synthesis.write_plan = lambda plan, path: _write_header(plan, path)
    os.environ["SLMPROF_CACHE_DIR"] = tempfile.mkdtemp(prefix="fuzz-cache-")
    random.seed(0)


def _write_header(plan: Any, path: Path) -> None:
    made = outline_plan(plan, path.parent)
    made.replace(path)


def _refused(error: SlmprofError) -> Ending:
    """As `main` would tell of it."""
    line = " ".join(str(error).split())
    text = f"slmprof: error: {line}".encode("utf-8", "backslashreplace")
    return Ending(error.exit_code, b"", text + b"\n")


def _rng_of(data: bytes) -> Random:
    """What else is drawn for an input depends on it alone."""
    return Random(zlib.crc32(data))


def rng_views(rng: Random) -> list[str]:
    return rng.choice(([], ["--full"], ["--by", "op"], ["--format", "json"], ["--bound", "memory"]))


def _with_meta(profile: Profile, **changes: Any) -> Profile:
    return replace(profile, meta=profile.meta.replace(**changes))


_KEPT: dict[str, Any] = {}


def _example() -> Profile:
    if "profile" not in _KEPT:
        newest = max(GOLDEN.glob("*.slmprof"), key=lambda path: int(path.stem.rpartition("v")[2]))
        _KEPT["profile"] = load(newest)
    return _KEPT["profile"]


def _session() -> Any:
    if "session" not in _KEPT:
        from slmprof import Session

        _KEPT["session"] = Session(str(_TRAINED), n_ctx=128, ceilings="off")
    return _KEPT["session"]
