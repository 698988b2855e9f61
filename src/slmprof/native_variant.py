"""Which of a build's native modules runs, where it has one for each kind of processor.

Such a build has a folder `_variants`: in it a folder with one module for each variant of ggml's CPU
code, and a list of them with the flags of the processors that can run them, the best first.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from pathlib import Path

from .errors import UsageError
from .input_file import read_input_text
from .system.processor import processor_flags

VARIABLE = "SLMPROF_CPU_VARIANT"
FOLDER = Path(__file__).with_name("_variants")
_LIST = "list.txt"
_MOST_BYTES = 2**16


@dataclass(frozen=True)
class Variant:
    """ggml's CPU code for one kind of processor.

    Attributes:
        name: as ggml has it: `haswell`.
        flags: what a processor must have, as Linux names it.
    """

    name: str
    flags: tuple[str, ...]

    def lacking(self, flags: Collection[str]) -> list[str]:
        """What it needs and a processor with these flags has not."""
        return [flag for flag in self.flags if flag not in flags]


def variants(folder: Path = FOLDER) -> list[Variant]:
    """Those of this build, the best first; none where it has one module for all."""
    path = folder / _LIST
    if not path.is_file():
        return []
    lines = read_input_text(path, _MOST_BYTES).splitlines()
    parts = (line.partition(":") for line in lines)
    return [Variant(name.strip(), tuple(flags.split())) for name, _, flags in parts]


def choose(known: Sequence[Variant], flags: Collection[str], asked: str | None = None) -> Variant:
    """The best one that a processor with these flags can run, or the one that is asked for.

    Raises:
        UsageError: there is none of that name, or the processor cannot run it.
    """
    if not asked:
        for variant in known:
            if not variant.lacking(flags):
                return variant
        last = known[-1]
        raise UsageError(
            f"this build is for processors with {', '.join(last.lacking(flags))}, which this one "
            "lacks: build slmprof on this machine"
        )
    for variant in known:
        if variant.name == asked:
            if lacking := variant.lacking(flags):
                raise UsageError(
                    f"{VARIABLE}={asked}: this processor lacks {', '.join(lacking)}, which that "
                    "variant needs"
                )
            return variant
    names = ", ".join(variant.name for variant in known)
    raise UsageError(
        f"{VARIABLE}={asked}: this build has the variants {names}"
        if known
        else f"{VARIABLE}={asked}: this build has one native module and no variants to choose among"
    )


def chosen(folder: Path = FOLDER) -> Variant | None:
    """The one that runs here; None where the build has one module for all. Raises UsageError."""
    known = variants(folder)
    asked = os.environ.get(VARIABLE)
    return choose(known, processor_flags(), asked) if known or asked else None


def load_in_place_of(name: str, folder: Path = FOLDER) -> None:
    """Puts the native module that runs here where Python looks for a module of that name.

    Raises:
        ModuleNotFoundError: the build has none. UsageError: it has none for what was asked for.
    """
    variant = chosen(folder)
    if variant is None:
        raise ModuleNotFoundError(f"{folder.parent} has no native module", name=name)
    place = folder / variant.name
    spec = PathFinder.find_spec(name, [str(place)])
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"{place} has no native module for this Python", name=name)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
