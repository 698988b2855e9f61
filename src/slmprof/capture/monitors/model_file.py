"""The file of the model: whether it is the same one before and after the run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...models.identity import check_unchanged, identify
from ...profiles.records.meta import Meta
from .protocol import Monitor, Point

if TYPE_CHECKING:
    from ... import _core


class ModelFileMonitor(Monitor):
    """Identifies a model's file before it is loaded, after that, and behind the last repeat.

    Args:
        path: of the file that is about to be loaded, or of the first part of a split model.

    Raises:
        ModelError: it cannot be read. CaptureError, later: it is no longer the same.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity = identify(path)

    def begin(self, _: _core.Engine) -> None:
        """What was loaded is what was identified."""
        check_unchanged(self._path, self._identity)

    def reach(self, point: Point, _: _core.Engine) -> None:
        """What was measured is what was loaded."""
        if point == "end":
            check_unchanged(self._path, self._identity)

    def describe(self, meta: Meta) -> Meta:
        """Fills `model.identity`."""
        return meta.replace(model=meta.model.replace(identity=self._identity))
