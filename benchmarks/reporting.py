"""What every benchmark does with its results: a table on the screen, JSON in a file."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from slmprof.machine import environment
from slmprof.system.cores import usable_cores


@dataclass(frozen=True)
class Bar:
    """A figure beside what it has to reach; `limit` is the most or the least that it may be."""

    name: str
    value: float
    limit: float
    is_most: bool

    @property
    def is_reached(self) -> bool:
        return self.value <= self.limit if self.is_most else self.value >= self.limit


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--json", type=Path, help="write the results here")
    result.add_argument(
        "--check", action="store_true", help="exit with status 1 where a bar is not reached"
    )
    return result


def add_models(arguments: argparse.ArgumentParser, default: str) -> None:
    """The option `--models`, whose values `model_text` turns into MODELs."""
    arguments.add_argument(
        "--models",
        default=default,
        help="presets, GGUF files or config.json files, separated by commas (default: %(default)s)",
    )


def model_text(name: str) -> str:
    """A MODEL as every command takes it: of a preset the name alone is enough."""
    is_file = name.lower().endswith((".gguf", ".json")) or Path(name).is_file()
    is_typed_config = ".json@" in name.lower()
    return name if is_file or is_typed_config or name.startswith("preset:") else f"preset:{name}"


def publish(
    name: str,
    rows: Sequence[dict[str, Any]],
    bars: Sequence[Bar],
    options: argparse.Namespace,
    *,
    tables: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    digits: int | None = None,
) -> int:
    """Prints the rows and the bars and writes both as JSON. Returns the exit status.

    Args:
        tables: further rows by their title, which are shown above the others.
        digits: digits behind the point in all rows; None decides for each number.
    """
    console = _console()
    for title, further in (tables or {}).items():
        console.print(_table(title, further, digits))
    title = f"{name}, {environment.cpu_name()}, {usable_cores()} cores"
    console.print(_table(title, rows, digits))
    if bars:
        verdicts = Table("bar", "value", "limit", "reached")
        for bar in bars:
            sign = "at most" if bar.is_most else "at least"
            reached = "yes" if bar.is_reached else "NO"
            verdicts.add_row(bar.name, _text(bar.value), f"{sign} {_text(bar.limit)}", reached)
        console.print(verdicts)
    if options.json:
        document = {
            "benchmark": name,
            "machine": {"cpu": environment.cpu_name(), "n_cores": usable_cores(),
                        "python": platform.python_version()},
            "rows": list(rows),
            **({"tables": {title: list(rows) for title, rows in tables.items()}} if tables else {}),
            "bars": [{**asdict(bar), "reached": bar.is_reached} for bar in bars],
        }  # fmt: skip
        options.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 1 if options.check and not all(bar.is_reached for bar in bars) else 0


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float, float]:
    """Median of the values and the 95 % bootstrap interval of it."""
    array = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(seed)
    medians = np.median(rng.choice(array, size=(2000, len(array))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(np.median(array)), float(low), float(high)


def _console() -> Console:
    return Console(width=None if Console().is_terminal else 110)


def _table(title: str, rows: Sequence[dict[str, Any]], digits: int | None) -> Table:
    table = Table(title=title)
    for column in rows[0]:
        is_number = any(isinstance(row[column], (int, float)) for row in rows)
        table.add_column(
            column, justify="right" if is_number else "left", no_wrap=column == next(iter(rows[0]))
        )
    for row in rows:
        table.add_row(*(_text(value, digits) for value in row.values()))
    return table


def _text(value: Any, digits: int | None = None) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if digits is not None:
            return f"{value:.{digits}f}"
        return f"{value:.4g}" if abs(value) < 0.01 or abs(value) >= 1000 else f"{value:.4f}"
    return str(value)
