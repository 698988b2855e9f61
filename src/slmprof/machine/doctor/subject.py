"""What is examined: this process's view of the machine, and what child processes found out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...profiles.records.load import Load
from ...system.control_group import CONTROL_GROUPS
from ...system.cores import usable_cpus
from ...system.files import PROC, read
from ..energy.find import sysfs_folder
from .answers import BuildFacts, Failure, GpuFacts


@dataclass(frozen=True)
class Subject:
    """What probes look at.

    Attributes:
        proc, sysfs: where `/proc` and `/sys` are; the host's `/sys` in a container that has it.
        control_groups: where this process's own are mounted.
        variables: the environment's.
        cpus: the numbers of the CPUs that this process may use.
        build: what the native module says of itself, or why it says nothing.
        gpus: what NVIDIA's driver says, or why it says nothing; None where it was not asked.
        load: what others took of the CPUs while the children worked; None where it is not told.
    """

    build: BuildFacts | Failure
    proc: Path = PROC
    sysfs: Path = field(default_factory=sysfs_folder)
    control_groups: Path = CONTROL_GROUPS
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    cpus: frozenset[int] = field(default_factory=usable_cpus)
    gpus: GpuFacts | Failure | None = None
    load: Load | None = None

    @property
    def facts(self) -> BuildFacts | None:
        """What the native module says of itself; None where it cannot be used."""
        return self.build if isinstance(self.build, BuildFacts) else None

    @property
    def cpu_folder(self) -> Path:
        """Where Linux describes the CPUs."""
        return self.sysfs / "devices/system/cpu"

    def in_proc(self, name: str) -> str:
        """A file of `/proc`, without blanks around it; empty where there is none."""
        return read(str(self.proc / name)).strip()

    def in_sysfs(self, name: str) -> str:
        """A file of `/sys`, likewise."""
        return read(str(self.sysfs / name)).strip()

    def is_built_with(self, feature: str) -> bool:
        """Whether the build has a feature, by its name in `build_info`."""
        return self.facts is not None and bool(self.facts.build.get(feature))
