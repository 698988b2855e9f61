"""Quality with what each weight costs, in nats and in milliseconds."""

from __future__ import annotations

import os

from ..children.protocol import OnProgress
from ..quantization.quality.process import measure_quality
from ..quantization.quality.records import Quality
from ..settings.model_source import ModelSource
from ..settings.scoring import QualitySettings
from .members import decode_times, profiled, step_notes

_N_PROMPT, _N_GEN, _PROCESSES = 16, 32, 3
_SCHEME = (
    "the model holds the values that {} gives back, as floats: their times are not the scheme's, "
    "and are left out; a dossier models them"
)


def measure_with_costs(
    model: str | os.PathLike[str],
    reference: str | os.PathLike[str] | None,
    text: str | os.PathLike[str],
    settings: QualitySettings,
    *,
    timeout: float | None = None,
    on_progress: OnProgress | None = None,
) -> Quality:
    """As `measure_quality`; where costs are asked for, both models are timed as well, in turns.

    Args:
        timeout: of the measurement of quality, and of each process that times a model.

    Raises:
        As `measure_quality`. CaptureError: a model cannot be timed.
    """
    found = measure_quality(
        model, reference, text, settings, timeout=timeout, on_progress=on_progress
    )
    if not found.costs or reference is None:
        return found
    if found.model.scheme and ModelSource.parse(model).scheme is None:
        return found.replace(notes=(*found.notes, _SCHEME.format(found.model.scheme)))
    asked = {
        "n_prompt": _N_PROMPT, "n_gen": _N_GEN, "processes": _PROCESSES,
        "threads": settings.threads, "force": settings.force, "timeout": timeout,
    }  # fmt: skip
    models = {"the model": os.fspath(model), "the reference": os.fspath(reference)}
    profiles = profiled(models, asked, on_progress or (lambda _: None))
    own, other = map(decode_times, profiles.values())
    return found.replace(
        notes=(*found.notes, *step_notes(profiles)),
        costs=tuple(
            one.replace(ms=own.get(one.tensor), reference_ms=other.get(one.tensor))
            for one in found.costs
        ),
    )
