"""How a text goes through a model: for its importances, and for its quality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..system.cores import default_threads
from .kinds import Switch, Whole
from .table import NEVER, SCORING, THREADS, refuse_unknown, setting, table
from .threads import FORCE_HELP, check_threads


@dataclass(frozen=True)
class TextSettings:
    """How a text is cut and run; make it by `of`.

    Attributes:
        n_ctx: tokens of a chunk. Each chunk begins anew, with the model's beginning of a text where
            it has one; what is left of the text behind the last whole chunk is not used.
        chunks: so many of the first ones; None for all.
        threads: None for all usable cores.
        force: allows more threads than `threads.check_threads` does.
    """

    n_ctx: int = setting(Whole(16), 512, "tokens of a chunk of the text", group=SCORING)
    chunks: int | None = setting(Whole(), None, "the first so many", "all", group=SCORING)
    threads: int | None = setting(THREADS, None, "threads", "all usable cores", group=SCORING)
    force: bool = setting(Switch(), False, FORCE_HELP, group=SCORING, tells_apart=NEVER)

    @property
    def n_threads(self) -> int:
        """Threads, the default resolved."""
        return self.threads if self.threads is not None else default_threads()

    @classmethod
    def of(cls, **settings: Any) -> Any:
        """Settings by name. Raises UsageError for one that is invalid or unknown."""
        entries = table(cls)
        refuse_unknown(settings, entries)
        made = cls(**{name: entries[name].check(value) for name, value in settings.items()})
        check_threads(made.n_threads, force=made.force)
        return made

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON holds them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Any:
        """The inverse of `to_json`; as `of`."""
        return cls.of(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class ImatrixSettings(TextSettings):
    """How importances are collected.

    Attributes:
        head: also those of the LM head, where it is a matrix of its own.
    """

    head: bool = setting(Switch(), False, "also those of the LM head", group=SCORING)


@dataclass(frozen=True)
class QualitySettings(TextSettings):
    """How quality is measured.

    Attributes:
        both_halves: score all tokens of a chunk, not its second half only.
        compatible: take the reference's logits as llama-perplexity stores them, for its numbers.
        costs: also what each weight costs, one at a time.
        cost_chunks: so many of the first chunks for that.
    """

    both_halves: bool = setting(
        Switch(), False, "score all tokens of a chunk, not the second half only", group=SCORING
    )
    compatible: bool = setting(
        Switch(), False, "the numbers of llama-perplexity, which stores the reference in 16 bits",
        group=SCORING,
    )  # fmt: skip
    costs: bool = setting(
        Switch(), False, "also what each weight costs: nats and milliseconds, one weight at a time",
        group=SCORING,
    )  # fmt: skip
    cost_chunks: int = setting(Whole(), 2, "the first so many for --costs", group=SCORING)
