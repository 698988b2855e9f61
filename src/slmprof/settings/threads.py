"""Whether a run may have more threads than there are cores for them, and what is said of that."""

from __future__ import annotations

import warnings

from ..errors import UsageError
from ..system.cores import counted_cores, oversubscription, usable_cores

# ggml's threads spin at the barrier behind each op. Of so many on a core, all but one wait for a
# time slice at each of them, and a run that takes seconds takes hours.
MOST_PER_CORE = 4
FORCE_HELP = f"run also where there are more than {MOST_PER_CORE} threads for each core"
# From `warn_of_threads` to the caller: over the public function, and what checks its arguments.
_STACK_LEVEL = 4


def check_threads(n_threads: int, *, force: bool) -> None:
    """Raises UsageError for so many threads that a run of them has no end.

    Args:
        force: run them all the same.
    """
    n_cores = usable_cores()
    most = MOST_PER_CORE * n_cores
    if n_threads > most and not force:
        raise UsageError(
            f"threads: {n_threads} for {counted_cores(n_cores)} that this process may use would "
            f"hardly come to an end; at most {most} are run, or any number with --force "
            "(in Python force=True)"
        )


def threads_note(n_threads: int) -> str | None:
    """What to know before a run of so many threads; None where there are as many cores."""
    return oversubscription(n_threads, usable_cores())


def warn_of_threads(n_threads: int) -> None:
    """Warns the caller of a public function before a run of more threads than cores."""
    text = threads_note(n_threads)
    if text is not None:
        warnings.warn(text, stacklevel=_STACK_LEVEL)
