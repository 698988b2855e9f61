"""The ceilings of a machine: tables for people, JSON, CSV and Markdown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict

from ...analysis.work.roofline import level_roofs, product_roofs
from ...profiles.ceilings import Ceilings
from .quantities import ASCII, NONE, UNICODE, Glyphs, printable, rate
from .section import Column, Section

_COLUMNS = (
    "kind",
    "name",
    "operation",
    "n_columns",
    "impl",
    "working_set_bytes",
    "value",
    "unit",
    "n_threads",
    "cpu",
    "measured_at",
    "warnings",
)


def render_table(ceilings: Ceilings, source: str, *, ascii_only: bool) -> str:
    """Tables of at most 80 columns.

    Args:
        source: where the figures come from, as words.
        ascii_only: for a stream that shows nothing else.
    """
    glyphs = ASCII if ascii_only else UNICODE
    lines = list(_header(ceilings, source, glyphs))
    for section in _sections(ceilings):
        lines += ["", section.title, *_aligned(section, "-" if ascii_only else "\u2500")]
        lines += section.notes
    if ceilings.warnings:
        lines.append("")
    lines += _warnings(ceilings, glyphs)
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render_markdown(ceilings: Ceilings, source: str) -> str:
    """The same tables for an issue or a README."""
    parts = ["# Ceilings", *map(_escaped, _header(ceilings, source, UNICODE))]
    for section in _sections(ceilings):
        titles = [column.title for column in section.columns]
        rules = ["---:" if column.number else "---" for column in section.columns]
        rows = [titles, rules, *([_escaped(cell) for cell in row] for row in section.rows)]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        parts += [f"## {section.title}", table, " ".join(map(_escaped, section.notes))]
    warnings = _warnings(ceilings, UNICODE)
    if warnings:
        parts.append("\n".join(f"- {_escaped(line)}" for line in warnings))
    return "\n\n".join(part for part in parts if part) + "\n"


def render_json(ceilings: Ceilings, source: str) -> str:
    """The object that a file of ceilings holds, with `source` and the rows of the tables."""
    document = {
        **ceilings.to_json(),
        "source": source,
        "levels": [asdict(row) for row in level_roofs(ceilings)],
        "products": [asdict(row) for row in product_roofs(ceilings)],
    }
    return json.dumps(document, indent=1, allow_nan=False) + "\n"


def render_csv(ceilings: Ceilings) -> str:
    """One line for each figure, with its unit; kinds are bandwidth, arithmetic and op."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    always = {
        "n_threads": ceilings.n_threads,
        "cpu": ceilings.fingerprint.cpu,
        "measured_at": ceilings.measured_at,
        "warnings": "; ".join(ceilings.warnings),
    }
    for level in ceilings.bandwidth:
        writer.writerow(
            {
                "kind": "bandwidth",
                "name": level.level,
                "operation": level.operation,
                "working_set_bytes": level.working_set_bytes,
                "value": level.gbps,
                "unit": "GB/s",
                **always,
            }
        )
    for row in ceilings.arithmetic:
        writer.writerow(
            {
                "kind": "arithmetic",
                "name": row.type,
                "n_columns": row.n_columns,
                "impl": row.impl,
                "value": row.gflops,
                "unit": "GFLOP/s",
                **always,
            }
        )
    writer.writerow({"kind": "op", "value": ceilings.op_ns, "unit": "ns", **always})
    return stream.getvalue()


def _header(ceilings: Ceilings, source: str, glyphs: Glyphs) -> list[str]:
    of = ceilings.fingerprint
    facts = [
        of.cpu,
        f"cores {of.n_cores}" if of.n_cores else None,
        f"threads {ceilings.n_threads}",
        f"llama.cpp {of.llama_cpp_version}" if of.llama_cpp_version else None,
    ]
    facts = [fact for fact in facts if fact]
    when = f"{source}: {ceilings.measured_at}, {ceilings.seconds:.1f} s"
    return [printable(line, glyphs) for line in (glyphs.dot.join(map(str, facts)), when)]


def _sections(ceilings: Ceilings) -> list[Section]:
    return [_bandwidth(ceilings), _arithmetic(ceilings)]


def _bandwidth(ceilings: Ceilings) -> Section:
    columns = (
        Column("level"),
        Column("size", number=True),
        Column("cores", number=True),
        Column("measured on", number=True),
        Column("read GB/s", number=True),
        Column("copy GB/s", number=True),
        Column("triad GB/s", number=True),
    )
    rows = [
        (
            row.level,
            _size(row.size_bytes),
            NONE if row.n_sharing is None else str(row.n_sharing),
            _size(row.working_set_bytes),
            rate(row.read_gbps),
            rate(row.copy_gbps),
            rate(row.triad_gbps),
        )
        for row in level_roofs(ceilings)
    ]
    notes = (
        "All threads together; size is that of one cache, cores how many share it.",
        "Bytes of all arrays read or written once; the read of a line before it is",
        "written is not counted.",
    )
    return Section("Bandwidth", columns, rows, notes=notes)


def _arithmetic(ceilings: Ceilings) -> Section:
    most = max((row.n_columns for row in ceilings.arithmetic), default=1)
    columns = (
        Column("type"),
        Column("1 column", number=True),
        Column("by"),
        Column("FLOP/B", number=True),
        Column(f"{most} columns", number=True),
        Column("by"),
        Column("FLOP/B", number=True),
    )
    rows = [
        (
            row.type,
            rate(row.gemv_gflops),
            row.gemv_impl or NONE,
            rate(row.gemv_ridge),
            rate(row.gemm_gflops),
            row.gemm_impl or NONE,
            rate(row.gemm_ridge),
        )
        for row in product_roofs(ceilings)
    ]
    notes = (
        "GFLOP/s of ggml's matrix products with a matrix in L2, and the FLOP for each",
        "byte from memory above which the product, not the memory, is the limit.",
        f"An op with nothing to do takes {ceilings.op_ns:.0f} ns.",
    )
    return Section("Arithmetic", columns, rows, notes=notes)


def _aligned(section: Section, line: str) -> list[str]:
    """A table whose columns stand two blanks apart, numbers right."""
    titles = tuple(column.title for column in section.columns)
    table = [titles, *section.rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(titles))]

    def text(row: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(width) if column.number else cell.ljust(width)
            for cell, width, column in zip(row, widths, section.columns, strict=True)
        )

    rule = line * (sum(widths) + 2 * (len(widths) - 1))
    return [text(titles), rule, *map(text, section.rows)]


def _warnings(ceilings: Ceilings, glyphs: Glyphs) -> list[str]:
    lines = [printable(f"warning: {text}", glyphs) for text in ceilings.warnings]
    if lines:
        lines.append("note: measure again on a quiet machine with `slmprof roofline --refresh`")
    return lines


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return NONE
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.4g} {unit}"
    return f"{size_bytes / 2**10:.4g} KiB"


def _escaped(text: str) -> str:
    for sign in "\\|*_`<>[]":
        text = text.replace(sign, f"\\{sign}")
    return text
