"""`slmprof quant dossier` and `slmprof quant advise`: several models of one, side by side."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..profiles.writing import write_text
from ..reporters.renderers import render
from .deadline import add_deadline
from .options import (
    FORMATS,
    Parser,
    add_model,
    add_settings,
    file_name,
    given,
    note_threads,
)
from .streams import note

if TYPE_CHECKING:
    from ..quantization.quality.records import Quality
    from ..studies.dossier import Dossier

_COMMAND = "quant"


def configure(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds the two commands."""
    from ..settings.recipe import Recipe
    from ..settings.studies import AdviceSettings, DossierSettings

    what = "a scheme or recipe beside its neighbours: size, quality, speed; Markdown and one page"
    parser = commands.add_parser("dossier", help=what, description=what, allow_abbrev=False)
    model, folder = file_name("a MODEL"), file_name("a folder")
    help_text = "a GGUF file of floats"
    parser.add_argument("model", type=model, metavar="MODEL", nargs="?", help=help_text)
    add_settings(parser, _COMMAND, Recipe, DossierSettings)
    add_text(parser)
    help_text = "folder of the dossier"
    parser.add_argument("-o", "--output", type=folder, metavar="DIR", help=help_text)
    help_text = "make the pages of a folder again, run nothing"
    parser.add_argument("--show", type=folder, metavar="DIR", help=help_text)
    parser.add_argument("--format", choices=FORMATS, default="table")
    add_deadline(parser)
    parser.set_defaults(action=_dossier)

    what = "which weight should have which type: recipes under a limit, each measured"
    parser = commands.add_parser("advise", help=what, description=what, allow_abbrev=False)
    add_model(parser)
    add_settings(parser, _COMMAND, AdviceSettings)
    add_text(parser, required=True)
    help_text = "keep the recipes, as --tensor-type-file takes them"
    parser.add_argument("-o", "--output", type=folder, metavar="DIR", help=help_text)
    parser.add_argument("--format", choices=FORMATS, default="table")
    add_deadline(parser)
    parser.set_defaults(action=_advise)


def add_text(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """The option that names the text which goes through a model."""
    kind, help_text = file_name("a file of text"), "a text, in UTF-8"
    parser.add_argument("--text", type=kind, metavar="FILE", required=required, help=help_text)


def _dossier(args: argparse.Namespace) -> int:
    from ..reporters.documents.studies.dossier import dossier_document
    from ..reporters.pages import write_pages

    found = _shown(args) if args.show is not None else _made(args)
    pages = write_pages(dossier_document(found, is_page=True), found.path, "dossier")
    render(dossier_document(found), args.format, sys.stdout)
    note(f"{pages[0]} and {pages[1]}")
    return 0


def _shown(args: argparse.Namespace) -> Dossier:
    from ..settings.recipe import Recipe
    from ..settings.studies import DossierSettings
    from ..studies.dossier import read_dossier

    if given(args, Recipe, DossierSettings) or any((args.model, args.output, args.text)):
        raise UsageError(
            "--show DIR makes the pages of what is there; it takes nothing but --format"
        )
    return read_dossier(args.show)


def _made(args: argparse.Namespace) -> Dossier:
    from ..settings.recipe import Recipe
    from ..settings.studies import DossierSettings
    from ..studies.dossier import make_dossier
    from .progress import ProgressBar

    for name, value in (("MODEL", args.model), ("--text FILE", args.text), ("-o DIR", args.output)):
        if not value:
            raise UsageError(f"name {name}, or a folder with --show DIR")
    recipe = Recipe.of(**given(args, Recipe))
    settings = DossierSettings.of(**given(args, DossierSettings))
    note_threads(settings.n_threads)
    with ProgressBar(sys.stderr) as bar:
        return make_dossier(args.model, recipe, args.text, args.output, settings, bar.update)


def _advise(args: argparse.Namespace) -> int:
    from ..capture.sweep import open_folder
    from ..reporters.documents.studies.advice import advice_document
    from ..settings.studies import AdviceSettings
    from ..studies.advice import save_recipes
    from ..studies.advising import find_advice
    from .progress import ProgressBar

    settings = AdviceSettings.of(**given(args, AdviceSettings))
    note_threads(settings.n_threads)
    if args.output is not None:
        open_folder(args.output)
    with ProgressBar(sys.stderr) as bar:
        found = find_advice(args.model, args.text, settings, on_progress=bar.update)
    saved = save_recipes(found, Path(args.output)) if args.output is not None else []
    render(advice_document(found, saved), args.format, sys.stdout)
    return 0


def check_plot(model: str, path: str) -> None:
    """Raises UsageError where no picture can be written, before anything is measured."""
    from ..quantization.output import check_output

    if Path(path).suffix.lower() != ".svg":
        raise UsageError(f"--plot: {path!r} does not end in .svg")
    check_output(model, Path(path), overwrite=True)


def save_cost_plot(quality: Quality, path: str) -> None:
    """Writes the picture of what each weight costs, if any does. Raises UsageError."""
    from ..reporters.documents.studies.costs import cost_plot
    from ..reporters.renderers.plots import svg

    if not quality.costs:
        note("no weight differs from the reference's: there is nothing to draw")
        return
    write_text(Path(path), svg(cost_plot(quality.costs)))
    note(f"saved {path}")
