"""Profiles and models compared: what is not measured yet runs in turns, repeat by repeat."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..children.protocol import OnProgress
from ..errors import UsageError
from ..input_file import open_input
from ..settings.arguments import check_value, takes
from ..settings.capture import CaptureConfig, refuse_remote
from ..settings.kinds import Callback, Several, Share, Switch, Text
from ..settings.model_source import ModelName, ModelSource
from ..settings.threads import warn_of_threads

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..analysis.comparison.comparison import Comparison
    from ..settings.keywords import ProcessKeywords
    from ..views import Profile

# Processes are what a verdict rests on: a comparison has many short ones, and needs no bounds.
DEFAULTS: dict[str, Any] = {"processes": 20, "repeats": 5, "ceilings": "off"}
_SUFFIX = ".slmprof"
_ZIP = b"PK\x03\x04"


@dataclass(frozen=True, eq=False)
class Entry:
    """One of the things compared: a profile, or what to run to have one."""

    name: str
    profile: Profile | None = None
    config: CaptureConfig | None = None


@takes(
    margin=Share(),
    fail_if=Several(Text("EXPR", "a condition, such as 'decode > 3%'"), least=0),
    on_progress=Callback(),
)
def compare(
    *sources: str | os.PathLike[str] | Profile,
    margin: float | None = None,
    fail_if: str | Sequence[str] = (),
    on_progress: OnProgress | None = None,
    **settings: Unpack[ProcessKeywords],
) -> Comparison:
    """Compares profiles, or models, with the first of them (docs/comparison.md).

    Args:
        sources: two or more: a `slmprof.Profile`, the path of a saved one, or a MODEL, which is
            measured. Models run in turns: one process of each in a round, and repeat by repeat.
        margin: the relative difference up to which times count as the same; 0.03 where not given.
        fail_if: conditions such as `decode > 3%`; `Comparison.failed` says which are surely met.
        on_progress: called with a Progress as the runs go on.
        settings: of the runs, as for `slmprof.profile`, but with the `DEFAULTS` of this module.

    Raises:
        UsageError: fewer than two sources, an invalid setting or condition, settings where there is
            no model to run; and whatever `slmprof.profile` and `slmprof.load` raise.
    """
    from ..analysis.comparison.conditions import Condition

    conditions = [Condition.parse(text) for text in fail_if]
    entries = find_entries(sources, cast("dict[str, Any]", settings))
    warn_of_threads(most_threads(entries))
    measured = run_entries(entries, on_progress or (lambda _: None))
    return compared(measured, margin=margin, conditions=conditions)


def compared(
    profiles: Mapping[str, Sequence[Profile]], *, margin: float | None, conditions: Sequence[Any]
) -> Comparison:
    """The comparison of what was measured, by the name of each."""
    from ..analysis.comparison.comparison import compare_subjects, summarize_all
    from ..analysis.comparison.intervals import DEFAULT_MARGIN

    return compare_subjects(
        summarize_all(profiles),
        margin=DEFAULT_MARGIN if margin is None else margin,
        conditions=conditions,
    )


def find_entries(
    sources: Sequence[str | os.PathLike[str] | Profile], settings: Mapping[str, Any]
) -> list[Entry]:
    """What the sources are, profiles read, with distinct names; nothing runs yet.

    Raises:
        UsageError, ModelError, ProfileFormatError: as `compare`.
    """
    from ..views import Profile, load

    if len(sources) < 2:
        raise UsageError("name at least two profiles or models to compare")
    sources = [
        source if isinstance(source, Profile) else check_value("source", ModelName(), source)
        for source in sources
    ]
    for name in ("scaling", "energy"):
        if check_value(name, Switch(), settings.get(name, False)):
            raise UsageError(f"--{name} is of a single run: give it to breakdown")
    found: list[Entry] = []
    for source, name in zip(sources, _names(sources), strict=True):
        if isinstance(source, Profile):
            found.append(Entry(name, profile=source))
        elif _is_profile(source):
            found.append(Entry(name, profile=load(source)))
        else:
            asked = {**DEFAULTS, **settings, "model": os.fspath(source)}
            found.append(Entry(name, config=CaptureConfig.from_json(asked)))
    of_runs = sorted(settings.keys() - {"timeout"})  # the command itself has one
    if of_runs and all(entry.profile is not None for entry in found):
        raise UsageError(
            f"{', '.join(of_runs)}: settings are of runs, and there is no model to run"
        )
    return found


def most_threads(entries: Sequence[Entry]) -> int:
    """The most threads that an entry is run with; 0 where there is nothing to run."""
    return max((entry.config.n_threads for entry in entries if entry.config is not None), default=0)


def read_profiles(
    paths: Sequence[str | os.PathLike[str]], n_depth: int | None = None
) -> dict[str, list[Profile]]:
    """Saved profiles by distinct names, at one depth where one is named.

    Raises:
        UsageError, ProfileFormatError: as `slmprof.load`; nothing was measured at the depth.
    """
    from ..views import load

    profiles = map(load, paths)
    return {
        name: [profile if n_depth is None else profile.at_depth(n_depth)]
        for name, profile in zip(_names(paths), profiles, strict=True)
    }


def _is_profile(source: str | os.PathLike[str]) -> bool:
    path = Path(source)
    if path.suffix.lower() == _SUFFIX:
        return True
    try:
        with open_input(path) as stream:
            return stream.read(len(_ZIP)) == _ZIP
    except OSError:
        return False


def _names(sources: Sequence[str | os.PathLike[str] | Profile]) -> list[str]:
    """Short names, with folders before them where they would not be distinct, or with a number
    behind them where nothing tells the sources apart."""
    choices = [_choices(source) for source in sources]
    names = [choice[0] for choice in choices]
    for level in range(1, max(map(len, choices))):
        clashing = {
            name
            for name in names
            if len({tuple(c) for c, own in zip(choices, names, strict=True) if own == name}) > 1
        }
        names = [
            choice[min(level, len(choice) - 1)] if name in clashing else name
            for name, choice in zip(names, choices, strict=True)
        ]
    made: list[str] = []
    for name in names:
        number, unique = 1, name
        while unique in made:
            number += 1
            unique = f"{name} ({number})"
        made.append(unique)
    return made


def _choices(source: str | os.PathLike[str] | Profile) -> list[str]:
    """Names of a source, the shortest first."""
    from ..views import Profile

    if isinstance(source, Profile):
        return [source.meta.model.name or "unnamed model"]
    if not _is_profile(source):
        model = ModelSource.parse(source)
        if model.is_synthesised or model.scheme is not None:
            return [model.short_name, os.fspath(source)]
    path = Path(source)
    parts = [*path.parts[:-1], path.stem]
    return ["/".join(parts[i:]) for i in range(len(parts) - 1, -1, -1)] + [os.fspath(source)]


def run_entries(
    entries: Sequence[Entry],
    on_progress: OnProgress,
    measured: dict[str, list[Profile]] | None = None,
) -> dict[str, list[Profile]]:
    """The profiles of all entries by their names, as many as processes where they had to be run.

    Args:
        measured: gets the profiles of complete processes of what is run, also where one fails.

    Raises:
        EngineError, CaptureError: a model cannot be measured.
    """
    from .process import in_turns

    to_run = {entry.name: entry.config for entry in entries if entry.config is not None}
    configs = list(to_run.values())
    n_processes = configs[0].processes if configs else 0
    for config in configs if len(configs) > 1 else ():
        refuse_remote(config.device)
    found = {} if measured is None else measured
    found.update({name: [] for name in to_run})
    in_turns(configs, n_processes, on_progress, list(to_run), list(found.values()))
    known = {entry.name: [entry.profile] for entry in entries if entry.profile is not None}
    return {entry.name: known.get(entry.name) or found[entry.name] for entry in entries}


def save_measured(profiles: Mapping[str, Sequence[Profile]], folder: Path) -> list[Path]:
    """Writes profiles by their names into a folder, all processes of one as one file.

    Raises:
        UsageError: a file cannot be written there.
    """
    from ..profiles.merging import merge_processes
    from ..profiles.writing import plain_name
    from ..views import Profile

    paths = []
    for name, processes in profiles.items():
        if not processes:
            continue
        paths.append(folder / f"{plain_name(name)}{_SUFFIX}")
        Profile.of(merge_processes(processes)).save(paths[-1])
    return paths
