"""A grid of captures, each in a profile file of its own; what is measured already is kept."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import UNSET

from ..children.protocol import OnProgress
from ..errors import ProfileFormatError, SlmprofError, UsageError
from ..profiles.records.meta import Model, SweptModel, SweptPoint
from ..profiles.writing import plain_name, reason
from ..settings.capture import CaptureConfig
from ..settings.model_source import ModelSource
from ..settings.table import SWEEP, table
from .prompt_file import read_prompt

if TYPE_CHECKING:
    from ..profiles.data import ProfileData

_TABLE = table(CaptureConfig)
# Settings that make a grid where they have several values. Depths do not: one run measures all.
GRID: tuple[str, ...] = tuple(name for name, setting in _TABLE.items() if SWEEP in setting.axes)
SUFFIX = ".slmprof"
_LONGEST_NAME = 120
_SINCE = "since the sweep began"


@dataclass(frozen=True)
class Point:
    """One capture of a sweep.

    Attributes:
        config: what to run.
        settings: the configuration as it must stand in a file that is taken for this point.
        model: what tells the model's content apart: the identity of its files, or the dimensions
            that are synthesised.
    """

    config: CaptureConfig
    settings: dict[str, Any]
    model: SweptModel

    @property
    def file_name(self) -> str:
        """Model and settings that are not the default, to be read; a digest of all settings."""
        parts = [self.config.source.short_name]
        for name, setting in _TABLE.items():
            value = self.settings.get(name, setting.default)
            default = self.config.n_ctx_needed if name == "n_ctx" else setting.default
            if setting.short and value != default:
                text = "+".join(map(str, value)) if isinstance(value, list) else str(value)
                parts.append(f"{setting.short}{text}")
        name = "_".join(map(plain_name, parts))
        return f"{name[:_LONGEST_NAME]}_{self.digest}{SUFFIX}"

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits that differ where the settings do."""
        return _digest(self.settings)[:8]


@dataclass(frozen=True)
class Outcome:
    """What became of a point: `kept` (it was there already), `measured` or `failed`.

    `note` says why a file that was there was measured again; empty where there was none. `left_s`
    is about how many seconds the points take that are still to be measured.
    """

    point: Point
    path: Path
    status: str
    note: str = ""
    error: SlmprofError | None = None
    left_s: float = 0.0


def make_grid(models: Sequence[str], settings: Mapping[str, Any]) -> list[Point]:
    """Every combination of models and of the settings in `GRID`, each once, in their order.

    Args:
        models: MODELs, see CaptureConfig.
        settings: fields of CaptureConfig; those in `GRID` are sequences of values, all others hold
            for every point.

    Raises:
        UsageError: there is no point, or one has an invalid setting.
        ModelError: a model is not there, or its preset or configuration is unusable.
    """
    names = [name for name in GRID if name in settings]
    fixed = {name: value for name, value in settings.items() if name not in GRID}
    if not models:
        raise UsageError("name at least one MODEL to sweep")
    for name in names:
        if not settings[name]:
            raise UsageError(f"{name} has no value to sweep over")
    contents = {model: _content_of(ModelSource.parse(model)) for model in models}
    points: dict[str, Point] = {}
    for model, *values in itertools.product(models, *(settings[name] for name in names)):
        config = CaptureConfig(model=model, **fixed, **dict(zip(names, values, strict=True)))
        point = Point(config, _settings_of(config), contents[model])
        points.setdefault(point.file_name, point)
    return list(points.values())


def in_order_of_running(points: Sequence[Point]) -> list[Point]:
    """The points mixed, the same way each time.

    In the grid's own order a machine that slowly heats up would slow down the values of the first
    setting that stand last; mixed, it adds noise to all alike.
    """
    return sorted(points, key=lambda point: point.digest)


def open_folder(folder: str | os.PathLike[str]) -> Path:
    """Makes a folder for profiles. Raises UsageError where it cannot be, or cannot be written."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileExistsError:
        raise UsageError(f"{path} is a file, and no folder") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write to the folder {path}: {reason(error)}") from None
    return path


def why_to_measure(point: Point, path: Path) -> str | None:
    """Why a point has to be measured: empty where it was never, None where its file is good."""
    return _look(point, path)[0]


def _look(point: Point, path: Path) -> tuple[str | None, int]:
    """As `why_to_measure`, and how many of the point's processes the file has whole."""
    from ..profiles.selection import measured_processes
    from ..profiles.storage.file import load

    if not path.exists():
        return "", 0
    try:
        profile = load(path)
    except (ProfileFormatError, UsageError) as error:
        return str(error), 0
    run = profile.meta.run
    if run.sweep is UNSET or run.sweep.settings != point.settings:
        return f"{path.name} was measured with other settings", 0
    if not run.sweep.model.is_same(point.model):
        return f"the model has changed since {path.name} was measured", 0
    if run.complete is True:
        return None, point.config.processes
    n_done, n_asked = len(measured_processes(profile)), point.config.processes
    if 0 < n_done < n_asked and run.n_repeats_done == n_done * point.config.repeats:
        return f"{path.name} has {n_done} of {n_asked} processes", n_done
    return f"{path.name} is incomplete", 0


class Schedule:
    """When each point that has to be measured begins, and how long all of them will take.

    Args:
        n_points: how many have to be measured, each as often as it has processes.
        pause_s: seconds between one and the next, in which a device can cool down.
        clock, sleep: as the module `time` has them.
    """

    def __init__(
        self,
        n_points: int,
        pause_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._n_points, self._pause_s = n_points, pause_s
        self._clock, self._sleep = clock, sleep
        self._taken_s: list[float] = []
        self._began_s = 0.0

    def begin(self) -> None:
        """Waits until the next point's turn."""
        if self._taken_s and self._pause_s:
            self._sleep(self._pause_s)
        self._began_s = self._clock()

    def leave_out(self, n_points: int) -> None:
        """So many will not be measured."""
        self._n_points -= n_points

    def end(self) -> float:
        """The point is done: about how many seconds the others take."""
        self._taken_s.append(self._clock() - self._began_s)
        each_s = sum(self._taken_s) / len(self._taken_s) + self._pause_s
        return each_s * (self._n_points - len(self._taken_s))


def run_points(
    points: Sequence[Point], folder: Path, on_progress: OnProgress, *, pause_s: float = 0.0
) -> Iterator[Outcome]:
    """Measures the points that are not in the folder yet, each in worker processes of its own.

    A point that fails does not end the sweep, nor does a model's file that is no longer the one of
    the grid: such a point fails, and nothing is kept of it. Files are written whole or not at all,
    so that whatever ends it, the points before are kept. With several processes the points take
    turns, process by process; a point's file has those that are done, and the next sweep goes on
    from there.

    Args:
        pause_s: seconds between a point that is measured and the next one.

    Raises:
        UsageError: a profile cannot be saved, as on a full disk.
    """
    from ..profiles.storage.file import check_writable
    from .process import profile_in_one_process

    works = [_Work.of(point, folder / point.file_name) for point in in_order_of_running(points)]
    schedule = Schedule(sum(work.n_left for work in works), pause_s)
    rounds = range(max((point.config.processes for point in points), default=0))
    for process, work in itertools.product(rounds, works):
        if work.is_told or process < work.n_done:
            continue
        if work.why is None:
            yield work.outcome("kept")
            continue
        schedule.begin()
        try:
            check_writable(work.path)
            _check_model(work.point)
            profile = profile_in_one_process(work.point.config, work.progress(on_progress))
            _check_model(work.point, profile.meta.model)
        except SlmprofError as error:
            schedule.leave_out(work.n_left - 1)
            yield work.outcome("failed", error, schedule.end())
            continue
        work.add(profile)
        left_s = schedule.end()
        if work.n_left == 0:
            yield work.outcome("measured", left_s=left_s)


@dataclass
class _Work:
    """A point while the sweep runs: why it is measured, and how many processes its file has."""

    point: Point
    path: Path
    why: str | None
    n_done: int
    is_told: bool = False

    @classmethod
    def of(cls, point: Point, path: Path) -> _Work:
        why, n_done = _look(point, path)
        # What is kept is told in the first round.
        return cls(point, path, why, 0 if why is None else n_done)

    @property
    def n_left(self) -> int:
        return 0 if self.why is None else self.point.config.processes - self.n_done

    def progress(self, on_progress: OnProgress) -> OnProgress:
        """Progress with the number of the process, where there are several."""
        n = self.point.config.processes
        if n == 1:
            return on_progress
        stage = f"process {self.n_done + 1} of {n}"
        return lambda told: on_progress(replace(told, stage=f"{stage}: {told.stage}"))

    def add(self, profile: ProfileData) -> None:
        """Saves the point with one more process; it is incomplete until it has all."""
        from ..profiles.merging import merge_processes
        from ..profiles.storage.file import load, save

        if self.n_done:
            profile = merge_processes([load(self.path), profile])
        self.n_done += 1
        run = profile.meta.run
        meta = profile.meta.replace_run(
            sweep=SweptPoint(self.point.settings, self.point.model),
            n_repeats=self.point.config.processes * self.point.config.repeats,
            complete=self.n_left == 0 and run.error is None,
        )
        save(replace(profile, meta=meta), self.path)

    def outcome(
        self, status: str, error: SlmprofError | None = None, left_s: float = 0.0
    ) -> Outcome:
        self.is_told = True
        return Outcome(self.point, self.path, status, self.why or "", error, left_s)


def _check_model(point: Point, measured: Model | None = None) -> None:
    """Raises CaptureError where the model, or the one measured, is not that of the grid."""
    from ..models.identity import check_same, check_unchanged

    path, known = point.config.source.path, point.model.files
    if not known:
        return
    # What a scheme has packed is another file, in the cache, whose name tells what it is made of.
    is_itself = point.config.source.scheme is None
    if is_itself and measured is not None and measured.identity is not UNSET:
        check_same(path, known, measured.identity, _SINCE)
    check_unchanged(path, known, _SINCE)


def _settings_of(config: CaptureConfig) -> dict[str, Any]:
    """What two points of one folder can differ in, as JSON holds it."""
    asked = {**config.to_json(), "threads": config.n_threads, "n_ctx": config.n_ctx_made}
    source = config.source
    settings = {
        "model": source.absolute,
        **{n: asked[n] for n, s in _TABLE.items() if s.applies(s.tells_apart, asked[n])},
    }
    if config.prompt_file is not None:
        text = read_prompt(config.prompt_file)
        settings["prompt_file"] = hashlib.sha256(text.encode()).hexdigest()
    return settings


def _content_of(source: ModelSource) -> SweptModel:
    from ..models.identity import identify
    from ..models.resolve import check_gguf

    scheme = None
    if source.scheme is not None:
        from ..quantization.schemes.loading import file_digest

        scheme = file_digest(source.scheme)
    if source.is_synthesised:
        from ..models.synthesis import find_dimensions

        return SweptModel(dimensions=_digest(find_dimensions(source).content), scheme=scheme)
    files = identify(check_gguf(source.path))
    return SweptModel(
        scheme=scheme,
        size_bytes=sum(file.size_bytes for file in files),
        mtime_ns=max(file.mtime_ns for file in files),
        files=files,
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
