"""`slmprof memory MODEL`: what a model takes in memory, without reading its weights."""

from __future__ import annotations

import argparse
import functools
import importlib
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..profiles.vocabulary import PHASES
from .options import (
    FORMATS,
    add_grid_option,
    add_model,
    add_override_tensor,
    byte_size,
    one_of,
    several,
    whole_number,
)

if TYPE_CHECKING:
    from ..planning.records import MemoryReport
    from ..settings.planning import MemoryRequest

NAME = "memory"
HELP = "what a model takes in memory, without reading its weights"

# As in `capture.memory`, which takes too long to load for `--help`; a test compares the two.
VIEWS = ("total", "buffer", "layer", "tensor", "peak")
_SWITCH = {"on": True, "off": False}


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    parser.description = (
        "Predicts weights, KV cache, recurrent state, compute buffer and output with llama.cpp's "
        "own planner: no weight is read and nothing is allocated. Settings that take several "
        "values, separated by commas, are planned in every combination."
    )
    add_model(parser)
    group = parser.add_argument_group("settings of llama.cpp")
    add = functools.partial(add_grid_option, group)
    count = whole_number(1)
    switch = several(one_of("on", "off"))
    group.add_argument(
        "--n-ctx",
        type=several(_context),
        metavar="N,...",
        help="size of the context; max is the one that the model was trained for (2048)",
    )
    add("--n-batch", count, 2048, "N", "of a logical batch (2048)")
    add("--n-ubatch", count, 512, "N", "of a physical batch (512)")
    add("--n-seq-max", count, 1, "N", "sequences side by side (1)")
    add(
        "--n-outputs-max",
        whole_number(0),
        0,
        "N",
        "tokens of a ubatch that give logits (all of them)",
    )
    words = one_of("auto", "on", "off")
    add("--flash-attn", words, "auto", "WORD", "auto, on, off (auto)")
    add("--type-k", str, "f16", "TYPE", "of the K cache (f16)")
    add("--type-v", str, "f16", "TYPE", "of the V cache (f16)")
    group.add_argument(
        "--swa-full",
        type=switch,
        metavar="on,off",
        help="caches of sliding windows as long as the context (off)",
    )
    for name, text in (("mmap", "map the file"), ("repack", "repack weights for the processor")):
        either = group.add_mutually_exclusive_group()
        either.add_argument(
            f"--{name}", type=switch, default=("on",), metavar="on,off", help=f"{text} (on)"
        )
        either.add_argument(
            f"--no-{name}", dest=name, action="store_const", const=("off",), help="the same as off"
        )
    group.add_argument(
        "--threads", type=whole_number(1, 512), metavar="N", help="threads (all usable cores)"
    )
    add_override_tensor(group)
    group = parser.add_argument_group("what fits")
    group.add_argument(
        "--fit",
        type=byte_size,
        metavar="BYTES",
        help="find the largest context that takes no more: 8GiB, 500MB, or plain bytes",
    )
    group.add_argument(
        "--file-type",
        type=several(str),
        metavar="TYPE,...",
        help="plan the model as llama-quantize would write it; all for every type",
    )
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=VIEWS, help="one view only")
    group.add_argument("--phase", choices=PHASES, help="of the peaks, one phase only")
    group.add_argument(
        "--top",
        type=whole_number(1),
        metavar="N",
        help="rows of tensors, the largest (10 at a peak)",
    )


def _context(text: str) -> int | str:
    return "max" if text == "max" else whole_number(1)(text)


def run(args: argparse.Namespace) -> int:
    """Plans in a child process and prints; returns the exit code, 1 if a setting was refused."""
    from ..planning.process import planning

    request = make_request(args)
    with planning(request) as plan:
        # While the child plans, what prints is loaded.
        from ..reporters.documents.memory import render
        from .progress import ProgressBar

        if args.format in ("table", "markdown"):
            importlib.import_module("..reporters.renderers.terminal", __package__)

        if request.n_settings > 1 or request.fit_bytes is not None:
            with ProgressBar(sys.stderr) as bar:
                report = plan.result(bar.update)
        else:
            report = plan.result()
    render(report, args.format, sys.stdout, by=args.by, phase=args.phase, top=args.top)
    sys.stdout.flush()
    return _report_failures(report, request)


def _report_failures(report: MemoryReport, request: MemoryRequest) -> int:
    """Says on stderr what could not be planned, or that nothing fits; returns the exit code."""
    # Of all file types, some are never possible.
    refusals = report.refusals if "all" not in request.file_type else ()
    for refusal in refusals:
        print(f"slmprof: error: {refusal.message}", file=sys.stderr)
    if request.fit_bytes is not None and not any(fit.n_ctx for fit in report.fits):
        print("slmprof: error: nothing fits", file=sys.stderr)
        return 1
    return 1 if refusals else 0


def make_request(args: argparse.Namespace) -> MemoryRequest:
    """What the options ask for.

    Raises:
        UsageError: options that do not go together.
    """
    from ..settings.planning import MemoryRequest

    if args.fit is not None and args.by is not None:
        raise UsageError("--fit has one view of its own; --by shows plans of settings")
    request = MemoryRequest(
        model=args.model,
        n_ctx=args.n_ctx,
        n_batch=args.n_batch,
        n_ubatch=args.n_ubatch,
        n_seq_max=args.n_seq_max,
        n_outputs_max=args.n_outputs_max,
        flash_attn=args.flash_attn,
        type_k=args.type_k,
        type_v=args.type_v,
        swa_full=(None,) if args.swa_full is None else tuple(_SWITCH[v] for v in args.swa_full),
        mmap=tuple(_SWITCH[v] for v in args.mmap),
        repack=tuple(_SWITCH[v] for v in args.repack),
        file_type=args.file_type or (None,),
        threads=args.threads,
        override_tensor=tuple(args.override_tensor),
        fit_bytes=args.fit,
    )
    # What is not shown is not worked out.
    tells_all = args.by is None and args.format == "json"
    shows_peaks = args.by is None and args.format != "csv" and request.n_settings == 1
    return replace(
        request,
        details=tells_all or shows_peaks or args.by == "peak",
        tensors=tells_all or args.by == "tensor",
    )
