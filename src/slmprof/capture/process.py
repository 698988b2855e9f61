"""A capture in a worker process, so that nothing that llama.cpp does can end the caller's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..children.protocol import OnProgress, Progress
from ..errors import EngineError
from ..settings.arguments import takes
from ..settings.capture import CaptureConfig
from ..settings.kinds import Callback
from ..settings.model_source import ModelName
from ..settings.threads import warn_of_threads
from .turns import Worker, run_round

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..settings.keywords import ProfileKeywords
    from ..views import Profile


@takes(model=ModelName(), on_progress=Callback())
def profile(
    model: str | os.PathLike[str],
    *,
    on_progress: OnProgress | None = None,
    **settings: Unpack[ProfileKeywords],
) -> Profile:
    """Measures prefill and decode of a model in a worker process.

    Args:
        model: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        on_progress: called with a Progress as the run goes on.
        settings: the other options of `slmprof breakdown --help`, by their names in
            `slmprof.settings.table`: `n_prompt`, `threads`, `repeats`, `timeout`, …

    Raises:
        UsageError: an invalid setting; ModelError: the model is unusable;
        EngineError: llama.cpp refused or died (`log_lines`, and in `profile` what complete
        repeats gave); CaptureError: the measurement could not be made here.
    """
    config = CaptureConfig.from_json({"model": model, **settings})
    warn_of_threads(config.n_threads)
    return profile_in_worker(config, on_progress or (lambda _: None))


def profile_in_worker(config: CaptureConfig, on_progress: OnProgress) -> Profile:
    """As `profile`, from a configuration."""
    from .scaling import compared_threads, measure_scaling

    if config.scaling:
        compared_threads(config.n_threads)
    found = interleaved([config], config.processes, on_progress)[0]
    if not config.scaling:
        return found
    scaling = measure_scaling(config, profile_in_one_process, on_progress)
    return replace(found, meta=found.meta.replace(scaling=scaling))


def interleaved(
    configs: Sequence[CaptureConfig], n_processes: int, on_progress: OnProgress
) -> list[Profile]:
    """Measures each configuration in so many processes, in turns; see `in_turns`.

    Returns:
        For each configuration one profile, with the steps of all its processes.
    """
    from ..profiles.merging import merge_processes
    from ..views import Profile

    found = in_turns(configs, n_processes, on_progress)
    return [Profile.of(merge_processes(profiles)) for profiles in found]


def in_turns(
    configs: Sequence[CaptureConfig],
    n_processes: int,
    on_progress: OnProgress,
    names: Sequence[str] = (),
    done: list[list[Profile]] | None = None,
) -> list[list[Profile]]:
    """Measures each configuration in so many processes, in turns.

    In a round each configuration has one process. All of a round are there at once, each warms up,
    and then they take turns repeat by repeat, there and back: what slows the machine down for
    tenths of a second or more does so for all. The next round begins with the last one. Where
    memory does not hold all of a round, one makes all its repeats before another is started.

    Args:
        configs: what to measure; `processes` of each is not looked at.
        on_progress: called with how far all processes are.
        names: what to call the configurations there.
        done: an empty list for each configuration, to have what was measured before one fails.

    Returns:
        For each configuration the profile of each process: `done`, where that is given.

    Raises:
        As `profile`. EngineError has in `profile` what the complete repeats of the configuration
        that failed gave, of all its processes.
    """
    done = [[] for _ in configs] if done is None else done
    places = range(len(configs))
    n_workers = n_processes * len(configs)
    of_all = _ProgressOfAll(on_progress, n_workers)
    for number in range(n_processes):
        workers: dict[int, Worker] = {}
        order = list(places[:: -1 if number % 2 else 1])
        for place in order:
            told = on_progress
            if n_workers > 1:
                which = f"{names[place]}, " if names else ""
                stage = f"{which}process {number + 1} of {n_processes}"
                told = of_all.of(number * len(configs) + place, stage)
            workers[place] = Worker(configs[place], told)
        try:
            run_round(list(workers.values()))
        except EngineError as error:
            failed = next(place for place in order if workers[place].error is error)
            made, n_repeats = done[failed], n_processes * configs[failed].repeats
            kept = made if error.profile is None else [*made, error.profile]
            if kept:
                error.profile = _incomplete(kept, n_repeats, str(error))
            raise
        for place in order:
            _check_same_model([*done[place], workers[place].profile])
            done[place].append(workers[place].profile)
    return done


def profile_in_one_process(config: CaptureConfig, on_progress: OnProgress) -> Profile:
    """What one worker process gives; `processes` of the configuration is not looked at."""
    worker = Worker(config, on_progress)
    run_round([worker])
    return worker.profile


class _ProgressOfAll:
    """Progress of each of several workers as progress of all."""

    def __init__(self, on_progress: OnProgress, n_workers: int) -> None:
        self._on_progress, self._n_workers = on_progress, n_workers
        self._shares: dict[int, float] = {}

    def of(self, number: int, name: str) -> OnProgress:
        """What one of them tells, by its number."""

        def told(progress: Progress) -> None:
            self._shares[number] = progress.done / max(progress.total, 1)
            done = round(sum(self._shares.values()) * progress.total)
            total = self._n_workers * progress.total
            stage = f"{name}: {progress.stage}"
            self._on_progress(replace(progress, stage=stage, done=done, total=total))

        return told


def _incomplete(found: Sequence[Profile], n_repeats: int, error: str) -> Profile:
    """What several processes gave before one failed."""
    from ..profiles.merging import merge_processes
    from ..views import Profile

    data = merge_processes(found)
    meta = data.meta.replace_run(n_repeats=n_repeats, complete=False, error=error)
    return Profile.of(replace(data, meta=meta))


def _check_same_model(found: Sequence[Profile]) -> None:
    """Raises CaptureError where the last process measured another file than the first."""
    from msgspec import UNSET

    from ..models.identity import check_same

    first, last = found[0].meta.model, found[-1].meta.model
    if first.path is not None and first.identity is not UNSET and last.identity is not UNSET:
        check_same(Path(first.path), first.identity, last.identity, "between two processes")
