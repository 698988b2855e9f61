"""The tables that only the page of a dossier has."""

from __future__ import annotations

import math

from ....profiles.vocabulary import PHASES
from ....studies.dossier import Dossier, DossierModel
from ....studies.figures import nearest
from ....studies.weights import role_changes, role_times, weight_changes
from ..parts import Column, Note, Section, Table

_PREFILL, _DECODE = PHASES
_NAME_WIDTH = 20
_MOST_KERNELS = 6


def contents(dossier: Dossier) -> Section:
    """Types of each model, by tensors and bytes."""
    rows = []
    for one in dossier.models:
        if one.plan is None:
            continue
        types: dict[str, list[int]] = {}
        for tensor in one.plan.tensors:
            own = types.setdefault(tensor.type, [0, 0])
            own[0] += 1
            own[1] += tensor.size_bytes
        total = one.plan.size_bytes
        for name, (n, size) in sorted(types.items(), key=lambda item: -item[1][1]):
            rows.append((one.name, name, n, size, size / total if total else None))
    columns = (
        Column("model", most=_NAME_WIDTH),
        Column("type", most=_NAME_WIDTH),
        Column("tensors", "count"),
        Column("MiB", "mib"),
        Column("share", "share"),
    )
    return Section("What each holds", (Table(columns, rows),))


def kernels(dossier: Dossier) -> Section:
    """The costliest kernels of each model, with what they reach."""
    rows = []
    for one in dossier.models:
        if one.profile is None:
            continue
        table = one.profile.kernels()
        for phase in (_DECODE, _PREFILL):
            own = table[(table["phase"] == phase) & table["time_ms"].notna()]
            own = own.sort_values("time_ms", ascending=False).head(_MOST_KERNELS)
            for row in own.to_dict("records"):
                rows.append(
                    (phase, one.name, row["kernel"], row["impl"], row["time_ms"], *(
                        _known(row[name]) for name in ("share", "gbps", "ceiling_share", "bound")
                    ))
                )  # fmt: skip
    rows.sort(key=lambda row: row[0] != _DECODE)
    columns = (
        Column("phase"),
        Column("model", most=_NAME_WIDTH),
        Column("kernel"),
        Column("code"),
        Column("ms", "ms"),
        Column("share", "share"),
        Column("GB/s", "rate"),
        Column("of the ceiling", "share"),
        Column("bound"),
    )
    note = Note(
        "Milliseconds of a token of decode, and of the prompt of prefill, with the bytes that they "
        "move and their share of what this machine reaches at best."
    )
    return Section("Kernels", (Table(columns, rows), note))


def roles(dossier: Dossier) -> Section:
    """What the weights of each role take of a token, model by model."""
    shown = [one for one in dossier.models if one.profile is not None]
    times = [role_times(one.profile) for one in shown if one.profile is not None]
    roles = dict.fromkeys(role for of in times for role in of)
    columns = [Column("weights", most=_NAME_WIDTH)]
    for one in shown:
        columns += [Column(f"{one.name} ms", "ms"), Column("GB/s", "rate")]
    rows = []
    for role in roles:
        found = [of.get(role) for of in times]
        cells = [(one.ms, one.gbps) if one is not None else (None, None) for one in found]
        rows.append((role, *(cell for pair in cells for cell in pair)))
    note = Note("Milliseconds of a token that the ops take that read these weights.")
    return Section("Where a token's time goes", (Table(tuple(columns), rows), note))


def _known(value: object) -> object:
    return None if value is None or value != value or str(value) == "<NA>" else value


def gains(dossier: Dossier) -> Section:
    """Against the neighbour that is nearest in bits per weight."""
    own, *others = dossier.figures
    beside = nearest(own, others[:-1])
    other = next((one for one in dossier.neighbours if beside and one.name == beside.name), None)
    if other is None or other.plan is None or dossier.subject.plan is None:
        return Section(None, ())
    changes_ = weight_changes(
        (dossier.subject.plan, dossier.subject.quality), (other.plan, other.quality)
    )
    roles = role_changes(changes_)
    rows = [
        (one.role, one.n_weights, one.type, one.other_type, one.extra_bytes, _signed(one.gain_db))
        for one in roles
    ]
    columns = (
        Column("weights", most=_NAME_WIDTH),
        Column("n", "count"),
        Column("type", most=_NAME_WIDTH),
        Column(f"in {other.name}", key="other"),
        Column("MiB", "mib_change"),
        Column("SNR, dB"),
    )
    note = Note(
        f"Differences from {other.name}, which is nearest in bits per weight: bytes, and the "
        "signal-to-noise ratio of the values (higher is better)."
    )
    title = f"Which weights gain and lose against {other.name}"
    return Section(title, (Table(columns, rows), note))


def _signed(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1f}"


def layers(dossier: Dossier) -> Section:
    """The deviation of each layer, model by model."""
    shown: list[DossierModel] = [one for one in dossier.models if one.quality.layers]
    if not shown:
        return Section(None, ())
    layers = [one.layer for one in shown[0].quality.layers]
    errors = [{one.layer: one.relative_error for one in model.quality.layers} for model in shown]
    rows = [(layer, *(_percent_of(of.get(layer)) for of in errors)) for layer in layers]
    columns = (Column("layer", "plain"), *(Column(one.name) for one in shown))
    note = Note("Length of the difference of a layer's output over that of the reference's.")
    return Section("How far each layer is off", (Table(columns, rows), note), is_folded=True)


def _percent_of(value: float | None) -> str | None:
    return None if value is None or math.isnan(value) else f"{100 * value:.3g} %"
