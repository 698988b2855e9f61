"""The report of a sweep: its points side by side, ranked as far as they can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...analysis.comparison.ranking import (
    FEW_PROCESSES_MARGIN,
    Rank,
    is_of_few_processes,
    ranking,
)
from ...analysis.comparison.samples import warning_kind
from ...analysis.verdicts.sweep import SweepPoint, sweep_table, varying
from ...profiles.records.decoding import finite
from ...profiles.vocabulary import PHASES
from ...settings.table import setting_text
from .fallbacks import fallback_records, fallback_text
from .parts import (
    Caveat,
    Column,
    Document,
    Headline,
    Part,
    Rows,
    Section,
    Table,
    notes,
    said,
)
from .quantities import milliseconds, rate, whole_percent
from .records import records
from .runs.depths import depth_data
from .runs.run import SCHEMA_VERSION, random_weights_note

_BLOCKS = ("attention", "ffn", "recurrent", "lm_head")
_NAME_WIDTH = 24
# Columns of a terminal, and how many of them the settings may take.
_NARROW = 80
_LABELS_WIDTH = 44
# Different warnings that are told in full; a mark is a letter.
_MOST_WARNINGS = 8
_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_Row = dict[str, Any]
_Ranks = dict[tuple[str, int, str], Rank]


def sweep_document(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> Document:
    """The report of a sweep.

    Args:
        points: in the order to show them.
        failures: file name and message of each point that could not be measured.
    """
    return Document(
        lambda: _parts(points),
        lambda: _data(points, failures),
        lambda: _rows(points, failures),
    )


def _data(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The points as plain values; see `sweep --format json` in the documentation."""
    ranks = _ranks(points)
    result = {
        "schema_version": SCHEMA_VERSION,
        "varying": list(varying(points)),
        "points": [
            {
                "file": point.file,
                "name": point.name,
                "slmprof": point.meta.slmprof.to_json(),
                "environment": point.meta.environment.replace(warnings=point.caveats).to_json(),
                "model": {
                    **point.meta.model.to_json(),
                    "fallbacks": fallback_records(point.fallbacks),
                },
                "dimensions": point.dimensions,
                "config": point.meta.config.to_json(),
                "run": point.meta.run.to_json(),
                **depth_data(point.depths),
                "rss_peak_bytes": point.meta.memory.rss_peak_bytes,
            }
            for point in points
        ],
        "ranking": [
            {"phase": phase, "n_depth": n_depth, "file": file, "best": r.best, "worst": r.worst}
            for (phase, n_depth, file), r in ranks.items()
        ],
        "failures": [{"file": file, "message": message} for file, message in failures],
    }
    cleaned: dict[str, Any] = finite(result)
    return cleaned


def _rows(points: Sequence[SweepPoint], failures: Sequence[tuple[str, str]]) -> Rows:
    """A row for each phase of a point; where a point failed, its file, and why as `error`."""
    table = sweep_table(points)
    ranks = _ranks(points)
    warnings = {point.file: "; ".join(point.caveats) for point in points}
    names = [*map(str, table.columns), "rank_best", "rank_worst", "warnings"]

    def of(row: _Row) -> _Row:
        rank = ranks.get((row["phase"], row["n_depth"], row["file"]))
        ends = {"rank_best": rank and rank.best, "rank_worst": rank and rank.worst}
        return {**row, **ends, "warnings": warnings[row["file"]]}

    rows = [of(row) for row in records(table)]
    if failures:
        names = list(dict.fromkeys(["file", *names, "error"]))
        rows += [{"file": file, "error": message} for file, message in failures]
    return Rows(names, rows)


def _ranks(points: Sequence[SweepPoint]) -> _Ranks:
    """(phase, depth, file) -> where the point stands among those of this phase and depth."""
    found: _Ranks = {}
    for phase, n_depth in dict.fromkeys(key for point in points for key in point.samples):
        samples = {
            p.file: p.samples[phase, n_depth] for p in points if (phase, n_depth) in p.samples
        }
        for file, rank in ranking(samples).items():
            found[phase, n_depth, file] = rank
    return found


def _parts(points: Sequence[SweepPoint]) -> list[Part]:
    """The models, a table or two for each phase, and notes; nothing where there is no point."""
    if not points:
        return []
    rows = records(sweep_table(points))
    models = list(dict.fromkeys(point.name for point in points))
    n = len(points)
    made: list[Part] = [
        Headline(((f"Sweep of {', '.join(models)}: {n} point{'s' if n > 1 else ''}",),))
    ]
    fallen = {point.name: point.fallbacks for point in points if point.fallbacks is not None}
    made += (Caveat(f"{name}: {fallback_text(found)}") for name, found in fallen.items())
    marks, told = _marks(points)
    # Of one point or more.
    is_serialized = any(point.serialized for point in points)
    report = _Report(
        rows, varying(points), _ranks(points), marks, _rank_note(points), is_serialized
    )
    made += said([_models(points), *(part for phase in PHASES for part in report.sections(phase))])
    made += map(Caveat, told)
    if any(point.meta.model.random_weights for point in points):
        made.append(random_weights_note())
    return made


def _models(points: Sequence[SweepPoint]) -> Section:
    """What each model is built like, where there are several."""
    designs = {(point.name, point.meta.model.file_type): point for point in points}
    columns = (
        Column("model", most=_NAME_WIDTH), Column("type", key="file_type", most=14),
        Column("layers", "plain", "n_layer"), Column("width", "plain", "n_embd"),
        Column("FFN", "plain", "n_ff"), Column("heads", "plain"),
        Column("MiB", "mib", "size_bytes"), Column("bits", "bits", "bits_per_weight"),
        Column("vocabulary", "plain", "n_vocab", is_wide=True),
        Column("parameters", "plain", "n_params", is_wide=True),
    )  # fmt: skip
    rows = [
        {**p.dimensions, "model": p.name, "file_type": p.meta.model.file_type, "heads": _heads(p)}
        for p in designs.values()
    ]
    text = "heads: of queries/keys, where fewer. bits: of a weight, on average."
    return Section("Models", (Table.of(columns, rows if len(rows) > 1 else []), *notes(text)))


def _heads(point: SweepPoint) -> str | None:
    n_head, n_head_kv = (point.dimensions[name] for name in ("n_head", "n_head_kv"))
    if not n_head or not n_head_kv or n_head_kv == n_head:
        return None if n_head is None else str(n_head)
    return f"{n_head}/{n_head_kv}"


def _marks(points: Sequence[SweepPoint]) -> tuple[dict[str, str], list[str]]:
    """File -> letters of its warnings, and the warnings with their letters; of warnings that differ
    in their numbers alone, the first is told."""
    files: dict[str, dict[str, str]] = {}
    for point in points:
        for text in point.caveats:
            files.setdefault(warning_kind(text), {}).setdefault(point.file, text)
    marks: dict[str, str] = {}
    told = []
    for i, of in enumerate(files.values()):
        letter = _LETTERS[i] if i < min(_MOST_WARNINGS, len(_LETTERS)) else "+"
        for file in of:
            if letter not in marks.get(file, ""):
                marks[file] = marks.get(file, "") + letter
        if letter != "+":
            texts = list(of.values())
            like_it = f" (first of {len(texts)} points)" if len(set(texts)) > 1 else ""
            told.append(f"({letter}) {texts[0]}{like_it}")
    if len(files) > _MOST_WARNINGS:
        more = len(files) - _MOST_WARNINGS
        told.append(f"(+) {more} more; --format json or `slmprof show` of the files tells them")
    return marks, told


def _rank_note(points: Sequence[SweepPoint]) -> str:
    if len(points) < 2:
        return ""
    text = "rank: by tokens/s; points of ranks that overlap (1-3, 2) cannot be told apart"
    few = [s for point in points for s in point.samples.values() if is_of_few_processes(s)]
    if few:
        margin = whole_percent(FEW_PROCESSES_MARGIN)
        text += (
            f": with so few processes (--processes 5) a difference below {margin} may be that of "
            "two processes alike"
        )
    return f"{text}."


class _Report:
    """The tables of the phases.

    Args:
        rows: of `sweep_table`.
        names: of the columns that tell the points apart.
        marks: file -> letters of its warnings.
        rank_note: how to read the ranks; empty where there are none.
        is_serialized: whether a device ran ops one by one for the times of blocks.
    """

    def __init__(
        self,
        rows: Sequence[_Row],
        names: Sequence[str],
        ranks: _Ranks,
        marks: Mapping[str, str],
        rank_note: str,
        is_serialized: bool,
    ) -> None:
        self._rows, self._names, self._ranks = rows, names, ranks
        self._marks, self._rank_note = marks, rank_note
        self._mode = ", serialized" if is_serialized else ""

    def sections(self, phase: str) -> list[Section]:
        """One table, or two where the blocks do not stand beside the rest on a narrow terminal."""
        rows = [row for row in self._rows if row["phase"] == phase]
        labels = self._labels(rows)
        first = self._measured(rows)
        costs = {name: [row[f"{name}_ms"] for row in rows] for name in _BLOCKS}
        blocks = [
            (Column(f"{name}\nms/token", "ms"), own, milliseconds)
            for name, own in costs.items()
            if any(own)
        ]
        rss = [
            (Column("peak RSS", "bytes", is_wide=True), [r["rss_peak_bytes"] for r in rows], str)
        ]
        text = (
            f"Blocks: milliseconds of ops per token, profiled{self._mode}; the rest is measured "
            "unprofiled."
        )
        title = phase.capitalize()
        whole = sum(_width(*part) for part in [*labels, *first, *blocks]) - 2
        if whole <= _NARROW:
            said = notes(text if blocks else "", self._rank_note)
            return [Section(title, (_table([*labels, *first, *blocks, *rss]), *said))]
        below = notes(text.partition(";")[0] + ".")
        return [
            Section(title, (_table([*_beside(labels, first), *rss]), *notes(self._rank_note))),
            Section(f"{title}, blocks{self._mode}", (_table(_beside(labels, blocks)), *below)),
        ]

    def _labels(self, rows: Sequence[_Row]) -> list[_Cells]:
        texts = {name: [setting_text(row[name], "+") for row in rows] for name in self._names}
        made: list[_Cells] = [(Column(n, most=_NAME_WIDTH), own, str) for n, own in texts.items()]
        if sum(_width(*part) for part in made) > _LABELS_WIDTH:
            # So many settings fit no terminal; the file's name tells them as well.
            made = [(Column("file", most=_LABELS_WIDTH), [row["file"] for row in rows], str)]
        if any(row["n_depth"] for row in rows):
            made.append((Column("depth", "plain"), [row["n_depth"] for row in rows], str))
        return made

    def _measured(self, rows: Sequence[_Row]) -> list[_Cells]:
        made: list[_Cells] = [
            (Column("ms/step", "ms"), [row["latency_ms"] for row in rows], milliseconds),
            (Column("±MAD", "ms"), [row["mad_ms"] for row in rows], milliseconds),
            (Column("tokens/s", "rate"), [row["tokens_per_s"] for row in rows], rate),
        ]
        if self._rank_note:
            made.append((Column("rank"), [self._rank(row) for row in rows], str))
        if any(self._marks.get(row["file"]) for row in rows):
            made.append((Column(""), [self._mark(row) for row in rows], str))
        return made

    def _rank(self, row: _Row) -> str:
        rank = self._ranks.get((row["phase"], row["n_depth"], row["file"]))
        if rank is None:
            return ""
        return str(rank.best) if rank.best == rank.worst else f"{rank.best}-{rank.worst}"

    def _mark(self, row: _Row) -> str:
        letters = self._marks.get(row["file"], "")
        return f"({letters})" if letters else ""


_Cells = tuple[Column, Sequence[Any], Any]
"""A column, its values, and what makes a text of one."""


def _table(parts: Sequence[_Cells]) -> Table:
    values = [own for _, own, _ in parts]
    return Table(tuple(column for column, _, _ in parts), list(zip(*values, strict=True)))


def _beside(labels: Sequence[_Cells], others: Sequence[_Cells]) -> list[_Cells]:
    """All columns, with the widest label cut so far that there is room for the others."""
    widths = [_width(*part) for part in labels]
    too_much = sum(widths) + sum(_width(*part) for part in others) - 2 - _NARROW
    if too_much <= 0 or not labels:
        return [*labels, *others]
    widest = max(range(len(labels)), key=widths.__getitem__)
    column, own, shown = labels[widest]
    cut = (Column(column.title, most=max(8, widths[widest] - 2 - too_much)), own, shown)
    return [*labels[:widest], cut, *labels[widest + 1 :], *others]


def _width(column: Column, values: Sequence[Any], shown: Any) -> int:
    """Of a column, with the two blanks after it."""
    texts = [str(shown(value))[: column.most or _NARROW] for value in values]
    return max(map(len, [*column.title.split("\n"), *texts])) + 2
