"""Energy passes: each phase over and over for seconds, hooks off, beside windows of rest."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from msgspec import UNSET

from ..children.protocol import OnProgress, Progress
from ..errors import SlmprofError
from ..machine.energy.counter import EnergyCounter
from ..machine.energy.find import Counters, find_counters
from ..machine.energy.window import Window
from ..machine.load import LoadMeter
from ..profiles.records.energy import Energy, EnergyRefusal, EnergyWindow, WindowState
from ..profiles.vocabulary import PASS_TIMING
from ..settings.devices import native_devices
from .passes import Passes
from .token_ids import Tokens

# Each has an idle window and one of each phase.
_N_ROUNDS = 5
# Before a window the machine does for so long what it does in it, so that power and clock are
# those of the window when it begins.
_SETTLING_SHARE = 0.1
# Tokens of one call: as many as cost nothing to look at the clock between them.
_TOKENS_AT_ONCE = 4


def measure_energy(passes: Passes, on_progress: OnProgress) -> Energy:
    """The energy of a run's phases, at its smallest depth, after all its other passes.

    Nothing here fails the run: what cannot be measured is a refusal with its reason.
    """
    config = passes.session.config
    found = find_counters(native_devices(config.device))
    try:
        return EnergyPasses(passes, found, config.energy_window, on_progress).measure()
    finally:
        found.close()


class _FullError(Exception):
    """The context ended within a window, and cannot be cut back."""


@dataclass
class EnergyPasses:
    """The energy windows of a run whose other passes are done.

    Attributes:
        window_s: the least length of each window; it ends with a whole step.
        clock_ns, sleep, meter: the monotonic clock, what waits, and what sees the load of others.
    """

    passes: Passes
    found: Counters
    window_s: float
    on_progress: OnProgress
    clock_ns: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep
    meter: Callable[[], LoadMeter] = LoadMeter
    n_rounds: int = _N_ROUNDS
    _windows: list[EnergyWindow] = field(default_factory=list, init=False)
    _refusals: list[EnergyRefusal] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._session, self._depth = self.passes.session, self.passes.depths[0]
        self._counters: list[EnergyCounter] = self.found.counters
        self._refusals += self.found.refusals

    def measure(self) -> Energy:
        """Makes all windows; without a counter none."""
        if self._counters:
            try:
                self._measure()
            except OSError as error:
                detail = str(error.strerror or error)
                self._refusals.append(EnergyRefusal("not_readable", detail=detail))
            except SlmprofError as error:
                self._refusals.append(EnergyRefusal("failed", detail=str(error)[:1000]))
        return Energy(
            window_s=self.window_s,
            n_depth=self._depth,
            sources=tuple(counter.source for counter in self._counters),
            windows=tuple(self._windows),
            refusals=tuple(self._refusals),
        )

    def _measure(self) -> None:
        phases: list[WindowState] = ["prefill"]
        self._go_to_prompt()
        # A recurrent state keeps nothing of what stood before its last token.
        self._can_cut = True
        if len(self.passes.generated):
            phases.append("decode")
            self._decode(self.passes.generated[:1])
            self._can_cut = self._session.rewind(self._depth + len(self.passes.prompt))
        if not self._can_cut and self._depth:
            self._refusals += [EnergyRefusal("not_repeatable", phase=phase) for phase in phases]
            return
        states: list[WindowState] = ["idle", *phases]
        for number in range(self.n_rounds):
            # There and back, so that a machine that heats up does so for all alike.
            for state in states if number % 2 == 0 else states[::-1]:
                if state in states:
                    self._tell(len(self._windows), self.n_rounds * len(states))
                    try:
                        self._windows.append(self._window(state, number))
                    except _FullError:
                        self._refusals.append(EnergyRefusal("context_full", phase=state))
                        states = [one for one in states if one != state]
            # The steps count in the window, not one by one.
            self._session.engine.take()

    def _tell(self, done: int, total: int) -> None:
        stage = f"energy, window {done + 1} of {total}"
        self.on_progress(Progress(stage, self.passes.total, self.passes.total, is_timed=False))

    def _window(self, state: WindowState, number: int) -> EnergyWindow:
        run = {"idle": self._rest, "prefill": self._prefills, "decode": self._decodes}[state]
        if state == "decode":
            self._go_to_prompt()
        elif state == "idle":
            self._session.engine.rest()
        run(self.window_s * _SETTLING_SHARE)
        window, meter = Window(self._counters, self.window_s, self.clock_ns), self.meter()
        try:
            window.begin()
            n_steps = run(self.window_s)
            duration_ns, readings = window.end()
        finally:
            window.stop()
        load = meter.load()
        return EnergyWindow(
            state=state,
            round=number,
            duration_ns=duration_ns,
            n_steps=n_steps,
            load=load if load is not None else UNSET,
            readings=readings,
        )

    def _rest(self, seconds: float) -> int:
        """Waits; no steps."""
        self.sleep(seconds)
        return 0

    def _prefills(self, seconds: float) -> int:
        """Prompts for so long, each from the depth on; how many there were."""
        end_ns, n_steps = self.clock_ns() + int(seconds * 1e9), 0
        while n_steps == 0 or self.clock_ns() < end_ns:
            self._go_to_prompt()
            n_steps += 1
        return n_steps

    def _decodes(self, seconds: float) -> int:
        """Tokens for so long, `n_gen` after the prompt and again; how many there were.

        What cannot be cut back goes on instead, to the end of the context.
        """
        end_ns, n_steps = self.clock_ns() + int(seconds * 1e9), 0
        tokens, begin = self.passes.generated, self._depth + len(self.passes.prompt)
        most = len(tokens)
        if not self._can_cut:
            most = int(self._session.context_info["n_ctx"]) - begin
        while n_steps == 0 or self.clock_ns() < end_ns:
            done = self._session.n_past - begin
            if done >= most:
                if not self._can_cut:
                    raise _FullError
                self._session.rewind(begin)
                done = 0
            # What is generated beyond `n_gen` are the same tokens again.
            first = done % len(tokens)
            taken = tokens[first : first + min(_TOKENS_AT_ONCE, most - done)]
            self._decode(taken)
            n_steps += len(taken)
        return n_steps

    def _go_to_prompt(self) -> None:
        """The context with the prompt in it, which is one step of prefill."""
        session, prompt = self._session, self.passes.prompt
        self.passes.go_to(self._depth)
        session.guard(lambda: session.engine.prefill(prompt, PASS_TIMING, 0, self._depth))

    def _decode(self, tokens: Tokens) -> None:
        session = self._session
        session.guard(lambda: session.engine.decode(tokens, PASS_TIMING, 0, self._depth))
