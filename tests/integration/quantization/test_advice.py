"""Advice for the trained model: proposals are measured, and what they say can be made again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from held_out import TRAINED, write_held_out
from kernel_files import write_documented
from scheme_files import write_scheme

from slmprof import quant
from slmprof.errors import ModelError, UsageError
from slmprof.settings.studies import AdviceSettings
from slmprof.studies import members
from slmprof.studies.advice import Advice
from slmprof.studies.advising import advised_recipes

MIB = 2**20
SETTINGS: dict[str, Any] = {
    "types": ["Q8_0", "Q4_0"], "n_ctx": 64, "chunks": 4, "cost_chunks": 1, "processes": 1,
    "repeats": 2, "n_prompt": 8, "n_gen": 16, "threads": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("advice")
    write_held_out(made, 2000)
    write_documented(made)
    return made


def advise(folder: Path, **settings: Any) -> Advice:
    return quant.advise(TRAINED, text=folder / "held-out.txt", **{**SETTINGS, **settings})


@pytest.fixture(scope="module")
def fitted(folder: Path) -> Advice:
    """Of a type and a scheme with kernels, under a limit of bytes."""
    place = f"{folder / 'mine.c'}:mine"
    return advise(folder, types=["Q8_0"], scheme=place, fit_bytes=int(1.3 * MIB))


def test_a_proposal_under_a_limit_is_smaller_and_better_than_the_types_alone(
    fitted: Advice,
) -> None:
    proposal = fitted.proposals[0]
    assert proposal.meets and proposal.measured.size_bytes <= 1.3 * MIB
    alone = {one.name: one for one in fitted.types}
    assert list(alone) == ["Q8_0", "mine", "reference"]
    assert alone["Q8_0"].size_bytes > 1.3 * MIB > alone["mine"].size_bytes
    kld, of_mine = proposal.measured.kld, alone["mine"].kld
    assert kld is not None and of_mine is not None and kld < of_mine
    assert proposal.predicted.nats == pytest.approx(kld, rel=0.5)
    assert proposal.predicted.size_bytes == proposal.measured.size_bytes
    assert proposal.measured.decode_ms and alone["mine"].decode_ms


def test_weights_may_get_a_scheme_of_ones_own(fitted: Advice) -> None:
    proposal = fitted.proposals[0]
    types = {one.tensor: one.type for one in proposal.plan.tensors if one.is_quantizable}
    assert {"custom:mine", "q8_0"} <= set(types.values())
    assert types == dict(proposal.predicted.types)
    assert proposal.recipe.scheme_tensors is not None


def test_its_recipe_makes_the_same_file_again(folder: Path, fitted: Advice) -> None:
    proposal = fitted.proposals[0]
    assert proposal.measured.kld is not None
    made = quant.apply(TRAINED, folder / "again.gguf", proposal.recipe)
    again = quant.dry_run(TRAINED, proposal.recipe).set_index("tensor")["type"]
    assert dict(again) == {one.tensor: one.type for one in proposal.plan.tensors}
    assert all(again[name] == type_ for name, type_ in proposal.predicted.types.items())
    packed = f"{made}@{folder / 'mine.c'}:mine"
    found = quant.quality(
        packed, reference=TRAINED, text=folder / "held-out.txt", n_ctx=64, chunks=4
    )
    assert found.divergence is not None
    assert found.divergence.kld.value == pytest.approx(proposal.measured.kld, rel=1e-6)


def test_without_limits_there_are_several_on_the_front(folder: Path) -> None:
    found = advise(folder, types=["Q4_0"])
    assert 2 <= len(found.proposals) <= 3 and all(one.meets for one in found.proposals)
    table = found.frame()
    assert list(table["role"][:2]) == ["proposal", "proposal"] and len(table) >= 4
    assert table["predicted_kld"].notna().sum() == len(found.proposals)


def test_limits_out_of_reach_are_told_with_what_is_in_reach(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"--fit: the limit is 0\.1 MiB.* at least 0\.\d+ MiB"):
        advise(folder, fit_bytes=MIB // 10)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"decode_ms": 0}, "positive"),
        ({"max_kld": float("nan")}, "positive"),
        ({"fit_bytes": -1}, "too small"),
        ({"types": []}, "no value"),
        ({"types": ["Q9_9"]}, "Q9_9"),
        ({"types": ["F16"]}, "these types already"),
        ({"imatrix": "none.gguf"}, "none.gguf"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_measured(
    folder: Path, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((UsageError, ModelError), match=said):
        advise(folder, **settings)


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot read"), (b"", "give more text"), (b"\xff", "not UTF-8")]
)
def test_a_text_that_is_none_is_told_before_any_model_is_made(
    folder: Path, content: bytes | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = folder / "none.txt"
    text.unlink(missing_ok=True)
    if content is not None:
        text.write_bytes(content)
    made: list[object] = []
    monkeypatch.setattr(members, "make", lambda *_, **__: made.append(1))
    with pytest.raises(UsageError, match=said):
        quant.advise(TRAINED, text=text, **SETTINGS)
    assert not made


def test_an_empty_name_of_a_folder_is_no_folder(folder: Path) -> None:
    for action in ("advise", "dossier"):
        done = run("quant", action, TRAINED, "--text", "held-out.txt", "-o", "", cwd=folder)
        assert done.returncode == 2 and "argument -o" in done.stderr, done.stderr


def test_a_model_that_is_quantized_cannot_be_advised(folder: Path) -> None:
    path = quant.apply(TRAINED, folder / "q8.gguf", file_type="Q8_0")
    with pytest.raises(UsageError, match="is q8_0, which cannot hold other values"):
        quant.advise(path, text=folder / "held-out.txt", **SETTINGS)


def test_a_scheme_without_kernels_cannot_be_advised(folder: Path) -> None:
    place = f"{write_scheme(folder)}:Mine"
    with pytest.raises(UsageError, match="Mine has no kernels"):
        advise(folder, scheme=place)


def test_the_command_keeps_recipes_that_quant_make_takes(folder: Path) -> None:
    done = run(
        "quant", "advise", str(TRAINED), "--text", "held-out.txt", "--types", "Q8_0,Q4_0",
        "--n-ctx", "64", "--chunks", "2", "--cost-chunks", "1", "--processes", "1", "--repeats",
        "1", "--fit", "1.3MiB", "-o", "kept", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    command = done.stdout.replace("\n  ", " ").split("- slmprof ")[1].splitlines()[0]
    made = run(*shlex.split(command), cwd=folder)
    assert made.returncode == 0, made.stderr
    size = (folder / "proposal-1.gguf").stat().st_size
    assert size <= 1.3 * MIB + 20_000


def test_names_of_types_and_schemes_are_told_apart() -> None:
    settings = AdviceSettings.of(types=["q8_0", "Q8_0", "Q4_0"], scheme="x.c:reference")
    assert list(advised_recipes(settings)) == ["Q8_0", "Q4_0", "reference (2)"]
    settings = AdviceSettings.of(types=["Q8_0"], scheme="x.c:q8_0")
    assert list(advised_recipes(settings)) == ["Q8_0", "q8_0 (2)"]


def test_json_has_limits_recipes_and_figures(fitted: Advice) -> None:
    found = json.loads(json.dumps(fitted.to_json()))
    assert found["limits"] == {"fit_bytes": int(1.3 * MIB), "decode_ms": None, "max_kld": None}
    assert found["recipes"]["proposal 1"]["tensor_type"] and found["models"][0]["meets"] is True
