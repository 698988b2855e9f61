"""What is asked of a capture: the options of the commands and of `slmprof.profile`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..cores import MOST_THREADS, usable_cores
from ..errors import UsageError

_FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}
_COUNTS = ("n_prompt", "n_gen", "n_ctx", "n_batch", "n_ubatch", "repeats")
_MOST = 2**31 - 1
# A context that nobody asked for has this many tokens, or as many of these steps as are needed.
_DEFAULT_N_CTX = 2048
_N_CTX_STEP = 256


@dataclass(frozen=True)
class CaptureConfig:
    """The settings of one capture, named as the command line names them.

    Attributes:
        model: MODEL: a GGUF file, `preset:NAME[@TYPE]` or a Hugging Face `config.json`.
        n_prompt: tokens of the prompt; with `prompt_file` the file's tokens decide instead.
        n_gen: tokens generated after it, one step each.
        n_depth: tokens in the context before the prompt, not measured; several to measure at each
            of them in one run. A number where there is one, a tuple in the order given where there
            are several; what is given twice is measured once.
        n_ctx: size of the context; None means 2048, or more where the deepest run needs more.
        threads: compute threads; None means all cores that this process may use.
        override_tensor: texts `PATTERN=BUFFER`: weights whose name the pattern finds go there.
        timeout: seconds for the whole capture, or None.
        events: `all` keeps every event, `aggregate` statistics of each op; `auto` decides.
        clock: `fast`, or `exact`: op passes read the clock when an op is wholly done, and once more
            when a thread goes on within a product. That tells very short ops apart more exactly
            and makes the steps of such models some percent longer.
        ceilings: what this machine reaches at best (docs/roofline.md): `auto` takes it from the
            cache folder and measures it where it is not there yet, `off` does without; any other
            text is a file that `slmprof roofline -o` wrote.

    Raises:
        UsageError: a setting that cannot be meant.
    """

    model: str
    n_prompt: int = 50
    n_gen: int = 50
    n_depth: int | tuple[int, ...] = 0
    n_ctx: int = None  # type: ignore[assignment]  # never None once it is made
    n_batch: int = 2048
    n_ubatch: int = 512
    threads: int | None = None
    flash_attn: str = "auto"
    type_k: str = "f16"
    type_v: str = "f16"
    override_tensor: tuple[str, ...] = ()
    mmap: bool = True
    repack: bool = True
    repeats: int = 5
    prompt_file: str | None = None
    seed: int = 0
    device: str = "cpu"
    timeout: float | None = None
    events: str = "auto"
    clock: str = "fast"
    ceilings: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", os.fspath(self.model))
        if self.prompt_file is not None:
            object.__setattr__(self, "prompt_file", os.fspath(self.prompt_file))
        if isinstance(self.ceilings, os.PathLike):
            object.__setattr__(self, "ceilings", os.fspath(self.ceilings))
        if not isinstance(self.ceilings, str) or not self.ceilings:
            raise UsageError(f"ceilings is {self.ceilings!r}, not auto, off or a file")
        object.__setattr__(self, "override_tensor", tuple(self.override_tensor))
        depths = _depths(self.n_depth)
        object.__setattr__(self, "n_depth", depths if len(depths) > 1 else depths[0])
        if self.n_ctx is None:
            object.__setattr__(self, "n_ctx", self._needed_n_ctx())
        for name in _COUNTS:
            _check_int(name, getattr(self, name), least=1)
        _check_int("seed", self.seed, least=0)
        if self.threads is not None:
            _check_int("threads", self.threads, least=1)
            if self.threads > MOST_THREADS:
                raise UsageError(
                    f"threads is {self.threads}; llama.cpp allows at most {MOST_THREADS}"
                )
        if not isinstance(self.flash_attn, str) or self.flash_attn not in _FLASH_ATTENTION:
            raise UsageError(f"flash_attn is '{self.flash_attn}', not one of auto, on, off")
        if self.events not in ("auto", "all", "aggregate"):
            raise UsageError(f"events is '{self.events}', not one of auto, all, aggregate")
        if self.clock not in ("fast", "exact"):
            raise UsageError(f"clock is '{self.clock}', not one of fast, exact")
        if self.device != "cpu":
            raise UsageError(f"this build has no device '{self.device}'; it measures on cpu")
        if self.timeout is not None and not (
            isinstance(self.timeout, (int, float)) and self.timeout > 0
        ):
            raise UsageError(f"timeout is {self.timeout}, not a number of seconds above 0")
        split_overrides(self.override_tensor)
        self.check_tokens(self.n_prompt)

    def check_tokens(self, n_prompt: int) -> None:
        """Raises UsageError where depth, prompt and generation exceed the context."""
        deepest = max(self.n_depths)
        total = deepest + n_prompt + self.n_gen
        if total > self.n_ctx:
            raise UsageError(
                f"{deepest} + {n_prompt} + {self.n_gen} tokens (depth, prompt, generation) "
                f"do not fit in a context of {self.n_ctx}; use --n-ctx {total} or more"
            )

    def _needed_n_ctx(self) -> int:
        """The context of a run that did not say how large it should be."""
        for name in ("n_prompt", "n_gen"):
            _check_int(name, getattr(self, name), least=1)
        total = max(self.n_depths) + self.n_prompt + self.n_gen
        if total > _MOST:
            raise UsageError(
                f"{total} tokens (depth, prompt, generation) are more than any context holds"
            )
        return max(_DEFAULT_N_CTX, min(-(-total // _N_CTX_STEP) * _N_CTX_STEP, _MOST))

    @property
    def n_depths(self) -> tuple[int, ...]:
        """The depths to measure at, in the order given."""
        return self.n_depth if isinstance(self.n_depth, tuple) else (self.n_depth,)

    @property
    def n_threads(self) -> int:
        """Compute threads, the default resolved."""
        return self.threads if self.threads is not None else usable_cores()

    @property
    def flash_attn_code(self) -> int:
        """-1 auto, 0 off, 1 on."""
        return _FLASH_ATTENTION[self.flash_attn]

    @property
    def tensor_overrides(self) -> list[tuple[str, str]]:
        """The overrides as pairs of pattern and buffer type."""
        return split_overrides(self.override_tensor)

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON holds them: `n_depth` a list where there are several."""
        depth = list(self.n_depth) if isinstance(self.n_depth, tuple) else self.n_depth
        return {**asdict(self), "n_depth": depth, "override_tensor": list(self.override_tensor)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CaptureConfig:
        """The inverse of `to_json`. Raises UsageError for a setting that does not exist."""
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise UsageError(f"no setting '{unknown[0]}'; there are {', '.join(sorted(known))}")
        return cls(**values)


def split_overrides(overrides: Iterable[str]) -> list[tuple[str, str]]:
    """Texts PATTERN=BUFFER as pairs. Raises UsageError for any other."""
    pairs = []
    for override in overrides:
        pattern, equals, buffer = override.rpartition("=")
        if not equals:
            raise UsageError(f"override_tensor '{override}' is not PATTERN=BUFFER")
        pairs.append((pattern, buffer))
    return pairs


def _depths(value: object) -> tuple[int, ...]:
    """The depths of a number or of several, each once."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        _check_int("n_depth", value, least=0)
        return (value,)  # type: ignore[return-value]
    depths = tuple(value)
    for depth in depths:
        _check_int("n_depth", depth, least=0)
    if not depths:
        raise UsageError("n_depth is empty; name at least one depth")
    return tuple(dict.fromkeys(depths))


def _check_int(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name} is {value!r}, not a whole number")
    if not least <= value <= _MOST:
        raise UsageError(f"{name} is {value}; it must be between {least} and {_MOST}")
