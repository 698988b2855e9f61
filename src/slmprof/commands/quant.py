"""`slmprof quant`: which type each weight gets, and the files that hold them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..reporters.renderers import render
from ..settings.kinds import Seconds, Whole
from . import studies
from .options import (
    FORMATS,
    Parser,
    add_model,
    add_settings,
    file_name,
    given,
    note_ignored,
    note_threads,
    value_of,
)
from .streams import note, put

if TYPE_CHECKING:
    from ..quantization.records import QuantizationPlan

NAME = "quant"
HELP = "recipes and schemes: what each weight becomes, the file, and its quality"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the commands of this command."""
    commands = parser.add_subparsers(metavar="ACTION", required=True, parser_class=Parser)
    from ..settings.recipe import Recipe
    from ..settings.scoring import ImatrixSettings, QualitySettings

    what = "what a recipe makes of each weight; none is read"
    _add(commands, "dry-run", what, Recipe, _dry_run, _plans)
    what = "quantize a model: by llama.cpp's own quantizer, or a scheme of yours"
    _add(commands, "make", what, Recipe, _make, _makes)
    what = "how much each column of each weight counts on a text"
    _add(commands, "imatrix", what, ImatrixSettings, _imatrix, _collects)
    what = "perplexity on a text, and the divergence from a reference"
    _add(commands, "quality", what, QualitySettings, _quality, _scores)
    studies.configure(commands)


def run(args: argparse.Namespace) -> int:
    """Runs one of them."""
    action: Callable[[argparse.Namespace], int] = args.action
    return action(args)


def _add(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    what: str,
    settings: type[Any],
    action: Callable[[argparse.Namespace], int],
    more: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = commands.add_parser(name, help=what, description=what, allow_abbrev=False)
    add_model(parser)
    add_settings(parser, NAME, settings)
    more(parser)
    parser.add_argument(
        "--timeout", type=value_of(Seconds()), metavar="SECONDS", help="give up after so long"
    )
    parser.set_defaults(action=action)


def _plans(parser: argparse.ArgumentParser) -> None:
    from ..reporters.documents.plans.quantization import VIEWS

    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=VIEWS, help="one view only")
    group.add_argument(
        "--top", type=value_of(Whole()), metavar="N", help="tensors, the largest (--by tensor)"
    )


def _makes(parser: argparse.ArgumentParser) -> None:
    from ..settings.table import THREADS

    _add_output(parser)
    parser.add_argument("--threads", type=value_of(THREADS), metavar="N", help="all usable cores")


def _collects(parser: argparse.ArgumentParser) -> None:
    studies.add_text(parser, required=True)
    _add_output(parser)


def _scores(parser: argparse.ArgumentParser) -> None:
    from ..reporters.documents.quality import VIEWS

    studies.add_text(parser, required=True)
    help_text = "a GGUF file to compare with"
    parser.add_argument("--reference", type=file_name("a MODEL"), metavar="MODEL", help=help_text)
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=VIEWS, help="one view only; cost measures --costs")
    group.add_argument("--top", type=value_of(Whole()), metavar="N", help="weights, the worst")
    help_text = "a picture of what each weight costs"
    group.add_argument("--plot", type=file_name(), metavar="FILE.svg", help=help_text)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=file_name(),
        metavar="FILE",
        required=True,
        help="the GGUF file to write",
    )
    parser.add_argument(
        "--no-overwrite", action="store_true", help="refuse to replace an existing file"
    )


def _dry_run(args: argparse.Namespace) -> int:
    from ..quantization.process import plan
    from ..reporters.documents.plans.quantization import quantization_document
    from ..settings.recipe import Recipe

    found = plan(args.model, Recipe.of(**given(args, Recipe)), timeout=args.timeout)
    note_ignored(args.model)
    render(quantization_document(found, by=args.by, top=args.top), args.format, sys.stdout)
    return 0


def _make(args: argparse.Namespace) -> int:
    from ..quantization.modelled import modelled_decode
    from ..quantization.process import make
    from ..reporters.documents.plans.quantization import made_text, scheme_texts
    from ..settings.recipe import Recipe
    from ..system.cores import default_threads
    from .progress import ProgressBar

    recipe = Recipe.of(**given(args, Recipe))
    note_ignored(args.model)
    with ProgressBar(sys.stderr) as bar:
        made = make(
            args.model,
            args.output,
            recipe,
            threads=args.threads,
            overwrite=not args.no_overwrite,
            timeout=args.timeout,
            on_progress=bar.update,
        )
    _say_what_happened(made)
    put(made_text(made, args.output))
    for text in scheme_texts(made, modelled_decode(made, args.threads or default_threads())):
        note(text)
    return 0


def _imatrix(args: argparse.Namespace) -> int:
    from ..quantization.imatrix_process import collect_importances
    from ..settings.scoring import ImatrixSettings
    from .progress import ProgressBar

    settings = ImatrixSettings.of(**given(args, ImatrixSettings))
    note_threads(settings.n_threads)
    with ProgressBar(sys.stderr) as bar:
        found = collect_importances(
            args.model,
            args.text,
            args.output,
            settings,
            overwrite=not args.no_overwrite,
            timeout=args.timeout,
            on_progress=bar.update,
        )
    put(
        f"{args.output}: importances of {found.n_tensors} weights, from {found.n_tokens} tokens in "
        f"{found.n_chunks} chunks of {args.text}"
    )
    return 0


def _quality(args: argparse.Namespace) -> int:
    from ..reporters.documents.quality import quality_document
    from ..settings.scoring import QualitySettings
    from ..studies.costs import measure_with_costs
    from .progress import ProgressBar

    asked = given(args, QualitySettings)
    if args.by == "cost" or args.plot is not None:
        asked["costs"] = True
    if args.plot is not None:
        studies.check_plot(args.model, args.plot)
    settings = QualitySettings.of(**asked)
    note_threads(settings.n_threads)
    with ProgressBar(sys.stderr) as bar:
        found = measure_with_costs(
            args.model,
            args.reference,
            args.text,
            settings,
            timeout=args.timeout,
            on_progress=bar.update,
        )
    render(quality_document(found, by=args.by, top=args.top), args.format, sys.stdout)
    if args.plot is not None:
        studies.save_cost_plot(found, args.plot)
    return 0


def _say_what_happened(made: QuantizationPlan) -> None:
    from ..reporters.documents.fallbacks import fallback_text

    if made.fallbacks is not None:
        put(f"warning: {fallback_text(made.fallbacks)}")
    for text in made.notes:
        note(text)
