"""Where a file that is made may stand."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import UsageError
from ..profiles.writing import reason
from ..settings.kinds import shown


def check_output(source: str | os.PathLike[str], output: Path, overwrite: bool) -> Path:
    """The file that is to be written, links followed.

    Args:
        source: what it is made of, which it must not replace.

    Raises:
        UsageError: no file can stand there.
    """
    try:
        return _target(source, output, overwrite)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write {shown(os.fspath(output))}: {reason(error)}") from None


def _target(source: str | os.PathLike[str], output: Path, overwrite: bool) -> Path:
    # A link is followed, so that it is the file behind it that is replaced.
    target = Path(os.path.realpath(output))
    if target.is_dir():
        raise UsageError(f"cannot write {output}: it is a directory; name a file")
    if target.exists():
        if not target.is_file():
            raise UsageError(f"cannot write {output}: it is not a regular file")
        made_of = Path(source)
        if made_of.exists() and made_of.samefile(target):
            raise UsageError(f"cannot write {output}: it is the model that it is made of")
        if not overwrite:
            raise UsageError(f"cannot write {output}: it exists already")
    if not target.parent.is_dir():
        raise UsageError(f"cannot write {output}: there is no directory {target.parent}")
    return target
