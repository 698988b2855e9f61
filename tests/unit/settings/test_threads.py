"""More threads than cores are told before a run, and beyond four a core only run by force."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slmprof
from slmprof import quant
from slmprof.capture.sweep import make_grid
from slmprof.commands.main import main
from slmprof.errors import SlmprofError, UsageError
from slmprof.settings.capture import CaptureConfig
from slmprof.settings.planning import MemoryRequest
from slmprof.settings.scoring import ImatrixSettings, QualitySettings
from slmprof.settings.studies import AdviceSettings, DossierSettings

REFUSED = "threads: 9 for 2 cores that this process may use .* at most 8 .* --force"
NOTED = "3 threads oversubscribe 2 cores"
MADE: list[Callable[..., Any]] = [
    lambda **asked: CaptureConfig("m.gguf", **asked),
    lambda **asked: make_grid(
        ["preset:tiny"], {**asked, "threads": (1, *filter(None, [asked.get("threads")]))}
    ),
    ImatrixSettings.of, QualitySettings.of, DossierSettings.of, AdviceSettings.of,
]  # fmt: skip


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("slmprof.system.cores", "slmprof.settings.threads"):
        monkeypatch.setattr(f"{module}.usable_cores", lambda: 2)


@pytest.mark.parametrize("make", MADE)
def test_beyond_four_a_core_only_by_force(make: Callable[..., Any]) -> None:
    make(threads=8)
    make()
    with pytest.raises(UsageError, match=REFUSED):
        make(threads=9)
    make(threads=9, force=True)
    with pytest.raises(UsageError, match="force: 'yes' is not true or false"):
        make(threads=1, force="yes")


def test_a_plan_runs_nothing() -> None:
    request = MemoryRequest.of("m.gguf", threads=40)
    assert request.one.n_threads == 40 and "force" not in request.to_json()


def test_a_sweep_measures_nothing_again_for_force() -> None:
    (plain,) = make_grid(["preset:tiny"], {"threads": (2,)})
    (forced,) = make_grid(["preset:tiny"], {"threads": (2,), "force": True})
    assert plain.settings == forced.settings and plain.file_name == forced.file_name


def test_studies_hand_it_on() -> None:
    settings = DossierSettings.of(threads=9, force=True)
    QualitySettings.of(**settings.scoring())
    CaptureConfig("m.gguf", **settings.timing())


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every process fails to start; returns a file that is some text."""

    def start(*_: object, **__: object) -> None:
        raise SlmprofError("started")

    monkeypatch.setattr("slmprof.children.child.subprocess.Popen", start)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("a text")
    for name in ("m.gguf", "n.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    return tmp_path / "text.txt"


COMMANDS = [
    ["breakdown", "m.gguf"],
    ["compare", "m.gguf", "n.gguf"],
    ["quant", "imatrix", "m.gguf", "-o", "i.gguf", "--text", "text.txt"],
    ["quant", "quality", "m.gguf", "--text", "text.txt"],
    ["quant", "dossier", "m.gguf", "--text", "text.txt", "-o", "d"],
    ["quant", "advise", "m.gguf", "--text", "text.txt"],
    ["sweep", "preset:tiny", "-o", "grid"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: "-".join(words[:2]))
@pytest.mark.usefixtures("nothing_runs")
def test_what_a_command_says_before_it_runs(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--threads", "3"]) == 1
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(f"slmprof: note: {NOTED}")
    assert "started" in "".join(err[1:])
    assert main([*command, "--threads", "9"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "threads: 9 for 2 cores" in line and "--force" in line
    assert main([*command, "--threads", "9", "--force"]) == 1
    assert "9 threads oversubscribe 2 cores" in capsys.readouterr().err
    main([*command, "--threads", "2"])
    assert "oversubscribe" not in capsys.readouterr().err


@pytest.mark.usefixtures("nothing_runs")
def test_an_axis_of_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "preset:tiny", "-o", "grid", "--threads", "2,3,40"]) == 2
    assert "threads: 40 for 2 cores" in capsys.readouterr().err
    assert not Path("grid").exists()
    assert main(["sweep", "preset:tiny", "-o", "grid", "--threads", "2,3"]) == 1
    assert capsys.readouterr().err.count(NOTED) == 1


CALLS: list[Callable[[], Any]] = [
    lambda: slmprof.profile("m.gguf", threads=3),
    lambda: slmprof.compare("m.gguf", "n.gguf", threads=3),
    lambda: quant.imatrix("m.gguf", "i.gguf", text="text.txt", threads=3),
    lambda: quant.quality("m.gguf", text="text.txt", threads=3),
    lambda: quant.dossier("m.gguf", text="text.txt", output="d", threads=3),
    lambda: quant.advise("m.gguf", text="text.txt", threads=3),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.usefixtures("nothing_runs")
def test_what_python_warns_of_before_it_runs(call: Callable[[], Any]) -> None:
    with pytest.raises(SlmprofError, match="started"), pytest.warns(UserWarning) as caught:
        call()
    assert str(caught[0].message).startswith(NOTED) and caught[0].filename == __file__
