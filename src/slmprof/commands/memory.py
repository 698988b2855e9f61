"""`slmprof memory MODEL`: what a model takes in memory, without reading its weights."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..profiles.vocabulary import MEMORY_VIEWS
from ..reporters.renderers import RENDERERS, load, render
from .options import add_model, add_output_options, add_settings, given, note_ignored
from .streams import say

if TYPE_CHECKING:
    from ..planning.records import MemoryReport
    from ..settings.planning import MemoryRequest

NAME = "memory"
HELP = "what a model takes in memory, without reading its weights"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments."""
    from ..settings.planning import AskedPlan, MemoryRequest

    parser.description = (
        "Predicts weights, KV cache, recurrent state, compute buffer and output with llama.cpp's "
        "own planner: no weight is read and nothing is allocated. Settings that take several "
        "values, separated by commas, are planned in every combination."
    )
    add_model(parser)
    add_settings(parser, NAME, AskedPlan, MemoryRequest)
    add_output_options(
        parser,
        MEMORY_VIEWS,
        phase="of the peaks, one phase only",
        top="rows of tensors, the largest (10 at a peak)",
    )


def run(args: argparse.Namespace) -> int:
    """Plans in a child process and prints; returns the exit code, 1 if a setting was refused."""
    from ..planning.process import planning

    request = make_request(args)
    with planning(request) as plan:
        if len(request.file_type) == 1:
            note_ignored(request.source, request.file_type[0])
        # While the child plans, what prints is loaded.
        from ..reporters.documents.plans.plan import plan_document
        from .progress import ProgressBar

        load(args.format)

        if request.n_settings > 1 or request.fit_bytes is not None:
            with ProgressBar(sys.stderr) as bar:
                report = plan.result(bar.update)
        else:
            report = plan.result()
    document = plan_document(report, by=args.by, phase=args.phase, top=args.top, is_full=args.full)
    render(document, args.format, sys.stdout)
    sys.stdout.flush()
    return _report_failures(report, request)


def _report_failures(report: MemoryReport, request: MemoryRequest) -> int:
    """Says on stderr what could not be planned, or that nothing fits; returns the exit code."""
    # Of all file types, some are never possible.
    refusals = [one for one in report.refusals if one.died or "all" not in request.file_type]
    for refusal in refusals:
        say(f"slmprof: error: {refusal.told(report.varying)}")
    if request.fit_bytes is not None and not any(fit.n_ctx for fit in report.fits):
        hint = ""
        if report.change is not None and not report.change.missing_bytes:
            from ..reporters.documents.plans.plan_fit import change_text

            hint = f"; {change_text(report.change, report.fit_for)}"
        say(f"slmprof: error: nothing fits{hint}")
        return 1
    return 1 if refusals else 0


def make_request(args: argparse.Namespace) -> MemoryRequest:
    """What the options ask for.

    Raises:
        UsageError: options that do not go together.
    """
    from ..settings.planning import AskedPlan, MemoryRequest

    request = MemoryRequest.of(args.model, **given(args, AskedPlan, MemoryRequest))
    if request.fit_bytes is not None and args.by is not None:
        raise UsageError("--fit has one view of its own; --by shows plans of settings")
    # What is not shown is not worked out.
    reads = RENDERERS[args.format].reads
    tells_all = args.by is None and reads == "data"
    shows_peaks = args.by is None and reads == "parts" and request.n_settings == 1
    return replace(
        request,
        details=tells_all or shows_peaks or args.by == "peak",
        tensors=tells_all or args.by == "tensor",
    )
