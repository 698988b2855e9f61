"""The points of a sweep side by side, under names that tell their models apart."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any

import pandas as pd

from ...profiles.records.fallbacks import Fallbacks
from ...profiles.records.meta import Meta
from ...profiles.vocabulary import PHASES
from ...settings.resolved import ResolvedConfig
from ...settings.table import NEVER, table
from ..tables.depth import COST_BLOCKS, DepthReport, report_depths
from ..tables.derived import Derived
from ..tables.typed import typed_table
from ..timing.devices import serialized_devices
from ..timing.samples import LatencySamples, latency_samples
from .caveats import caveats
from .fallbacks import quantizer_name
from .tensor_types import profile_fallbacks

# What two points can differ in. Depths do not count: each has rows of its own.
SETTINGS: tuple[str, ...] = tuple(
    name
    for name, setting in table(ResolvedConfig).items()
    if setting.tells_apart != NEVER and name != "n_depth"
)
# What a model is built like.
DIMENSIONS = ("n_layer", "n_embd", "n_ff", "n_head", "n_head_kv", "n_vocab")
_SIZES = (*DIMENSIONS, "n_params", "size_bytes")
_COSTS = tuple(f"{name}_ms" for name in (*COST_BLOCKS, "rest", "total"))
_MEASURED = ("latency_ms", "mad_ms", "tokens_per_s", "overhead_ratio", *_COSTS)


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """One profile of a sweep, without its events.

    Attributes:
        file: name of the profile's file.
        depths: its phases and blocks at each depth, and the lines through them.
        caveats: one sentence for each doubt.
        samples: (phase, depth) -> what its latency is estimated from.
        fallbacks: weights in another type than the file type asks for.
        serialized: the devices that ran ops one by one for the times of blocks.
        name: of the model; `in_order` exchanges it where another model of the sweep is called so.
    """

    file: str
    meta: Meta
    depths: DepthReport
    caveats: tuple[str, ...]
    samples: Mapping[tuple[str, int], LatencySamples]
    name: str
    fallbacks: Fallbacks | None = None
    serialized: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where the model came from, as it was written."""
        sweep = self.meta.run.sweep
        asked = sweep.settings.get("model") if sweep else None
        return asked if isinstance(asked, str) else self.meta.model.path or self.file

    @property
    def design(self) -> str:
        """What is the same for two points of one model."""
        sweep = self.meta.run.sweep
        return (sweep.model.dimensions if sweep else None) or self.source

    @property
    def dimensions(self) -> dict[str, Any]:
        """Dimensions, parameters, bytes and bits per weight; None where they are not known."""
        model = self.meta.model
        values = {name: getattr(model, name) for name in _SIZES}
        known = {n: value if isinstance(value, int) else None for n, value in values.items()}
        size, n_params = known["size_bytes"], known["n_params"]
        bits = 8 * size / n_params if size is not None and n_params else None
        return {**known, "bits_per_weight": bits}

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as used; None where a profile does not say."""
        values = self.meta.config.to_json()
        return {name: values[name] for name in SETTINGS}


def summarize_point(file: str, profile: Derived) -> SweepPoint:
    """What a sweep shows of one profile."""
    meta = profile.data.meta
    samples = {
        (phase, depth): latency_samples(profile.at_depth(depth).data, number)
        for depth in profile.depths
        for number, phase in enumerate(PHASES)
    }
    name = str(meta.model.name)
    fallbacks = profile_fallbacks(profile.data)
    depths, doubts = report_depths(profile), caveats(profile, shows_shares=False)
    serialized = serialized_devices(profile.data)
    return SweepPoint(file, meta, depths, doubts, samples, name, fallbacks, serialized)


def in_order(points: Iterable[SweepPoint]) -> list[SweepPoint]:
    """The points by model, then by their settings in the order of `SETTINGS`; models of one name
    are called by where they came from."""
    return sorted(
        _named_apart(list(points)),
        key=lambda p: (
            p.name,
            str(p.meta.model.file_type),
            *(_rank(value) for value in p.settings.values()),
            p.file,
        ),
    )


def _named_apart(points: Sequence[SweepPoint]) -> list[SweepPoint]:
    """The points, under names that differ where their models or file types do."""
    types: dict[str, set[str]] = {}
    for point in points:
        types.setdefault(point.name, set()).add(str(point.meta.model.file_type))
    designs: dict[tuple[str, str], dict[str, str]] = {}
    for point in points:
        key = (str(point.meta.model.name), str(point.meta.model.file_type))
        designs.setdefault(key, {}).setdefault(point.design, point.source)
    names: dict[tuple[str, str, str], str] = {}
    for (name, file_type), sources in designs.items():
        if len(sources) > 1:
            for design, ending in zip(sources, _endings(list(sources.values())), strict=True):
                names[name, file_type, design] = ending

    def name_of(point: SweepPoint) -> str:
        model = point.meta.model
        typed = f"{point.name}@{quantizer_name(str(model.file_type))}"
        usual = typed if len(types[point.name]) > 1 else point.name
        return names.get((str(model.name), str(model.file_type), point.design), usual)

    return [replace(point, name=name_of(point)) for point in points]


def _endings(sources: Sequence[str]) -> list[str]:
    """The ends of paths, as long as it takes to tell them apart; numbered where none does."""
    parts = [PurePath(source).parts for source in sources]
    for n in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(path[-n:]) for path in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [f"{source} ({i + 1})" for i, source in enumerate(sources)]


def varying(points: Sequence[SweepPoint]) -> tuple[str, ...]:
    """Columns of `sweep_table` that tell the points apart: model, file_type and settings.

    `file` stands last where they do not suffice.
    """
    labels = [_label(point) for point in points]
    if not labels:
        return ()
    names = [name for name in labels[0] if len({_text(row[name]) for row in labels}) > 1]
    if len({row["model"] for row in labels}) == len({(r["model"], r["file_type"]) for r in labels}):
        # The model's name tells its type as well.
        names = [name for name in names if name != "file_type"]
    if len({_text([row[name] for name in names]) for row in labels}) < len(points):
        names.append("file")
    return tuple(names)


def sweep_table(points: Sequence[SweepPoint]) -> pd.DataFrame:
    """One row for each point, phase and depth.

    Columns file, model, file_type, random_weights, the model's dimensions, size and bits per
    weight, the `SETTINGS` as used, phase, n_depth;
    latency_ms (median of an unprofiled step), mad_ms, tokens_per_s, overhead_ratio; milliseconds of
    ops per token: attention_ms, ffn_ms, recurrent_ms, lm_head_ms, rest_ms, total_ms; and
    rss_peak_bytes of the whole run.
    """
    rows: list[dict[str, Any]] = []
    for point in points:
        costs = {(row["phase"], row["n_depth"]): row for row in _rows(point.depths.cost_rows)}
        for part in point.depths.slices:
            for summary in part.phases:
                latency, over = summary.latency_ms, summary.overhead
                cost = costs.get((summary.phase, part.n_depth), {})
                rows.append(
                    {
                        "file": point.file,
                        **_label(point),
                        "random_weights": point.meta.model.random_weights,
                        **point.dimensions,
                        "phase": summary.phase,
                        "n_depth": part.n_depth,
                        "latency_ms": latency.median if latency else None,
                        "mad_ms": latency.mad if latency else None,
                        "tokens_per_s": summary.tokens_per_s,
                        "overhead_ratio": over.ratio if over else None,
                        **{name: cost.get(name) for name in _COSTS},
                        "rss_peak_bytes": point.meta.memory.rss_peak_bytes,
                    }
                )
    dtypes = {
        **dict.fromkeys(("file", "model", "file_type", "random_weights"), "object"),
        **dict.fromkeys(_SIZES, "Int64"),
        "bits_per_weight": "float64",
        **dict.fromkeys((*SETTINGS, "phase", "n_depth"), "object"),
        **dict.fromkeys(_MEASURED, "float64"),
        "rss_peak_bytes": "Int64",
    }
    return typed_table(rows, dtypes)


def _label(point: SweepPoint) -> dict[str, Any]:
    return {"model": point.name, "file_type": point.meta.model.file_type, **point.settings}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _rank(value: Any) -> tuple[bool, float, str]:
    """Sorts numbers by size and texts by the alphabet, what is missing last."""
    number = float(value) if isinstance(value, (int, float)) else 0.0
    return value is None, number, "" if isinstance(value, (int, float)) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
