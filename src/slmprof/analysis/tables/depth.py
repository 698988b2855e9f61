"""What a token costs as the context grows: a table by depth, and a line fitted through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ...errors import UsageError
from ...profiles.vocabulary import PHASES
from ..timing.phases import PhaseSummary, op_steps
from .derived import Derived
from .grouping import sum_by
from .typed import typed_table

# What a table by depth can be divided by, and the columns that name a row of it.
_KEYS = {"block": ["block"], "part": ["block", "part"], "kernel": ["kernel"]}
_MEASURES = ("time_ms", "time_per_token_ms", "share", "latency_ms", "tokens_per_s", "is_fitted")
_SUMMED = {"time_ms": "float64", "share": "float64", "n_depth": "int64"}
_STEPS: dict[str, str] = {
    "phase": "object", "n_depth": "int64", "n_past": "float64", "n_tokens": "float64",
    "latency_ms": "float64", "tokens_per_s": "float64", "is_fitted": "bool",
}  # fmt: skip
# Rows of the fits that are no group: all ops together, and the unprofiled step as a whole.
TOTAL = "total"
STEP = "step"
# Blocks with a column of their own in `cost_rows`; what is left is `rest`.
COST_BLOCKS = ("attention", "ffn", "recurrent", "lm_head")
N_CONTEXT_UNIT = 1024
# A depth of whose steps more were disturbed is no point of a line.
MAX_DISTURBED = 0.5


@dataclass(frozen=True)
class LineFit:
    """y = a + b x by ordinary least squares, b for 1024 tokens of context.

    Attributes:
        n_depths: how many points the line rests on.
        a_ms, b_ms_per_1024: the line.
        a_se_ms, b_se_ms_per_1024: standard errors of the two, from the residuals.
        rms_error_ms: root of the mean squared residual.
        max_error_share: the largest residual over what was measured there.
        r2: share of the variance that the line explains; near 0 also for a cost that is constant.

    The errors are None with fewer than three points, which leave no residual to speak of.
    """

    n_depths: int
    a_ms: float
    a_se_ms: float | None
    b_ms_per_1024: float
    b_se_ms_per_1024: float | None
    rms_error_ms: float | None
    max_error_share: float | None
    r2: float | None


@dataclass(frozen=True, eq=False)
class DepthSlice:
    """One depth: its phases, and the rows of `block_table` of its ops."""

    n_depth: int
    phases: tuple[PhaseSummary, ...]
    blocks: pd.DataFrame


@dataclass(frozen=True, eq=False)
class DepthReport:
    """Everything that a report says about depth: each depth, `depth_table`, `fit_depths`, and
    `cost_rows`."""

    slices: tuple[DepthSlice, ...]
    costs: pd.DataFrame
    fits: pd.DataFrame
    cost_rows: pd.DataFrame

    @property
    def n_depths(self) -> tuple[int, ...]:
        """The depths, smallest first."""
        return tuple(part.n_depth for part in self.slices)


def report_depths(profile: Derived, phase: str | None = None) -> DepthReport:
    """The report on all depths of a profile, of one phase or of both."""
    slices = []
    for depth in profile.depths:
        part = profile.at_depth(depth)
        blocks = sum_by(part.op_rows, ["block"], ["time_ms", "share"])
        if phase is not None:
            blocks = blocks[blocks["phase"] == phase].reset_index(drop=True)
        phases = tuple(s for s in part.phase_summaries if phase in (None, s.phase))
        slices.append(DepthSlice(depth, phases, blocks))
    costs = depth_table(profile)
    if phase is not None:
        costs = costs[costs["phase"] == phase].reset_index(drop=True)
    return DepthReport(tuple(slices), costs, fit_depths(costs), cost_rows(costs))


def depth_table(profile: Derived, by: str = "block") -> pd.DataFrame:
    """What a step and a token cost at each depth, one row for each phase, depth and group.

    Args:
        by: `block`, `part` (of a block) or `kernel`.

    Returns:
        Columns phase, n_depth, n_past, the group's name (`block`; `block` and `part`; `kernel`),
        time_ms (per step), time_per_token_ms, share (of the op time of phase and depth), and, equal
        in all rows of a phase and depth, latency_ms (median of a step, unprofiled) and
        tokens_per_s, and is_fitted: whether enough undisturbed steps are behind it. `n_past` is the
        mean number of tokens that stood in the context before a step:
        `n_depth` for prefill; decode advances while it is measured. A group that does not run at a
        depth has a time of 0 there. Smallest depth first, then largest time.

    Raises:
        UsageError: `by` is none of these.
    """
    keys = _keys(by)
    steps: list[dict[str, Any]] = []
    found = [typed_table([], {"phase": "object", **dict.fromkeys(keys, "object"), **_SUMMED})]
    for depth in profile.depths:
        part = profile.at_depth(depth)
        steps += _steps(part, depth)
        found.append(sum_by(part.op_rows, keys, ["time_ms", "share"]).assign(n_depth=depth))
    groups = pd.concat(found, ignore_index=True)
    # Each group at every depth of its phase.
    names = groups[["phase", *keys]].drop_duplicates()
    table = (
        typed_table(steps, _STEPS)
        .merge(names, on="phase")
        .merge(groups, "left", on=["phase", "n_depth", *keys])
    )
    # A group that does not run at a depth; shares that are withheld stay unknown.
    absent = table["time_ms"].isna()
    times = table[["time_ms", "share"]].astype("float64").mask(absent, 0.0)
    per_token = times["time_ms"] / table["n_tokens"].where(table["n_tokens"] > 0)
    table = table.assign(**times, time_per_token_ms=per_token)
    # As everywhere: prefill first, which is the reverse of the alphabet.
    ordered: pd.DataFrame = table.sort_values(
        ["phase", "n_depth", "time_ms"], ascending=[False, True, False], kind="stable"
    )[["phase", "n_depth", "n_past", *keys, *_MEASURES]].reset_index(drop=True)
    return ordered


def fit_depths(costs: pd.DataFrame, by: str = "block") -> pd.DataFrame:
    """A line through the rows of `depth_table` for each phase and group.

    Time of a token = a + b x n_past, by ordinary least squares over the depths that are fitted (see
    `depth_table`). Rows that are no
    group follow in each phase: `total`, the time of all ops (the lines of the groups add up to it),
    and `step`, the unprofiled latency with all that the host does.

    Returns:
        Columns phase, the group's name, and those of `LineFit`; no rows with fewer than two depths.
    """
    keys = _keys(by)
    records: list[dict[str, Any]] = []
    for phase in PHASES:
        rows = costs[(costs["phase"] == phase) & costs["is_fitted"]]
        for names, x, y in _curves(rows, keys):
            fit = fit_line(x, y)
            if fit is not None:
                group = dict(zip(keys, names, strict=True))
                records.append({"phase": phase, **group, **asdict(fit)})
    dtypes = {"phase": "object", **dict.fromkeys(keys, "object")}
    for name in LineFit.__dataclass_fields__:
        dtypes[name] = "int64" if name == "n_depths" else "float64"
    return typed_table(records, dtypes)


def fit_line(n_past: npt.ArrayLike, time_ms: npt.ArrayLike) -> LineFit | None:
    """Fits a + b x by ordinary least squares.

    Args:
        n_past: tokens in the context, one number a point.
        time_ms: what was measured there.

    Returns:
        None where fewer than two points differ in `n_past`, or a number is missing.
    """
    x = np.asarray(n_past, np.float64) / N_CONTEXT_UNIT
    y = np.asarray(time_ms, np.float64)
    if x.size < 2 or not np.all(np.isfinite(y)):
        return None
    n = int(x.size)
    mean_x, mean_y = x.mean(), y.mean()
    sum_xx = float(((x - mean_x) ** 2).sum())
    if sum_xx <= 0:
        return None
    b = float(((x - mean_x) * (y - mean_y)).sum() / sum_xx)
    a = float(mean_y - b * mean_x)
    if n < 3:
        return LineFit(n, a, None, b, None, None, None, None)
    residuals = y - (a + b * x)
    sum_rr = float((residuals**2).sum())
    sum_yy = float(((y - mean_y) ** 2).sum())
    variance = sum_rr / (n - 2)
    measured = y > 0
    return LineFit(
        n_depths=n,
        a_ms=a,
        a_se_ms=float(np.sqrt(variance * (1 / n + mean_x**2 / sum_xx))),
        b_ms_per_1024=b,
        b_se_ms_per_1024=float(np.sqrt(variance / sum_xx)),
        rms_error_ms=float(np.sqrt(sum_rr / n)),
        max_error_share=(
            float(np.max(np.abs(residuals[measured]) / y[measured])) if measured.any() else None
        ),
        r2=1 - sum_rr / sum_yy if sum_yy > 0 else None,
    )


def cost_rows(costs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `depth_table` by block side by side, one row a phase and depth.

    Columns phase, n_depth, n_past, then milliseconds per token: `attention_ms`, `ffn_ms`,
    `recurrent_ms`, `lm_head_ms`, `rest_ms`, `total_ms` (all ops); and `latency_ms`, `tokens_per_s`.
    """
    rows: list[dict[str, Any]] = []
    for _, group in costs.groupby(["phase", "n_depth"], sort=False):
        time = group.groupby("block")["time_per_token_ms"].sum()
        rows.append(
            {
                **group.iloc[0],
                **{f"{block}_ms": float(time.get(block, 0.0)) for block in COST_BLOCKS},
                "rest_ms": float(time.drop(list(COST_BLOCKS), errors="ignore").sum()),
                "total_ms": float(time.sum()),
            }
        )
    names = ["phase", "n_depth", "n_past", *(f"{block}_ms" for block in COST_BLOCKS)]
    names += ["rest_ms", "total_ms", "latency_ms", "tokens_per_s"]
    table: pd.DataFrame = pd.DataFrame(rows, columns=names)
    return table


def _keys(by: str) -> list[str]:
    if by not in _KEYS:
        raise UsageError(f"there are no costs by {by!r}; choose one of {', '.join(_KEYS)}")
    return _KEYS[by]


def _steps(profile: Derived, depth: int) -> list[dict[str, Any]]:
    """What holds for all groups of a phase at one depth; `profile` holds nothing of another."""
    rows = []
    for summary in profile.phase_summaries:
        chosen = op_steps(profile.data, PHASES.index(summary.phase))
        if chosen.any():
            rows.append(
                {
                    "phase": summary.phase,
                    "n_depth": depth,
                    "n_past": float(profile.data.steps.n_past[chosen].mean()),
                    "n_tokens": float(profile.data.steps.n_tokens[chosen].mean()),
                    "latency_ms": summary.latency_ms.median if summary.latency_ms else None,
                    "tokens_per_s": summary.tokens_per_s,
                    "is_fitted": not summary.withholds_shares
                    and summary.n_disturbed <= MAX_DISTURBED * summary.n_profiled_samples,
                }
            )
    return rows


_Curve = tuple[tuple[str, ...], npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _curves(rows: pd.DataFrame, keys: Sequence[str]) -> Iterator[_Curve]:
    """Names, n_past and milliseconds per token of each group of a phase, then of the two wholes."""
    if rows.empty:
        return
    # The most expensive at the largest depth first: what matters when the context is long.
    deepest = rows[rows["n_depth"] == rows["n_depth"].max()]
    blank = ("",) * (len(keys) - 1)
    for name in deepest[list(keys)].itertuples(index=False):
        chosen = rows
        for key, value in zip(keys, name, strict=True):
            chosen = chosen[chosen[key] == value]
        yield tuple(name), _floats(chosen["n_past"]), _floats(chosen["time_per_token_ms"])
    by_depth = rows.groupby("n_depth", sort=True)
    n_past = _floats(by_depth["n_past"].first())
    yield (TOTAL, *blank), n_past, _floats(by_depth["time_per_token_ms"].sum())
    yield (STEP, *blank), n_past, 1e3 / _floats(by_depth["tokens_per_s"].first())


def _floats(values: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return values.to_numpy(np.float64)
