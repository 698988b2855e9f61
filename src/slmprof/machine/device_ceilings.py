"""The ceilings of a CUDA device: measured in a child process, kept in the cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..children.protocol import OnProgress
from ..children.question import asked
from ..errors import EngineError, ProfileFormatError, SlmprofError, UsageError
from ..models.cache import cache_folder, close_to_others, is_trusted, own_folder
from ..profiles.records.device_ceilings import (
    DeviceCeilings,
    DeviceFingerprint,
    read_device_ceilings,
    write_device_ceilings,
)
from ..settings.devices import cuda_index
from ..system.files import read

# Raised when the same device would be measured differently, so that no older file is used.
METHOD_VERSION = 1

_WORKER = "slmprof.machine.device_ceilings_worker"
_DRIVER = "/proc/driver/nvidia/version"
_RELEASE = re.compile(r"\b\d{2,4}\.\d+(?:\.\d+)?\b", re.ASCII)


def device_ceilings(
    device: str, *, refresh: bool = False, on_progress: OnProgress | None = None
) -> DeviceCeilings:
    """The ceilings of a device, measured (some seconds) where the cache has none, and kept there.

    Args:
        device: its name, `cuda:0` or ggml's `CUDA0`.
        refresh: measure them in any case.
        on_progress: called with a Progress as a measurement goes on.

    Raises:
        UsageError: it is no CUDA device, the build has no CUDA, or there is no such device.
        EngineError: CUDA refused.
    """
    here = fingerprint(device)
    found = None if refresh else find_device_ceilings(device, here)
    if found is not None:
        return found
    measured = measure_device_ceilings(device, on_progress)
    keep_device_ceilings(measured)
    return measured


def device_ceilings_of_run(
    asked_for: str, devices: Iterable[str], on_progress: OnProgress | None = None
) -> tuple[tuple[DeviceCeilings, ...], list[str]]:
    """The ceilings of the CUDA devices that a run uses, and why some are missing, in one sentence
    each. Other devices have none.

    Args:
        asked_for: the setting `ceilings`; `off` for none. A file of it is the CPU's.
    """
    found, doubts = [], []
    for device in devices if asked_for != "off" else ():
        if cuda_index(device) is None:
            continue
        try:
            found.append(device_ceilings(device, on_progress=on_progress))
        except SlmprofError as error:
            # Nobody asked for them by name: the capture goes on without.
            doubts.append(f"the ceilings of {device} could not be measured: {error}")
    return tuple(found), doubts


def known_device_ceilings(devices: Iterable[str]) -> tuple[DeviceCeilings, ...]:
    """The ceilings that the cache folder has for the CUDA devices among some."""
    found = []
    for device in devices:
        if cuda_index(device) is not None:
            with contextlib.suppress(SlmprofError):
                found.append(find_device_ceilings(device, fingerprint(device)))
    return tuple(one for one in found if one is not None)


def find_device_ceilings(device: str, here: DeviceFingerprint) -> DeviceCeilings | None:
    """The ceilings that the cache folder has for a device of this fingerprint.

    A file that is damaged, of another format or possibly another user's is as good as none: it will
    be replaced.
    """
    try:
        path = cache_path(here)
        if not is_trusted(path):
            return None
        found = read_device_ceilings(path)
    except (UsageError, ProfileFormatError):
        return None
    # Cards that are alike have ceilings that are alike.
    return found.replace(device=_native(device)) if found.fingerprint == here else None


def load_device_ceilings(path: str | os.PathLike[str], device: str) -> DeviceCeilings:
    """The ceilings of a file, if they hold for this device.

    Raises:
        UsageError: the file cannot be read, or its ceilings are of another card, driver or build.
        ProfileFormatError: it holds no device's ceilings.
    """
    found, here = read_device_ceilings(path), fingerprint(device)
    there, now = found.fingerprint.to_json(), here.to_json()
    different = [key for key in now if now[key] != there.get(key)]
    if different or found.fingerprint != here:
        keys = ", ".join(different) or "what this device does not tell"
        raise UsageError(
            f"the ceilings in {os.fspath(path)} are of another card, driver or build: they differ "
            f"in {keys}; measure this one's with `slmprof roofline --device {device}`"
        )
    return found.replace(device=_native(device))


def keep_device_ceilings(measured: DeviceCeilings) -> Path | None:
    """Writes ceilings into the cache folder; None where that cannot be written."""
    try:
        path = cache_path(measured.fingerprint)
        own_folder()
        write_device_ceilings(measured, path)
        close_to_others(path)
    except (OSError, UsageError):
        return None
    return path


def cache_path(of: DeviceFingerprint) -> Path:
    """Where the ceilings of a device with this fingerprint are kept."""
    content = json.dumps(of.to_json(), sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:12]
    return cache_folder() / f"ceilings-{digest}-device.json"


def fingerprint(device: str) -> DeviceFingerprint:
    """What the ceilings of a device depend on: the card, its driver and this build.

    Raises:
        UsageError: it is no CUDA device, the build has no CUDA, or there is no such device.
        EngineError: CUDA refused.
    """
    from .. import _core

    index = _index(device)
    if not _core.build_info().get("cuda"):
        raise UsageError(
            f"{device} has no ceilings here: this build has no CUDA "
            "(build with -C cmake.define.GGML_CUDA=ON)"
        )
    try:
        identity = _core.describe_device(index)
    except ValueError as error:
        raise UsageError(str(error)) from None
    except RuntimeError as error:
        raise EngineError(str(error)) from None
    return fingerprint_of(identity)


def fingerprint_of(identity: Any) -> DeviceFingerprint:
    """The fingerprint of a device that describes itself so (`_core.DeviceIdentity`)."""
    values = {name: value for name, value in identity.items() if name != "nominal_gbps"}
    return DeviceFingerprint(**values, driver=driver_release(), method_version=METHOD_VERSION)


def driver_release(source: str = _DRIVER) -> str | None:
    """The release of NVIDIA's driver, `580.65.06`; None where the system does not tell."""
    found = _RELEASE.search(read(source))
    return found[0] if found else None


def measure_device_ceilings(
    device: str, on_progress: OnProgress | None = None, *, timeout: float | None = None
) -> DeviceCeilings:
    """Measures in a child process, whose memory on the device goes when it ends.

    Args:
        timeout: seconds that it may take; without it any time.

    Raises:
        UsageError: it is no CUDA device; EngineError: CUDA refused, the process died, or the time
            was over.
    """
    question = {"index": _index(device), "device": _native(device)}
    what = "measures the ceilings of a device"
    with asked(_WORKER, question, what, "measuring ", timeout, has_files=False) as answer:
        return DeviceCeilings.from_json(answer.wait(on_progress))


def _index(device: str) -> int:
    if "," in device:
        raise UsageError(f"{device[:60]} are several devices: name one, whose ceilings are meant")
    index = cuda_index(device)
    if index is None:
        raise UsageError(
            f"there are no ceilings of {device[:60]}: only those of this machine's CPU and of its "
            "CUDA devices (cuda:N) can be measured"
        )
    return index


def _native(device: str) -> str:
    return f"CUDA{_index(device)}"
