"""`slmprof show --join-again`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import example_profile
from gpu_builder import gpu_profile

from slmprof.commands.main import main

pytestmark = pytest.mark.usefixtures("by_name")


def test_the_same_join_shows_the_same_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "gpu.slmprof")
    gpu_profile().save(path)
    shown = ["show", path, "--format", "json"]
    assert main(shown) == 0
    recorded = capsys.readouterr().out
    assert main([*shown, "--join-again"]) == 0
    again = capsys.readouterr()
    assert again.out == recorded
    assert again.err == "24 kernels joined again, 0 of them not as in the recording\n"


def test_a_join_that_was_lost_is_shown_as_it_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = gpu_profile()
    gpu.save(tmp_path / "gpu.slmprof")
    node = np.where(np.arange(len(gpu.launches)) < 2, -1, gpu.launches.node)
    way = np.where(node < 0, 0, gpu.launches.way)
    fewer = gpu.traces.replace(joined_ns=gpu.traces.joined_ns // 2)
    lost = replace(gpu, launches=gpu.launches.replace(node=node, way=way), traces=fewer)
    lost.save(tmp_path / "lost.slmprof")
    outputs = []
    for name, options in (("gpu", []), ("lost", []), ("lost", ["--join-again"])):
        assert main(["show", str(tmp_path / f"{name}.slmprof"), "--full", *options]) == 0
        outputs.append(capsys.readouterr())
    assert outputs[2].out == outputs[0].out != outputs[1].out
    assert outputs[2].err == "24 kernels joined again, 2 of them not as in the recording\n"


def test_what_cannot_be_joined_again_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, broken = str(tmp_path / "plain.slmprof"), str(tmp_path / "broken.slmprof")
    example_profile().save(plain)
    assert main(["show", plain, "--join-again"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert f"cannot join the kernels of {plain} again: the profile keeps no records" in err
    gpu = gpu_profile()
    nodes = gpu.captured_nodes
    replace(gpu, captured_nodes=nodes.replace(node=np.full(len(nodes), 50))).save(broken)
    assert main(["show", broken, "--join-again"]) != 0
    out, err = capsys.readouterr()
    assert out == "" and "an op that the run does not have" in err and err.count("\n") == 1
    assert main(["show", plain, plain, "--join-again"]) == 2
    assert "--join-again is for one profile" in capsys.readouterr().err
