"""The report of a machine's ceilings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ...analysis.work.roofs import (
    InstructionSetRoof,
    instruction_set_roofs,
    level_roofs,
    product_roofs,
    roof_scaling,
)
from ...profiles.records.ceilings import Bandwidth, Ceilings
from .parts import Caveat, Column, Document, Headline, Note, Part, Rows, Section, Table, notes, said
from .quantities import rate

_COLUMNS = (
    "kind", "name", "operation", "n_columns", "impl", "working_set_bytes", "value", "unit",
    "n_threads", "cpu", "measured_at", "warnings",
)  # fmt: skip


def ceilings_document(
    ceilings: Ceilings, source: str, *, by_isa: bool = False, single: Ceilings | None = None
) -> Document:
    """The report of ceilings.

    Args:
        source: where the figures come from, as words.
        by_isa: whether to show what instruction sets would change, in place of the ceilings.
        single: those of one thread, to show what more give, in place of the ceilings.
    """
    return Document(
        lambda: _parts(ceilings, source, by_isa, single),
        lambda: _data(ceilings, source, single),
        lambda: Rows(_COLUMNS, _figures(ceilings)),
    )


def _data(ceilings: Ceilings, source: str, single: Ceilings | None) -> dict[str, Any]:
    """The object that a file of ceilings holds, with `source` and the rows of the tables."""
    scaling = [asdict(row) for row in roof_scaling(ceilings, single)] if single else None
    return {
        **({"scaling": scaling} if scaling is not None else {}),
        **ceilings.to_json(),
        "source": source,
        "levels": [asdict(row) for row in level_roofs(ceilings)],
        "products": [asdict(row) for row in product_roofs(ceilings)],
        "instruction_sets": [
            {**asdict(row), "is_modelled": True} for row in instruction_set_roofs(ceilings)
        ],
    }


def bandwidth_figures(
    bandwidth: Iterable[Bandwidth], always: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """One row for each; `always` stands in all rows of a table."""
    for level in bandwidth:
        yield {
            "kind": "bandwidth", "name": level.level, "operation": level.operation,
            "working_set_bytes": level.working_set_bytes, "value": level.gbps, "unit": "GB/s",
            **always,
        }  # fmt: skip


def _figures(ceilings: Ceilings) -> Iterator[dict[str, Any]]:
    """One row for each figure, with its unit; kinds are bandwidth, arithmetic, instruction, op."""
    always = {
        "n_threads": ceilings.n_threads,
        "cpu": ceilings.fingerprint.cpu,
        "measured_at": ceilings.measured_at,
        "warnings": "; ".join(ceilings.warnings),
    }
    yield from bandwidth_figures(ceilings.bandwidth, always)
    for row in ceilings.arithmetic:
        yield {
            "kind": "arithmetic", "name": row.type, "n_columns": row.n_columns, "impl": row.impl,
            "value": row.gflops, "unit": "GFLOP/s", **always,
        }  # fmt: skip
    for one in ceilings.instructions:
        if one.gflops is not None:
            yield {
                "kind": "instruction", "name": one.type, "operation": one.name, "impl": one.isa,
                "value": one.gflops, "unit": "GFLOP/s", **always,
            }  # fmt: skip
    yield {"kind": "op", "value": ceilings.op_ns, "unit": "ns", **always}


def _parts(ceilings: Ceilings, source: str, by_isa: bool, single: Ceilings | None) -> list[Part]:
    of = ceilings.fingerprint
    facts = [
        of.cpu,
        f"cores {of.n_cores}" if of.n_cores else None,
        f"threads {ceilings.n_threads}",
        f"llama.cpp {of.llama_cpp_version}" if of.llama_cpp_version else None,
    ]
    about = ("Ceilings", *(str(fact) for fact in facts if fact))
    when = f"{source}: {ceilings.measured_at}, {ceilings.seconds:.1f} s"
    caveats: list[Part] = [Caveat(text) for text in ceilings.warnings]
    if caveats:
        again = "measure again on a quiet machine with `slmprof roofline --refresh`"
        caveats.append(Caveat(again, "note"))
    shown = [_instruction_sets(ceilings)] if by_isa else []
    shown += [_scaling(ceilings, single)] if single is not None else []
    if not shown:
        shown = said([_bandwidth(ceilings), _arithmetic(ceilings), _instructions(ceilings)])
    return [Headline((about, (when,))), *shown, *caveats]


def _bandwidth(ceilings: Ceilings) -> Section:
    columns = (
        Column("level"), Column("size", "size", "size_bytes"),
        Column("cores", "plain", "n_sharing"), Column("measured on", "size", "working_set_bytes"),
        Column("read GB/s", "rate", "read_gbps"), Column("copy GB/s", "rate", "copy_gbps"),
        Column("triad GB/s", "rate", "triad_gbps"),
    )  # fmt: skip
    table = Table.of(columns, level_roofs(ceilings))
    text = (
        "All threads together; size is that of one cache, cores how many share it. "
        "Bytes of all arrays read or written once; write-allocate traffic is not counted."
    )
    return Section("Bandwidth", (table, *notes(text)))


def _arithmetic(ceilings: Ceilings) -> Section:
    most = max((row.n_columns for row in ceilings.arithmetic), default=1)
    columns = (
        Column("type"), Column("1 column", "rate", "gemv_gflops"), Column("by", key="gemv_impl"),
        Column("FLOP/B", "rate", "gemv_ridge"), Column(f"{most} columns", "rate", "gemm_gflops"),
        Column("by", key="gemm_impl"), Column("FLOP/B", "rate", "gemm_ridge"),
    )  # fmt: skip
    table = Table.of(columns, product_roofs(ceilings))
    text = (
        "GFLOP/s of ggml's matrix products with a matrix in L2, and the ridge point: the FLOP per "
        "byte from memory above which a product is compute-bound. "
        f"An empty op takes {ceilings.op_ns:.0f} ns."
    )
    return Section("Arithmetic", (table, *notes(text)))


def _instructions(ceilings: Ceilings) -> Section:
    columns = (
        Column("factors", key="type"), Column("instruction", key="name"), Column("set", key="isa"),
        Column("GFLOP/s", "rate", "gflops"), Column("in ggml's kernels", key="used"),
    )  # fmt: skip
    rows = [
        {**row.to_json(), "used": "yes" if row.is_built else "no"}
        for row in ceilings.instructions
        if row.gflops is not None
    ]
    text = (
        "Single instructions on registers: what better code could reach. A multiply-add counts as "
        "2. The fastest that ggml's kernels were compiled for is an op's compute roof; int8 is "
        "that of quantized matrices. --isa says what other sets would change."
    )
    return Section("Instructions", (Table.of(columns, rows), Note(text)) if rows else ())


def _instruction_sets(ceilings: Ceilings) -> Section:
    """What a set changes that the build or the machine has, or lacks."""
    columns = (
        Column("factors", key="type"), Column("set", key="isa"), Column("machine", key="machine"),
        Column("build", key="build"), Column("GFLOP/s", "rate", "gflops"),
        Column("roof", "rate", "roof_gflops"), Column("modelled", key="effect"),
    )  # fmt: skip
    rows = [
        {
            "type": row.type,
            "isa": row.isa,
            "machine": "has it" if row.gflops is not None else "lacks it",
            "build": "uses it" if row.is_built else "does not",
            "gflops": row.gflops,
            "roof_gflops": row.roof_gflops,
            "effect": _effect(row),
        }
        for row in instruction_set_roofs(ceilings)
    ]
    if not rows:
        text = "These ceilings are of an older slmprof, which measured no instructions."
        return Section("Instruction sets", (Note(f"{text} `--refresh` measures them."),))
    text = (
        "GFLOP/s and the compute roof, that of the build's fastest instruction, are measured; what "
        "the roof would be with the set or without it is modelled: no kernel was run. What this "
        "machine lacks cannot be measured here."
    )
    return Section("Instruction sets", (Table.of(columns, rows), Note(text)))


def _scaling(ceilings: Ceilings, single: Ceilings) -> Section:
    """What the threads give beside one: levels, instructions, and products of many columns."""
    columns = (
        Column("kind"), Column("of", key="name"), Column("columns", "plain", "n_columns"),
        Column("1 thread", "rate", "single"),
        Column(f"{ceilings.n_threads} threads", "rate", "value"), Column("speedup", "ratio"),
    )  # fmt: skip
    text = (
        "Bandwidth in GB/s, of reading; instructions (the fastest of the build for these factors) "
        "and ggml's products in GFLOP/s. One thread was measured by itself, maybe at another time."
    )
    return Section("Scaling", (Table.of(columns, roof_scaling(ceilings, single)), Note(text)))


def _effect(row: InstructionSetRoof) -> str:
    if row.gflops is None:
        return "not measurable here"
    other = row.roof_without_gflops if row.is_built else row.roof_with_gflops
    how = "without it" if row.is_built else "with it"
    if other is None:
        return f"none {how}"
    if other == row.roof_gflops:
        return f"the same {how}"
    return f"{other / row.roof_gflops:.2f}x {how}" if row.roof_gflops else f"{rate(other)} {how}"
