"""Progress on stderr while a worker measures; silent where stderr is no terminal."""

from __future__ import annotations

from typing import Protocol, TextIO

from ..printable import printable


class ProgressLike(Protocol):
    """What a progress report says: a stage's name, and how many of its steps are done."""

    @property
    def stage(self) -> str: ...

    @property
    def done(self) -> int: ...

    @property
    def total(self) -> int: ...


def duration(seconds: float) -> str:
    """About so long, in the largest unit that says something: 40 s, 12 min, 3 h 20 min."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class ProgressBar:
    """A bar that is gone when the work is done, so that only results stay on the screen."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = None
        if stream.isatty():
            # rich takes tenths of a second to load; a pipe does not pay for it.
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

            from ..reporters.renderers.terminal import console_of

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                console=console_of(stream),
                transient=True,
            )
            self._task = self._bar.add_task("starting", total=None)

    def __enter__(self) -> ProgressBar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, progress: ProgressLike) -> None:
        """Shows where the work stands."""
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=printable(progress.stage),
                completed=progress.done,
                total=progress.total or None,
            )
