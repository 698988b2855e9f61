"""Energy of real runs: by a counter that a thread moves, and on a system that has none."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from energy_builder import write_zone

import slmprof
from slmprof.analysis.energy import pairs
from slmprof.analysis.energy.figures import energy_figures
from slmprof.capture.energy import EnergyPasses
from slmprof.capture.passes import Passes
from slmprof.capture.session import Session
from slmprof.machine.energy.find import find_counters
from slmprof.profiles.records.load import Load
from slmprof.profiles.vocabulary import PASS_TIMING
from slmprof.settings.dimensions import StateSpace

ModelMaker = Callable[..., Path]
WINDOW_S = 0.1
SETTINGS: Any = {"n_prompt": 8, "n_gen": 4, "repeats": 1, "n_ctx": 256, "threads": 1,
                 "ceilings": "off"}  # fmt: skip

STATE = StateSpace(n_inner=512, n_state=16, n_conv=4, dt_rank=16)
MODELS: dict[str, dict[str, Any]] = {
    "llama": {},
    "mamba": {"tied": True, "n_ff": 0, "n_head": 0, "ssm": STATE},
}


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Path]:
    """A package, a part of it, and memory that takes a tenth; all go up until the test is over."""
    files = {
        write_zone(tmp_path, folder, name) / "energy_uj": size
        for folder, name, size in (
            ("intel-rapl:0", "package-0", 10),
            ("intel-rapl:0:0", "core", 10),
            ("intel-rapl:0:1", "dram", 1),
        )
    }
    stop = threading.Event()

    def move() -> None:
        n = 0
        while not stop.wait(0.001):
            n += 1
            for path, size in files.items():
                # Renamed, so that no reader sees a file that is half written.
                new = path.with_suffix(".new")
                new.write_text(f"{n * 100 * size}\n")
                new.replace(path)

    thread = threading.Thread(target=move)
    thread.start()
    yield tmp_path
    stop.set()
    thread.join()


# A plain transformer, and a recurrent model, whose state cannot be cut back.
@pytest.mark.parametrize("architecture", MODELS)
def test_phases_take_energy_and_leave_the_run_as_it_was(
    architecture: str, small_model: ModelMaker, moving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # How often a busy machine lets a thread read is not for this test to judge.
    monkeypatch.setattr(pairs, "MIN_UPDATES", 0)
    meter: Any = lambda: SimpleNamespace(load=lambda: Load(core_seconds=1.0))  # noqa: E731
    model = small_model(architecture, **MODELS[architecture])
    # What cannot be cut back needs room for a whole window.
    with Session(model, **{**SETTINGS, "n_ctx": 2**15}) as run:
        passes = Passes(run, lambda _: None)
        chunks = list(passes)
        found = find_counters((), moving)
        energy = EnergyPasses(
            passes, found, WINDOW_S, lambda _: None, meter=meter, n_rounds=3
        ).measure()
        found.close()
        assert sum(int((c["steps"]["pass"] == PASS_TIMING).sum()) for c in chunks) == 1 + 4
        # Nothing of the energy passes is left in the recorder.
        assert len(run.take()["steps"]["pass"]) == 0
    assert not energy.refusals
    assert [source.name for source in energy.sources] == ["package", "dram"]
    assert len(energy.windows) == 9
    assert all(one.duration_ns >= WINDOW_S * 1e9 for one in energy.windows)
    assert all(one.n_steps >= 1 for one in energy.windows if one.state != "idle")
    figures = {(one.phase, one.source): one for one in energy_figures(energy)}
    assert set(figures) == {
        (phase, source)
        for phase in ("prefill", "decode")
        for source in ("package", "dram", "total")
    }
    for figure in figures.values():
        assert figure.refusal is None and figure.n_windows == 3
        assert figure.energy_j is not None and figure.energy_j > 0
        assert figure.energy_ci95 is not None and figure.net_ci95 is not None
    for phase in ("prefill", "decode"):
        package, dram, total = (
            figures[phase, name].energy_j or 0.0 for name in ("package", "dram", "total")
        )
        assert total == pytest.approx(package + dram)


def test_a_system_without_counters_has_its_profile_and_a_reason(
    small_model: ModelMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLMPROF_SYSFS_DIR", str(tmp_path))
    profile = slmprof.profile(small_model(), energy=True, **SETTINGS)
    assert profile.meta.run.complete is True
    energy = profile.meta.energy
    assert energy is not None and energy.windows == ()
    (refusal,) = energy.refusals
    assert (refusal.reason, refusal.source) == ("no_counter", "package")
    assert refusal.detail == str(tmp_path / "class/powercap")
    assert profile.energy().empty
    assert slmprof.profile(small_model(), **SETTINGS).meta.energy is None


def test_a_worker_measures_after_its_other_passes(
    small_model: ModelMaker, moving: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SLMPROF_SYSFS_DIR", str(moving))
    stages: list[str] = []
    profile = slmprof.profile(
        small_model(),
        energy=True,
        energy_window=WINDOW_S,
        on_progress=lambda progress: stages.append(progress.stage),
        **SETTINGS,
    )
    energy = profile.meta.energy
    assert energy is not None and len(energy.windows) == 15 and not energy.refusals
    assert stages[-1] == "energy, window 15 of 15"
    assert stages.index("done") < stages.index("energy, window 1 of 15")
    profile.save(tmp_path / "run.slmprof")
    assert slmprof.load(tmp_path / "run.slmprof").meta.energy == energy
