"""Options that several commands share: one name and one meaning each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import UsageError
from ..profiles.vocabulary import BOUNDS, PHASES, VIEWS
from ..reporters.renderers import RENDERERS, render
from ..settings.kinds import File, Kind, Several, Text, Whole
from .streams import note

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

    from ..settings.model_source import Source
    from ..settings.table import Setting
    from ..views import Profile

FORMATS = tuple(RENDERERS)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line and reach `main` as any other error."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        # A command's parser would leave what it does not know to the one above, with its `--help`.
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def print_help(self, file: SupportsWrite[str] | None = None) -> None:
        # argparse's own lets pass that it could not be written.
        (file or sys.stdout).write(self.format_help())

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        # What `--help` and `--version` print is told to be lost here, not when Python ends.
        sys.stdout.flush()
        super().exit(status, message)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def value_of(kind: Kind) -> Callable[[str], Any]:
    """An argument type: the values of a kind."""

    def parse(text: str) -> Any:
        try:
            return kind.check(kind.read(text))
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def file_name(what: str = "a file") -> Callable[[str], Any]:
    """An argument type: the path of a file or folder."""
    return value_of(File(what=what))


def text_of(what: str) -> Callable[[str], Any]:
    """An argument type: a text that is not empty."""
    return value_of(Text("", what))


def add_model(parser: argparse.ArgumentParser) -> None:
    """The positional MODEL."""
    from ..settings.model_source import FORMS

    parser.add_argument("model", metavar="MODEL", help=FORMS)


def add_settings(
    parser: argparse.ArgumentParser,
    command: str,
    *classes: type[Any],
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """The options of the settings that classes declare (`settings.table`).

    Args:
        command: the one that has the options: its axes take several values, by commas.
        defaults: those of the command that are not the settings' own.
    """
    from ..settings.table import GROUPS, table

    own = {name: str(value) for name, value in (defaults or {}).items()}
    settings = [
        replace(setting, default_help=own.get(setting.name, setting.default_help))
        for of in classes
        for setting in table(of).values()
    ]
    for heading in GROUPS:
        group = parser.add_argument_group(heading)
        for setting in (setting for setting in settings if setting.group == heading):
            add_setting(group, setting, several=command in setting.axes)


def add_setting(
    group: argparse._ActionsContainer, setting: Setting, *, several: bool = False
) -> None:
    """The option of one setting, which is absent from what is parsed where it is not given."""
    kind: Kind = Several(setting.kind) if several else setting.kind
    option: dict[str, Any] = {"dest": setting.name, "default": argparse.SUPPRESS}
    if isinstance(kind, Several) and setting.default == ():
        kind = kind.one
        option["action"] = "append"
    default = f" ({setting.default_text})" if setting.default_text else ""
    name = setting.option or f"--{setting.name.replace('_', '-')}"
    is_on = setting.default is True
    if setting.default is False and not several and not setting.axes:
        group.add_argument(name, action="store_true", help=setting.help, **option)
        return
    if is_on:
        group = group.add_mutually_exclusive_group()
    group.add_argument(
        name, type=value_of(kind), metavar=kind.metavar, help=f"{setting.help}{default}", **option
    )
    if is_on:
        off = (False,) if several else False
        group.add_argument(
            name.replace("--", "--no-", 1),
            action="store_const",
            const=off,
            help=f"the same as {name} off",
            **option,
        )


def given(args: argparse.Namespace, *classes: type[Any]) -> dict[str, Any]:
    """What `add_settings` read, by the settings' names; what was not given is absent."""
    from ..settings.table import table

    return {n: getattr(args, n) for of in classes for n in table(of) if hasattr(args, n)}


def note_threads(*n_threads: int) -> None:
    """Says on stderr, before runs, where one has more threads than there are cores."""
    from ..settings.threads import threads_note

    for text in dict.fromkeys(map(threads_note, n_threads)):
        if text is not None:
            note(text)


def note_ignored(model: Source, file_type: str | None = None) -> None:
    """Says on stderr which keys of a MODEL's `config.json` nothing follows from.

    Args:
        file_type: that its weights get, where it is not the one behind its `@`.

    Raises:
        ModelError: the configuration is unusable.
    """
    from ..settings.model_source import CONFIG, ModelSource, ignored_note

    source = model if isinstance(model, ModelSource) else ModelSource.described(model)
    if source.kind != CONFIG:
        return
    from ..models.synthesis import DEFAULT_FILE_TYPE, ignored_keys

    if keys := ignored_keys(source):
        named = file_type or source.file_type or DEFAULT_FILE_TYPE
        note(ignored_note(keys, named))


def add_output_options(
    parser: argparse.ArgumentParser,
    views: Sequence[str] = VIEWS,
    *,
    phase: str = "one phase only",
    top: str = "rows of the view, or of the ops",
) -> None:
    """Which views to print, and how; `phase` and `top` are the help of these options."""
    group = parser.add_argument_group("output")
    group.add_argument("--format", choices=FORMATS, default="table")
    group.add_argument("--by", choices=views, help="one view only")
    group.add_argument(
        "--full", action="store_true", help="every table, not one screen of what matters most"
    )
    group.add_argument("--phase", choices=PHASES, help=phase)
    group.add_argument("--top", type=value_of(Whole()), metavar="N", help=top)


def add_bound(parser: argparse.ArgumentParser) -> None:
    """The option that chooses ops by what limits them."""
    help_text = "only ops that are so bound (--by op), or weights that are in a phase (--by tensor)"
    parser.add_argument("--bound", choices=BOUNDS, help=help_text)


def print_profile(profile: Profile, args: argparse.Namespace) -> None:
    """Prints a profile to stdout as `add_output_options` asked for."""
    from ..analysis.verdicts.breakdown import break_down
    from ..reporters.documents.runs.run import run_document

    breakdown = break_down(profile, by=args.by, phase=args.phase, top=args.top, bound=args.bound)
    render(run_document(breakdown, is_full=args.full), args.format, sys.stdout)
