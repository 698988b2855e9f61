"""Which native module of a build with several runs."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from pathlib import Path

import pytest

from slmprof import native_variant
from slmprof.children.question import asked
from slmprof.errors import UsageError
from slmprof.machine.build import describe_build
from slmprof.native_variant import VARIABLE, Variant, choose, chosen, load_in_place_of, variants

KNOWN = [
    Variant("icelake", ("avx2", "fma", "avx512f", "avx512_vnni")),
    Variant("haswell", ("avx2", "fma")),
    Variant("x64", ()),
]
LIST = "".join(f"{one.name}: {' '.join(one.flags)}\n" for one in KNOWN)
NAME = "slmprof_stand_in"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the list, and for each variant a module in Python that knows its name."""
    for one in KNOWN:
        (tmp_path / one.name).mkdir()
        (tmp_path / one.name / f"{NAME}.py").write_text(f"VARIANT = {one.name!r}\n")
    (tmp_path / "list.txt").write_text(LIST)
    return tmp_path


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Those of the processor, nothing being asked for."""
    found = {"fpu", "avx2", "fma"}
    monkeypatch.setattr(native_variant, "processor_flags", lambda: found)
    monkeypatch.delenv(VARIABLE, raising=False)
    return found


def test_the_list_is_read_in_its_order(folder: Path) -> None:
    assert variants(folder) == KNOWN
    assert variants(folder / "none") == []


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"avx2", "fma", "avx512f", "avx512_vnni", "more"}, "icelake"),
        ({"avx2", "fma", "avx512f"}, "haswell"),
        ({"avx2"}, "x64"),
        (set(), "x64"),  # also where the system does not tell
    ],
)
def test_the_first_that_the_processor_can_run_is_chosen(flags: set[str], name: str) -> None:
    assert choose(KNOWN, flags).name == name


def test_one_can_be_asked_for() -> None:
    assert choose(KNOWN, {"avx2", "fma"}, "x64").name == "x64"
    for known, flags, asked_for, told in (
        (KNOWN, {"avx2"}, "icelake", "=icelake: this processor lacks fma, avx512f, avx512_vnni"),
        (KNOWN, {"avx2"}, "atom", "=atom: this build has the variants icelake, haswell, x64"),
        ([], set(), "haswell", "=haswell: this build has one native module"),
        (KNOWN[:2], {"fma"}, None, "this build is for processors with avx2, which this one lacks"),
    ):
        with pytest.raises(UsageError, match=told):
            choose(known, flags, asked_for)


def test_what_runs_here(folder: Path, flags: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = chosen(folder)
    assert found is not None and found.name == "haswell"
    flags.clear()
    found = chosen(folder)
    assert found is not None and found.name == "x64"
    assert chosen(folder / "none") is None
    monkeypatch.setenv(VARIABLE, "haswell")
    for place in (folder, folder / "none"):
        with pytest.raises(UsageError, match=VARIABLE):
            chosen(place)


@pytest.mark.usefixtures("flags")
def test_it_is_loaded_under_the_name_of_the_native_module(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, NAME, sys)
    load_in_place_of(NAME, folder)
    loaded = sys.modules[NAME]
    assert loaded.VARIANT == "haswell" and loaded.__name__ == NAME
    assert Path(str(loaded.__file__)).parent == folder / "haswell"


@pytest.mark.usefixtures("flags")
def test_a_build_without_it_says_so(folder: Path) -> None:
    with pytest.raises(ModuleNotFoundError, match="has no native module"):
        load_in_place_of(NAME, folder / "none")
    (folder / "haswell" / f"{NAME}.py").unlink()
    with pytest.raises(ModuleNotFoundError, match="no native module for this Python"):
        load_in_place_of(NAME, folder)


def test_a_module_beside_the_file_that_stands_for_it_comes_first(tmp_path: Path) -> None:
    """So it is that of a native build which runs where there is one."""
    (tmp_path / "stand.py").touch()
    (tmp_path / f"stand{importlib.machinery.EXTENSION_SUFFIXES[0]}").touch()
    spec = importlib.machinery.PathFinder.find_spec("stand", [str(tmp_path)])
    assert spec is not None and isinstance(spec.loader, importlib.machinery.ExtensionFileLoader)


def test_no_child_is_started_in_vain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nonsense")
    with pytest.raises(UsageError, match=f"{VARIABLE}=nonsense"), asked("none", {}, "does nothing"):
        pass
    (line,) = describe_build()
    assert line.startswith(f"the native part cannot be loaded: {VARIABLE}=nonsense")


def test_the_command_line_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "nonsense")
    monkeypatch.setenv("PYTHONPATH", str(Path(native_variant.__file__).parents[1]))
    answer = subprocess.run(
        [sys.executable, "-m", "slmprof", "memory", "preset:tiny"], capture_output=True, text=True
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"slmprof: error: {VARIABLE}=nonsense: this build has ")
    assert answer.stderr.count("\n") == 1
