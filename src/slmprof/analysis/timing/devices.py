"""Lanes of a run that are no threads of the CPU, and what that means for its figures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...profiles.data import ProfileData
from ...profiles.vocabulary import CPU_THREAD, GPU, OPAQUE_DEVICE, PASS_OP, PASS_SPLIT

Flags = npt.NDArray[np.bool_]


def lanes_of_kind(profile: ProfileData, kind: str) -> Flags:
    """bool[n_lanes]: the lanes of a kind of `vocabulary`."""
    return np.array([profile.text(number) == kind for number in profile.lanes.kind.tolist()], bool)


def serialized_devices(profile: ProfileData) -> tuple[str, ...]:
    """ggml's names of the devices that ran their ops one by one in the op passes, because their
    backends tell nothing of ops."""
    lanes = np.flatnonzero(lanes_of_kind(profile, OPAQUE_DEVICE)).tolist()
    return tuple(dict.fromkeys(profile.text(int(profile.lanes.device[lane])) for lane in lanes))


def traced(profile: ProfileData) -> bool:
    """Whether the kernels of a device were recorded."""
    return bool(np.any(lanes_of_kind(profile, GPU)))


def devices(profile: ProfileData) -> tuple[str, ...]:
    """ggml's names of the devices that splits of the profile's graphs ran on."""
    ran = profile.splits.device[np.unique(profile.runs.split)].tolist()
    return tuple(dict.fromkeys(profile.text(device) for device in ran))


def as_run_pass(profile: ProfileData) -> int:
    """The recorded passes in which the run was as it is unobserved."""
    if traced(profile) and not serialized_devices(profile):
        return PASS_OP  # a split pass tells what it costs to record replays as a whole
    return PASS_SPLIT if np.any(profile.steps.pass_ == PASS_SPLIT) else PASS_OP


def on_cpu(profile: ProfileData) -> Flags:
    """bool[n_runs]: the runs on threads of the CPU."""
    found: Flags = lanes_of_kind(profile, CPU_THREAD)[profile.runs.lane]
    return found
