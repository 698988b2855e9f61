"""Dossiers of the trained model: made, made again from their files, gone on with, and refused."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from held_out import TRAINED, write_held_out
from kernel_files import write_documented
from scheme_files import write_scheme

from slmprof import quant
from slmprof.errors import ProfileFormatError, UsageError
from slmprof.studies.dossier import read_dossier

SETTINGS: dict[str, Any] = {
    "against": ["Q8_0", "Q2_K"], "n_ctx": 64, "chunks": 2, "processes": 1, "repeats": 2,
    "n_prompt": 16, "n_gen": 8, "threads": 1,
}  # fmt: skip
OPTIONS = ("--against", "Q8_0,Q2_K", "--n-ctx", "64", "--chunks", "2", "--processes", "1",
           "--repeats", "2", "--n-prompt", "16", "--n-gen", "8", "--threads", "1")  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a text, a scheme in Python, and one in C."""
    made: Path = tmp_path_factory.mktemp("dossiers")
    write_held_out(made, 2000)
    write_scheme(made)
    write_documented(made)
    return made


@pytest.fixture(scope="module")
def of_kernels(folder: Path) -> Path:
    """The dossier of a scheme with kernels, made by the command."""
    output = folder / "kernels"
    done = run(
        "quant", "dossier", str(TRAINED), "--scheme", f"{folder / 'mine.c'}:mine", "--text",
        str(folder / "held-out.txt"), "-o", str(output), "--costs", *OPTIONS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (output / "screen.txt").write_text(done.stdout)
    return output


def test_each_model_has_its_figures(of_kernels: Path) -> None:
    found = read_dossier(of_kernels)
    table = found.frame().set_index("name")
    assert list(table["role"]) == ["subject", "neighbour", "neighbour", "reference"]
    assert list(table.index) == ["mine", "Q8_0", "Q2_K", "F16"]
    assert table.loc["Q8_0", "kld"] < table.loc["mine", "kld"] < table.loc["Q2_K", "kld"]
    assert (table["decode_ms"] > 0).all() and (table["prefill_ms"] > 0).all()
    assert not table["is_modelled"].any()
    assert table.loc["F16", "size_bytes"] > table.loc["Q8_0", "size_bytes"]
    assert table["kld"].isna().to_list() == [False, False, False, True]
    subject = found.subject
    assert subject.plan is not None
    assert table.loc["mine", "size_bytes"] == subject.plan.size_bytes
    assert {one.tensor for one in subject.quality.costs} == {
        one.tensor for one in subject.plan.of_scheme
    }
    assert all(one.type == "custom:mine" and one.ms for one in subject.quality.costs)


def test_the_screen_and_the_pages_say_what_was_found(of_kernels: Path) -> None:
    screen = (of_kernels / "screen.txt").read_text()
    assert "mine against Q8_0" in screen and "What each weight costs" in screen
    assert max(map(len, screen.splitlines())) <= 80
    page, text = (of_kernels / name for name in ("dossier.html", "dossier.md"))
    for title in (
        "Kernels",
        "Where a token",
        "Which weights gain and lose",
        "What fell back",
        "How it was made",
    ):
        assert title in page.read_text() and title in text.read_text(), title
    assert "custom:mine" in page.read_text() and page.read_text().count("<svg") == 3
    for name in ("size.svg", "time.svg", "costs.svg"):
        assert f"({name})" in text.read_text() and (of_kernels / name).is_file()


def test_the_pages_are_made_again_from_the_files_alone(of_kernels: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(of_kernels, copy, ignore=shutil.ignore_patterns("models", "*.svg", "*.html"))
    done = run("quant", "dossier", "--show", str(copy), "--format", "json")
    assert done.returncode == 0, done.stderr
    for name in ("dossier.html", "dossier.md", "size.svg", "time.svg", "costs.svg"):
        assert (copy / name).read_bytes() == (of_kernels / name).read_bytes(), name
    found = json.loads(done.stdout)
    assert [one["name"] for one in found["models"]] == ["mine", "Q8_0", "Q2_K", "F16"]
    assert found["speed"]["comparisons"] and found["costs"]


def test_what_is_there_is_not_measured_again(of_kernels: Path, folder: Path) -> None:
    files = [
        *of_kernels.rglob("*.gguf"),
        *of_kernels.rglob("quality/*"),
        *of_kernels.rglob("*.slmprof"),
    ]
    before = {path: path.stat().st_mtime_ns for path in files}
    (of_kernels / "quality" / "Q8_0.json").unlink()
    quant.dossier(
        TRAINED, scheme=f"{folder / 'mine.c'}:mine", text=folder / "held-out.txt",
        output=of_kernels, costs=True, **SETTINGS,
    )  # fmt: skip
    changed = {path.name for path in files if path.stat().st_mtime_ns != before[path]}
    assert changed == {"Q8_0.json"}


@pytest.mark.parametrize("name", ["n_ctx", "text", "scheme"])
def test_a_folder_belongs_to_one_question(of_kernels: Path, folder: Path, name: str) -> None:
    asked = {"text": folder / "held-out.txt", "scheme": f"{folder / 'mine.c'}:mine", "costs": True,
             **SETTINGS}  # fmt: skip
    other = folder / "other.txt"
    other.write_text("another text " * 50)
    write_scheme(folder, (folder / "mine.c").read_text() + "\n", "other.c")
    asked[name] = {"n_ctx": 32, "text": other, "scheme": f"{folder / 'other.c'}:mine"}[name]
    before = sorted(of_kernels.rglob("*"))
    with pytest.raises(UsageError, match="different inputs"):
        quant.dossier(TRAINED, output=of_kernels, **asked)
    assert sorted(of_kernels.rglob("*")) == before


def test_a_scheme_in_python_has_a_modelled_time(folder: Path) -> None:
    found = quant.dossier(
        TRAINED, scheme=f"{folder / 'mine.py'}:Mine", text=folder / "held-out.txt",
        output=folder / "python", costs=True, **{**SETTINGS, "against": "Q8_0"},
    )  # fmt: skip
    own = found.figures[0]
    assert own.is_modelled and own.prefill_ms is None and own.decode_ms
    assert found.comparison is None and own.bits_per_weight < 4.6
    modelled = found.subject.about.modelled
    assert modelled is not None
    assert own.decode_ms == pytest.approx(modelled.read_bytes / modelled.gbps / 1e6)
    assert all(
        one.ms == pytest.approx((one.reference_ms or 0) * one.size_bytes / one.reference_bytes)
        for one in found.subject.quality.costs
    )
    assert all(one.is_modelled and one.ms for one in found.subject.quality.costs)
    page = (folder / "python" / "dossier.md").read_text()
    assert "its decode time is modelled" in page and "(modelled)" in page


def test_a_recipe_has_a_dossier_too_also_after_a_text_that_was_none(folder: Path) -> None:
    short, output = folder / "short.txt", folder / "recipe"
    short.write_text("too short")
    mine = quant.recipe(file_type="Q4_0", tensor_type=["attn_v=q8_0"])
    asked = {"recipe": mine, "output": output, **SETTINGS, "against": "Q4_0"}
    with pytest.raises(UsageError, match="give more text"):
        quant.dossier(TRAINED, text=short, **asked)
    assert not list(output.rglob("*.gguf"))
    # Nothing was measured, so that the folder may be another question's.
    found = quant.dossier(TRAINED, text=folder / "held-out.txt", **asked)
    assert [one.name for one in found.models] == ["Q4_0 recipe", "Q4_0", "F16"]
    kld = [one.kld for one in found.figures]
    assert kld[0] is not None and kld[1] is not None and kld[0] < kld[1]


def test_inputs_that_cannot_be_used_leave_nothing(
    folder: Path, tmp_path: Path, small_model: Callable[..., Path]
) -> None:
    text, scheme = folder / "held-out.txt", f"{folder / 'mine.py'}:Mine"
    output = tmp_path / "dossier"

    def fails(match: str, **given: Any) -> None:
        asked = {"model": TRAINED, "scheme": scheme, "text": text, "output": output, **SETTINGS}
        with pytest.raises(UsageError, match=match):
            quant.dossier(**{**asked, **given})
        assert not output.exists()

    fails("random weights", model="preset:smollm-135m")
    fails("random weights", model=small_model("llama", "F16"))
    fails("text: cannot read", text=tmp_path / "none.txt")
    fails("no type|unknown|Q9", against=["Q9_9"])
    fails("scheme: cannot read", scheme=str(tmp_path / "none.py") + ":Mine")
    fails("no setting", wrong=1)
    quantized = quant.apply(TRAINED, tmp_path / "q8.gguf", file_type="Q8_0")
    fails("is q8_0, which cannot hold other values", model=quantized, costs=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    fails("is not empty and holds no dossier", output=tmp_path / "full")
    fails("is a file", output=tmp_path / "full" / "mine.txt")


def test_interrupted_it_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "interrupted"
    command = [sys.executable, "-m", "slmprof", "quant", "dossier", str(TRAINED), "--scheme",
               f"{folder / 'mine.py'}:Mine", "--text", str(folder / "held-out.txt"), "-o",
               str(output), *OPTIONS, "--against", "Q8_0"]  # fmt: skip
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while child.poll() is None and not (output / "quality" / "mine.json").exists():
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    _, error = child.communicate()
    assert child.returncode == 130, error
    made = (output / "quality" / "mine.json").stat().st_mtime_ns
    assert not (output / "dossier.html").exists()
    assert not list(output.rglob(".*"))
    done = run(*command[3:])
    assert done.returncode == 0, done.stderr
    assert (output / "quality" / "mine.json").stat().st_mtime_ns == made
    assert (output / "dossier.html").exists()


def test_a_copy_of_the_model_goes_on_with_the_dossier(of_kernels: Path, folder: Path) -> None:
    copy = folder / "copy.gguf"
    shutil.copyfile(TRAINED, copy)
    made = quant.dossier(
        copy, scheme=f"{folder / 'mine.c'}:mine", text=folder / "held-out.txt", output=of_kernels,
        costs=True, **SETTINGS,
    )  # fmt: skip
    assert made.file.question.model == str(copy)


@pytest.mark.parametrize(
    ("name", "keys", "value"),
    [
        ("plans/mine.json", ("tensors",), []),
        ("plans/Q8_0.json", ("tensors",), []),
        ("quality/Q8_0.json", ("divergence",), None),
        ("quality/Q8_0.json", ("divergence", "kld", "value"), -1.0),
        ("dossier.json", ("members", 0, "role"), "neighbour"),
    ],
)
def test_files_that_do_not_fit_each_other_are_refused(
    of_kernels: Path, tmp_path: Path, name: str, keys: tuple[Any, ...], value: Any
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(of_kernels, copy, ignore=shutil.ignore_patterns("models"))
    content = json.loads((copy / name).read_text())
    at = content
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    (copy / name).write_text(json.dumps(content))
    with pytest.raises(ProfileFormatError):
        read_dossier(copy)


def test_show_takes_no_other_option(of_kernels: Path) -> None:
    done = run("quant", "dossier", "--show", str(of_kernels), "--against", "Q2_K")
    assert done.returncode == 2 and "nothing but --format" in done.stderr
