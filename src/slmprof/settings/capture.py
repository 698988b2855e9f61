"""What is asked of a capture: the options of the commands and of `slmprof.profile`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import UsageError
from .devices import REMOTE, is_planned, split_names
from .kinds import MOST, File, Seconds, Switch
from .model_source import ModelSource
from .table import DEFAULT_N_CTX, NEVER, RUN, Asked, RunSettings, refuse_unknown, setting, table
from .threads import FORCE_HELP, check_threads

# A context that nobody asked for has DEFAULT_N_CTX tokens, or as many of these steps as are needed.
_N_CTX_STEP = 256


def refuse_remote(device: str) -> None:
    """Raises UsageError where several processes would use one remote device at once."""
    if any(name.startswith(REMOTE) for name in split_names(device)):
        raise UsageError(
            f"--device {device}: an RPC server serves one process after the other, not several "
            "that take turns"
        )


def refuse_planned(device: str) -> None:
    """Raises UsageError for a device that nothing can run on."""
    if any(map(is_planned, split_names(device))):
        raise UsageError(
            f"--device {device}: only `slmprof memory` plans for a device that is not there"
        )


@dataclass(frozen=True)
class CaptureConfig(RunSettings[Asked]):
    """The settings of one capture as they are asked for, named as the command line names them.

    What a setting is stands in `settings.table`; here is what must be known besides.

    Attributes:
        n_prompt: with `prompt_file` the file's tokens decide instead.
        n_gen: tokens generated after the prompt, one step each.
        n_depth: a number where there is one, a tuple in the order given where there are several;
            what is given twice is measured once.
        events: `auto` keeps every event where there are not too many.
        clock: `exact` reads the clock in op passes when an op is wholly done, and once more when a
            thread goes on within a product; steps of very short ops become some percent longer.
        ceilings: what this machine reaches at best (docs/roofline.md).
        scaling: a further run, in a process of its own, shows what more threads change.
        energy: further passes measure energy (docs/energy.md).
        energy_window: seconds of each of their windows.
        force: allows more threads than `threads.check_threads` does.

    Raises:
        UsageError: an invalid setting. ModelError: MODEL is none.
    """

    model: str
    ceilings: str = setting(
        File("FILE", "auto, off or a file"), "auto",
        "this machine's limits: a file, auto (measured once, then kept), or off",
        group=RUN, tells_apart=NEVER,
    )  # fmt: skip
    scaling: bool = setting(
        Switch(), False,
        "run once more on one thread (where that is the run's own, on all) and compare the two",
        group=RUN, tells_apart=NEVER,
    )  # fmt: skip
    energy: bool = setting(
        Switch(), False,
        "after the other passes, joules of a prompt and of a token by the system's counters",
        group=RUN,
    )  # fmt: skip
    energy_window: float = setting(
        Seconds(), 5.0, "length of an energy window; there are five of each kind", group=RUN
    )
    force: bool = setting(Switch(), False, FORCE_HELP, group=RUN, tells_apart=NEVER)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", self.source.text)
        for name, entry in table(type(self)).items():
            object.__setattr__(self, name, entry.check(getattr(self, name)))
        self.check_tokens(self.n_prompt)
        self.check_devices()
        refuse_planned(self.device)
        check_threads(self.n_threads, force=self.force)
        if self.processes > 1:
            refuse_remote(self.device)

    def check_tokens(self, n_prompt: int) -> None:
        """Raises UsageError where depth, prompt and generation exceed the context."""
        deepest = max(self.n_depths)
        total = deepest + n_prompt + self.n_gen
        if total > MOST:
            raise UsageError(
                f"{total} tokens (depth, prompt, generation) are more than any context holds"
            )
        if total > self.n_ctx_made:
            raise UsageError(
                f"{deepest} + {n_prompt} + {self.n_gen} tokens (depth, prompt, generation) "
                f"do not fit in a context of {self.n_ctx_made}; use --n-ctx {total} or more"
            )

    @functools.cached_property
    def source(self) -> ModelSource:
        """MODEL, parsed."""
        return ModelSource.parse(self.model)

    @property
    def n_depths(self) -> tuple[int, ...]:
        """The depths to measure at, in the order given."""
        return self.n_depth if isinstance(self.n_depth, tuple) else (self.n_depth,)

    @property
    def n_ctx_made(self) -> int:
        """The context that is made: the one asked for, or one that the deepest run fits in."""
        return self.n_ctx if self.n_ctx is not None else self.n_ctx_needed

    @property
    def n_ctx_needed(self) -> int:
        """The context that is made where none is asked for."""
        total = max(self.n_depths) + self.n_prompt + self.n_gen
        return max(DEFAULT_N_CTX, min(-(-total // _N_CTX_STEP) * _N_CTX_STEP, MOST))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CaptureConfig:
        """The inverse of `to_json`. Raises UsageError for a setting that does not exist."""
        refuse_unknown(values, [field.name for field in fields(cls)])
        return cls(**values)
