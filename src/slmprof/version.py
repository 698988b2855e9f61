"""The version that is installed."""

from __future__ import annotations


def find_version() -> str:
    """The version of this package, `0+unknown` where it runs from a source tree."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("slmprof")
    except PackageNotFoundError:
        return "0+unknown"
