"""Options that several commands share: one name and one meaning each."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from ..errors import UsageError
from ..profiles.vocabulary import PHASES

if TYPE_CHECKING:
    from ..profiles.data import Profile
    from ..settings.capture import CaptureConfig

FORMATS = ("table", "json", "csv", "markdown")
# As in `analysis.breakdown`, which takes too long to load for `--help`; a test compares the two.
VIEWS = ("block", "layer", "kernel", "op", "part", "tensor", "depth", "place")
# What 32-bit counters of llama.cpp can hold.
_MAX_COUNT = 2**31 - 1
_FLASH_ATTENTION = ("auto", "on", "off")

_Value = TypeVar("_Value")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and reach `main` as any other error."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def whole_number(low: int, high: int = _MAX_COUNT) -> Callable[[str], int]:
    """An argument type: a whole number from `low` to `high`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is too small; at least {low} is needed")
        if value > high:
            raise argparse.ArgumentTypeError(f"{value} is too large; at most {high} is possible")
        return value

    return parse


def several(one: Callable[[str], _Value]) -> Callable[[str], tuple[_Value, ...]]:
    """An argument type: values of another type, separated by commas; each is kept once."""

    def parse(text: str) -> tuple[_Value, ...]:
        parts = [part.strip() for part in text.split(",")]
        if not all(parts):
            raise argparse.ArgumentTypeError(f"{text!r} has an empty place between its commas")
        return tuple(dict.fromkeys(one(part) for part in parts))

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    """An argument type: one of these words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return parse


def seconds(text: str) -> float:
    """An argument type: a positive number of seconds."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return value


_BYTE_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
    "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40,
}  # fmt: skip
_MOST_BYTES = 2**63 - 1


def byte_size(text: str) -> int:
    """An argument type: an amount of memory, as 8GiB, 4GB, 1.5g or plain bytes; above 0."""
    found = re.fullmatch(r"\s*(\d{1,30}(?:\.\d{1,30})?)\s*([a-zA-Z]*)\s*", text, re.ASCII)
    unit = _BYTE_UNITS.get(found[2].lower()) if found else None
    if found is None or unit is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not an amount of memory; write 8GiB, 500MB or plain bytes"
        )
    whole, _, fraction = found[1].partition(".")
    # In whole numbers: a float would lose bytes of large amounts.
    value = int(whole) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is no memory at all")
    if value > _MOST_BYTES:
        raise argparse.ArgumentTypeError(f"{text} is more than any machine can address")
    return value


def override(text: str) -> str:
    """An argument type: PATTERN=BUFFER."""
    pattern, equals, buffer = text.rpartition("=")
    if not (pattern and equals and buffer):
        raise argparse.ArgumentTypeError(f"{text!r} is not PATTERN=BUFFER")
    return text


def add_model(parser: argparse.ArgumentParser) -> None:
    """The positional MODEL."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a GGUF file, preset:NAME or preset:NAME@TYPE, or a Hugging Face config.json",
    )


def add_grid_option(
    group: argparse._ArgumentGroup,
    name: str,
    one: Callable[[str], Any],
    default: Any,
    sign: str,
    text: str,
) -> None:
    """A setting that takes several values, by commas; it becomes a tuple."""
    group.add_argument(
        name, type=several(one), default=(default,), metavar=f"{sign},...", help=text
    )


def add_override_tensor(group: argparse._ArgumentGroup) -> None:
    """Which weights go into other buffer types."""
    group.add_argument(
        "--override-tensor",
        type=override,
        action="append",
        default=[],
        metavar="PATTERN=BUFFER",
        help="put weights whose name matches into a buffer type; may be repeated",
    )


def add_run_options(parser: argparse.ArgumentParser, *, grid: bool = False) -> None:
    """What to run and how: the settings of the engine and of the passes.

    Args:
        grid: whether the settings of `capture.sweep.GRID` take several values, by commas; each is
            then a tuple.
    """
    count, none_or_more = whole_number(1), whole_number(0)

    def add(name: str, one: Callable[[str], Any], default: Any, sign: str, text: str) -> None:
        """A setting that a sweep varies."""
        if grid:
            add_grid_option(group, name, one, default, sign, text)
        else:
            group.add_argument(name, type=one, default=default, metavar=sign, help=text)

    group = parser.add_argument_group("what to run")
    add("--n-prompt", count, 50, "N", "tokens of the prompt (50)")
    add("--n-gen", count, 50, "N", "tokens to generate (50)")
    group.add_argument(
        "--n-depth",
        type=several(none_or_more),
        default=(0,),
        metavar="N,...",
        help="tokens before the prompt; several to compare (0)",
    )
    group.add_argument("--prompt-file", metavar="FILE", help="text to use instead of random tokens")
    group.add_argument(
        "--seed", type=none_or_more, default=0, metavar="N", help="of the random tokens (0)"
    )
    group.add_argument("--repeats", type=count, default=5, metavar="N", help="of every pass (5)")
    group.add_argument(
        "--clock",
        choices=("fast", "exact"),
        default="fast",
        help="exact tells very short ops apart better, for some percent of their time (fast)",
    )
    group.add_argument(
        "--ceilings",
        default="auto",
        metavar="FILE",
        help="this machine's limits: a file, auto (measured once, then kept), or off (auto)",
    )
    group.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="give up after so long (never)"
    )
    group = parser.add_argument_group("settings of llama.cpp")
    context = "size of the context (2048, or more where --n-depth needs it)"
    add("--n-ctx", count, None, "N", context)
    add("--n-batch", count, 2048, "N", "of a logical batch (2048)")
    add("--n-ubatch", count, 512, "N", "of a physical batch (512)")
    add("--threads", whole_number(1, 512), None, "N", "threads (all usable cores)")
    if grid:
        words = ", ".join(_FLASH_ATTENTION)
        add("--flash-attn", one_of(*_FLASH_ATTENTION), "auto", "WORD", f"some of {words} (auto)")
    else:
        group.add_argument("--flash-attn", choices=_FLASH_ATTENTION, default="auto")
    add("--type-k", str, "f16", "TYPE", "of the K cache (f16)")
    add("--type-v", str, "f16", "TYPE", "of the V cache (f16)")
    add_override_tensor(group)
    group.add_argument("--no-mmap", action="store_true", help="read the file, do not map it")
    group.add_argument("--no-repack", action="store_true", help="keep weights as the file has them")
    group.add_argument("--device", default="cpu", metavar="DEVICE", help="where to run (cpu)")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Which views to print, and how."""
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=VIEWS, help="one view only")
    group.add_argument("--phase", choices=PHASES, help="one phase only")
    group.add_argument(
        "--top", type=whole_number(1), metavar="N", help="rows of the view, or of the ops"
    )


def add_save(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--save", metavar="FILE", help="write the profile, for `slmprof show`")


def capture_config(args: argparse.Namespace) -> CaptureConfig:
    """The settings of a run from the options of `add_model` and `add_run_options`.

    Raises:
        UsageError: settings that do not go together, such as more tokens than the context holds.
    """
    from ..settings.capture import CaptureConfig

    return CaptureConfig(model=args.model, **capture_settings(args))


def capture_settings(args: argparse.Namespace) -> dict[str, Any]:
    """What `add_run_options` read, by the names that `CaptureConfig` gives it."""
    return {
        "n_prompt": args.n_prompt,
        "n_gen": args.n_gen,
        "n_depth": args.n_depth,
        "n_ctx": args.n_ctx,
        "n_batch": args.n_batch,
        "n_ubatch": args.n_ubatch,
        "threads": args.threads,
        "flash_attn": args.flash_attn,
        "type_k": args.type_k,
        "type_v": args.type_v,
        "override_tensor": tuple(args.override_tensor),
        "mmap": not args.no_mmap,
        "repack": not args.no_repack,
        "repeats": args.repeats,
        "prompt_file": args.prompt_file,
        "seed": args.seed,
        "device": args.device,
        "timeout": args.timeout,
        "clock": args.clock,
        "ceilings": args.ceilings,
    }


def print_profile(profile: Profile, args: argparse.Namespace) -> None:
    """Prints a profile to stdout as `add_output_options` asked for."""
    from ..analysis.verdicts.breakdown import break_down

    breakdown = break_down(profile, by=args.by, phase=args.phase, top=args.top)
    if args.format == "table":
        from ..reporters.renderers import terminal

        terminal.render(breakdown, sys.stdout)
    elif args.format == "json":
        from ..reporters.renderers import json

        sys.stdout.write(json.render(breakdown))
    elif args.format == "csv":
        from ..reporters.renderers import csv

        sys.stdout.write(csv.render(breakdown))
    else:
        from ..reporters.renderers import markdown

        sys.stdout.write(markdown.render(breakdown))
