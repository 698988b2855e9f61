"""The engine in this process, for the curious; `slmprof.profile` runs it in a worker instead."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..children.native_errors import guarded
from ..errors import UsageError
from ..profiles.records.meta import Meta, Run
from ..profiles.vocabulary import PASS_OP, PASS_TIMING
from ..settings.arguments import takes
from ..settings.capture import CaptureConfig
from ..settings.devices import native_devices
from ..settings.kinds import Callback, File, Switch, Whole
from ..settings.model_source import ModelName
from ..settings.resolved import ResolvedConfig
from ..settings.threads import warn_of_threads
from .description import describe_run, model_record
from .monitors.load import LoadMonitor
from .monitors.memory import MemoryMonitor
from .monitors.model_file import ModelFileMonitor
from .monitors.protocol import Monitor, Point
from .monitors.together import Monitors
from .places import numbered_places
from .planned_run import PlannedRun, native_settings, plan_run
from .prompt_file import read_prompt
from .seen_graphs import SeenGraphs
from .token_ids import Tokens, token_ids
from .used_config import used_config

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .. import _core
    from ..profiles.records.ceilings import Ceilings
    from ..profiles.records.device_ceilings import DeviceCeilings
    from ..settings.keywords import RunKeywords
    from ..views import Profile

Logits = NDArray[np.float32]
Chunk = dict[str, Any]
_Result = TypeVar("_Result")


class Session:
    """A model and a context of llama.cpp in this process, with the hooks around every op.

    A crash inside llama.cpp ends this process; `slmprof.profile` keeps the two apart. A process
    that is forked from this one cannot use it, but open one of its own.

    Args:
        model: MODEL, see CaptureConfig.
        settings: further fields of CaptureConfig.

    Raises:
        ModelError: the file or preset is unusable.
        EngineError: llama.cpp refused the context; with its last log lines.
        UsageError: an invalid setting.
    """

    @takes(model=ModelName())
    def __init__(self, model: str | os.PathLike[str], **settings: Unpack[RunKeywords]) -> None:
        self.config = CaptureConfig.from_json({"model": model, **settings})
        if self.config.processes != 1:
            raise UsageError("a session is this one process; slmprof.profile() takes `processes`")
        warn_of_threads(self.config.n_threads)
        self._open(plan_run(self.config))

    @classmethod
    def from_plan(cls, config: CaptureConfig, planned: PlannedRun) -> Session:
        """A session with the settings of a capture, which is planned already."""
        session = cls.__new__(cls)
        session.config = config
        session._open(planned)
        return session

    def _open(self, planned: PlannedRun) -> None:
        from .. import _core

        self.path = planned.model.path
        self._ignored = self._ignored_keys()
        self._engine: _core.Engine | None = None
        self._process = os.getpid()
        self._steps_lock = threading.RLock()
        self._monitors = Monitors()
        self._chunks: list[Chunk] = []
        self._graphs = SeenGraphs()
        self._has_places = False  # in a chunk
        self._rng = np.random.default_rng(self.config.seed)
        memory = MemoryMonitor(planned.buffers, planned.resident)
        monitors = (ModelFileMonitor(self.path), memory, planned.gpus, LoadMonitor())
        settings = native_settings(planned.model, self.config)
        self._engine = self.guard(lambda: _core.Engine(settings))
        # What the ops are compared with, where it is known.
        self.ceilings: Ceilings | None = None
        self.device_ceilings: tuple[DeviceCeilings, ...] = ()
        self.model_info: Mapping[str, Any] = self.engine.model_info()
        self.context_info: Mapping[str, Any] = self.engine.context_info()
        try:
            for monitor in monitors:
                self.watch(monitor)
        except BaseException:
            self.close()
            raise

    def _ignored_keys(self) -> tuple[str, ...]:
        if not self.config.source.is_synthesised:
            return ()
        from ..models.synthesis import ignored_keys

        return ignored_keys(self.config.source)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the monitors, frees model and context; the session cannot be used after it.

        In a process that was forked meanwhile it only forgets them: they are the other one's.
        """
        if self._process != os.getpid():
            self._monitors.forget()
        try:
            self._monitors.end()
        finally:
            self._engine = None

    @property
    def engine(self) -> _core.Engine:
        """The native engine. Raises UsageError after `close`, and in a forked process."""
        if self._engine is None:
            raise UsageError("this session is closed")
        if self._process != os.getpid():
            raise UsageError(
                "this session belongs to the process that this one was forked from, and its "
                "threads are there: open one here"
            )
        return self._engine

    @property
    def n_past(self) -> int:
        """Tokens in the context."""
        return self.engine.n_past

    @takes(n_tokens=Whole(0))
    def random_tokens(self, n_tokens: int) -> Tokens:
        """Token ids from the session's seed, uniform over the vocabulary; int32 [n_tokens].

        Raises:
            UsageError: more of them than memory holds.
        """
        n_vocab = int(self.model_info["n_vocab"])
        try:
            return self._rng.integers(0, n_vocab, size=n_tokens, dtype=np.int32)
        except MemoryError:
            raise UsageError(f"n_tokens: memory does not hold {n_tokens} token ids") from None

    @takes(path=File())
    def read_prompt(self, path: str | os.PathLike[str]) -> Tokens:
        """The tokens of a text file, by the model's vocabulary; int32 [n_tokens].

        Raises:
            UsageError: it cannot be read, holds no text or surely more than the context, or the
            model has no vocabulary.
        """
        text = read_prompt(path).replace("\r\n", "\n").replace("\r", "\n")
        self._check_fits(path, len(text.encode()))
        tokens = self.guard(lambda: self.engine.tokenize(text))
        if len(tokens) == 0:
            raise UsageError(f"the prompt {path} holds no text")
        return tokens

    def _check_fits(self, path: str | os.PathLike[str], n_bytes: int) -> None:
        """Refuses a text of so many bytes before it is taken apart, where it is far too long."""
        longest, n_ctx = self.engine.longest_token_bytes, int(self.context_info["n_ctx"])
        least = -(-n_bytes // longest) if longest else 0
        if least > n_ctx:
            raise UsageError(
                f"the prompt {path} has {least} tokens or more, which do not fit in a context of "
                f"{n_ctx}; use a larger --n-ctx, or a shorter prompt"
            )

    @takes(n_tokens=Whole(0))
    def rewind(self, n_tokens: int) -> bool:
        """Forgets all tokens from this position on; False if all had to be forgotten.

        Raises:
            UsageError: no position of a context.
        """
        return self.engine.truncate(n_tokens)

    def fill(self, tokens: int | Sequence[int] | Tokens) -> None:
        """Tokens, or so many random ones, into the context, unmeasured.

        Raises:
            EngineError: llama.cpp failed; UsageError: too many tokens or none.
        """
        ids = self._token_ids(tokens)
        self.guard(lambda: self.engine.fill(ids))

    @takes(consumer=Callback("a position and logits"))
    def score(
        self, tokens: int | Sequence[int] | Tokens, consumer: Callable[[int, Logits], object]
    ) -> None:
        """Tokens into the context, unmeasured, with the logits of each of them.

        Args:
            tokens: token ids, or how many random ones.
            consumer: called for each batch, at most a ubatch, with the position of its first token
                in the context and its logits, float32 [n, n_vocab]: row i tells what follows token
                i. The array is the consumer's own, and nothing else keeps it.

        Raises:
            EngineError: llama.cpp failed; UsageError: too many tokens or none, or a model that only
            encodes. What the consumer raises ends it and comes through as it is.
        """
        ids = self._token_ids(tokens)
        raised: list[BaseException] = []

        def consume(position: int, logits: Logits) -> None:
            try:
                consumer(position, logits)
            except BaseException as error:
                raised.append(error)
                raise

        try:
            self.guard(lambda: self.engine.score(ids, consume))
        except Exception:
            if raised:
                raise raised[0] from None
            raise

    @takes(observe=Switch(), repeat=Whole(0))
    def prefill(
        self, tokens: int | Sequence[int] | Tokens, *, observe: bool = True, repeat: int = 0
    ) -> NDArray[np.float64]:
        """One step with a whole prompt.

        Args:
            tokens: token ids, or how many random ones.
            observe: with hooks on (an op pass) or off (a timing pass).
            repeat: the number that the step carries in the profile.

        Returns:
            The step's latency in milliseconds, float64 [1].

        Raises:
            EngineError: llama.cpp failed; UsageError: too many tokens or none.
        """
        return self._measure(self.engine.prefill, tokens, observe, repeat)

    @takes(observe=Switch(), repeat=Whole(0))
    def decode(
        self, tokens: int | Sequence[int] | Tokens, *, observe: bool = True, repeat: int = 0
    ) -> NDArray[np.float64]:
        """One step for each token; latencies in milliseconds, float64 [n_tokens].

        Arguments and errors as `prefill` has them.
        """
        return self._measure(self.engine.decode, tokens, observe, repeat)

    def profile(self) -> Profile:
        """What this session has measured so far, as a Profile.

        Ceilings are those that the cache folder holds; a session does not measure them.

        Raises:
            CaptureError: the model's file has changed meanwhile.
        """
        import tempfile

        from ..machine.ceilings import find_ceilings
        from ..machine.device_ceilings import known_device_ceilings
        from ..profiles.storage.assemble import assemble, write_chunk, write_header
        from ..views import Profile

        if self.ceilings is None and self.config.ceilings == "auto":
            self.ceilings = find_ceilings(self.config.n_threads)
        if not self.device_ceilings and self.config.ceilings == "auto":
            self.device_ceilings = known_device_ceilings(native_devices(self.config.device))
        self.reach("end")
        with tempfile.TemporaryDirectory(prefix="slmprof-") as folder:
            write_header(folder, self.describe(Run(n_repeats=0, events=self._event_mode)))
            for number, chunk in enumerate(self._chunks):
                write_chunk(folder, number, chunk)
            return Profile.of(assemble(folder))

    def watch(self, monitor: Monitor) -> None:
        """Has a further monitor watch the run from now on."""
        self._monitors.begin(monitor, self.engine)

    @property
    def leaves_caches_cold(self) -> bool:
        """Whether `reach` may leave something else in the processor's caches."""
        return self._monitors.leave_caches_cold

    def reach(self, point: Point) -> None:
        """Tells the monitors how far the run is."""
        self._monitors.reach(point, self.engine)

    def wait(self, for_turn: Callable[[], None]) -> None:
        """Lets other processes run, on an idle machine as far as this one goes, until it is its
        turn again."""
        self.engine.rest()
        for_turn()
        self.reach("turn")

    def take(self) -> Chunk:
        """What was measured since the last call, as one chunk of a profile."""
        chunk: Chunk = {**self.engine.take()}
        if not self._has_places:
            places = self.engine.places()
            chunk["places"], chunk["strings"] = numbered_places(places, chunk["strings"])
            self._has_places = True
        self._graphs.add(chunk)
        return chunk

    def describe(self, run: Run, **used: Any) -> Meta:
        """The `meta` of a profile.

        Args:
            run: how the run went.
            used: settings of the run that are other than this session's.
        """
        config = replace(self.used_config(), **used)
        model = model_record(self.model_info, self.path)
        if self._ignored:
            model = model.replace(ignored=self._ignored)
        meta = describe_run(model, config, run, self.config.n_threads, self.ceilings)
        meta = self._monitors.describe(meta.replace(device_ceilings=self.device_ceilings))
        if self.engine.tracing_problem:
            meta = meta.with_warnings(
                [
                    f"kernels are not recorded: {self.engine.tracing_problem}; the GPU's ops ran "
                    "one by one instead"
                ]
            )
        return meta

    def used_config(self) -> ResolvedConfig:
        """The settings as llama.cpp used them, not as they were asked for."""
        buffer_types = (buffer["buffer_type"] for buffer in self.engine.buffers())
        return used_config(
            self.config, self.model_info, self.context_info, buffer_types, self._graphs
        )

    @property
    def _event_mode(self) -> Literal["all", "aggregate"]:
        return "aggregate" if self.config.events == "aggregate" else "all"

    def _measure(
        self,
        run: Callable[..., None],
        tokens: int | Sequence[int] | Tokens,
        observe: bool,
        repeat: int,
    ) -> NDArray[np.float64]:
        ids = self._token_ids(tokens)
        kind = PASS_OP if observe else PASS_TIMING
        aggregate = self._event_mode == "aggregate"
        # What is taken is this call's, though other threads measure as well.
        with self._steps_lock:
            try:
                self.guard(lambda: run(ids, kind, repeat, aggregate=aggregate))
            finally:
                # Also what was measured until an interruption: not to be taken for the next call's.
                if self._engine is not None:
                    chunk = self.take()
                    self._chunks.append(chunk)
        if self._engine is None:
            raise UsageError("this session was closed while it measured")
        steps = chunk["steps"]
        latency: NDArray[np.float64] = (steps["end_ns"] - steps["begin_ns"]) / 1e6
        return latency

    def _token_ids(self, tokens: int | Sequence[int] | Tokens) -> Tokens:
        return token_ids(tokens, int(self.context_info["n_ctx"]), self.random_tokens)

    def guard(self, call: Callable[[], _Result]) -> _Result:
        """Calls the engine and turns its failures into slmprof's errors."""
        return guarded(self.path, call)
