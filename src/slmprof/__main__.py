"""`python -m slmprof`, and the program `slmprof`."""

from __future__ import annotations

import sys


def run() -> int:
    """Runs the command of the command line; returns its exit code."""
    try:
        from .commands.main import main

        return main()
    except KeyboardInterrupt:
        # While modules are loaded, or after the command.
        if sys.stderr is not None:
            sys.stderr.write("slmprof: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(run())
