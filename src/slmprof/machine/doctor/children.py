"""Child processes are asked, all at once, about what may die or hang."""

from __future__ import annotations

import contextlib
from typing import TypeVar

from ...children.question import Answer, asked
from ...errors import EngineError, SlmprofError
from ...profiles.records.decoding import decode
from .answers import BuildFacts, Failure, GpuFacts
from .worker import BUILD, GPUS

_WORKER = "slmprof.machine.doctor.worker"
_DOING = {BUILD: "loads the native module", GPUS: "asks NVIDIA's driver"}

_Facts = TypeVar("_Facts", BuildFacts, GpuFacts)


def ask(
    timeout: float, *, about_gpus: bool
) -> tuple[BuildFacts | Failure, GpuFacts | Failure | None]:
    """What the native module says of itself, and NVIDIA's driver of the GPUs.

    Args:
        timeout: seconds that either may take.
        about_gpus: whether to ask the driver at all.
    """
    try:
        with contextlib.ExitStack() as running:
            answers = {
                about: running.enter_context(
                    asked(
                        _WORKER,
                        {"about": about},
                        _DOING[about],
                        timeout=timeout,
                        has_files=False,
                        needs_native=False,
                    )
                )
                for about in (BUILD, *((GPUS,) if about_gpus else ()))
            }
            build = _facts(answers[BUILD], BuildFacts)
            return build, _facts(answers[GPUS], GpuFacts) if about_gpus else None
    except EngineError as error:
        failure = Failure(str(error))
        return failure, failure if about_gpus else None


def _facts(answer: Answer, kind: type[_Facts]) -> _Facts | Failure:
    try:
        told = answer.wait()
        if "failure" in told:
            return decode(Failure, told["failure"])
        return decode(kind, told["facts"])
    except SlmprofError as error:
        return Failure(str(error))
