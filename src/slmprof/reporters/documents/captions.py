"""What stands above and below the tables: what was measured, and how far to believe it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...analysis.verdicts.breakdown import Breakdown
from ...settings.resolved import ResolvedConfig
from ...settings.table import captions
from .quantities import Glyphs, bytes_text, count_text, printable


def header_lines(breakdown: Breakdown, glyphs: Glyphs) -> list[str]:
    """What was measured: model, program, machine, settings."""
    meta, model = breakdown.meta, breakdown.model
    name = str(model.name or model.path or "unnamed model")
    facts = [
        model.architecture,
        f"{count_text(model.n_params)} parameters" if model.n_params else None,
        model.file_type,
        bytes_text(model.size_bytes) if model.size_bytes else None,
        "RANDOM WEIGHTS" if model.random_weights else None,
    ]
    engine = meta.slmprof.llama_cpp.version
    program = [
        f"slmprof {meta.slmprof.version or '?'}",
        f"llama.cpp {engine}" if engine else None,
        meta.environment.cpu,
        f"{meta.environment.n_cores} cores" if meta.environment.n_cores else None,
    ]
    lines = [_joined([name, *facts], glyphs), _joined(program, glyphs)]
    settings = _joined(
        [f"{k} {_setting(v)}" for k, v in captions(ResolvedConfig, meta.config).items()], glyphs
    )
    if settings:
        lines.append(settings)
    return [printable(line, glyphs) for line in lines]


def caveat_lines(breakdown: Breakdown, glyphs: Glyphs) -> list[str]:
    """One line for each doubt, and one for random weights."""
    lines = [printable(f"warning: {text}", glyphs) for text in breakdown.caveats]
    if breakdown.model.random_weights:
        lines.append("note: random weights; time and memory are real, the text would not be")
    return lines


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def _joined(parts: Sequence[Any], glyphs: Glyphs) -> str:
    return glyphs.dot.join(str(part) for part in parts if part)
