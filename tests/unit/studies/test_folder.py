"""The files of a dossier: written whole, and refused where they are damaged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slmprof.errors import ProfileFormatError, UsageError
from slmprof.quantization.modelled import ModelledDecode
from slmprof.studies.dossier import read_dossier
from slmprof.studies.folder import (
    FILE_NAME,
    StudyFolder,
    distinct,
    read_record,
    write_record,
)
from slmprof.studies.records import SCHEMA_VERSION, DossierFile, Member, Question

QUESTION = Question("model.gguf", {"scheme": None}, "text.txt", {"text": "b"}, {"n_ctx": 64})
ABOUT = DossierFile(
    SCHEMA_VERSION, "0.1", QUESTION, (Member("mine", "subject", False, ModelledDecode(8, 4.0, 2)),)
)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_record(tmp_path / FILE_NAME, ABOUT)
    assert StudyFolder(tmp_path).read() == ABOUT
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE_NAME]


def test_names_are_those_of_files(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    hostile = "../../a b\0c"
    for path in (folder.model(hostile), folder.plan(hostile), folder.profile(hostile)):
        assert path.parent.parent == tmp_path and path.name.startswith("..-..-a-b-c")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("[]", "wrong value"),
        ("{}", "is missing"),
        ("[" * 10**5, "deep|recursion"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(ProfileFormatError, match=said) as error:
        read_dossier(tmp_path)
    assert str(tmp_path / FILE_NAME) in str(error.value)


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME)
    with pytest.raises(ProfileFormatError, match="not a regular file"):
        read_dossier(tmp_path)


def test_clearing_removes_files_of_models_and_plans_only(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    folder.make()
    (folder.model("a")).write_text("x")
    (tmp_path / "models" / "mine").mkdir()
    folder.clear()
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    assert not folder.has_results


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(ProfileFormatError, match=r"x\.json"):
        read_record(tmp_path / "x.json", DossierFile)


def test_a_newer_one_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path / FILE_NAME, ABOUT.replace(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(ProfileFormatError, match="newer"):
        read_dossier(tmp_path)


def test_a_folder_without_a_dossier_and_half_a_dossier_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no dossier"):
        read_dossier(tmp_path)
    write_record(tmp_path / FILE_NAME, ABOUT.replace(members=()))
    with pytest.raises(UsageError, match="not complete"):
        read_dossier(tmp_path)
    members = (*ABOUT.members, Member("F16", "reference", True))
    write_record(tmp_path / FILE_NAME, ABOUT.replace(members=members))
    with pytest.raises(ProfileFormatError, match="quality"):
        read_dossier(tmp_path)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ((("a", "subject"),), "one subject and one reference"),
        ((("a", "subject"), ("b", "subject"), ("c", "reference")), "one subject"),
        ((("a", "subject"), ("b", "reference"), ("c", "other")), "unknown roles"),
        ((("a", "subject"), ("a", "reference")), "one name"),
    ],
)
def test_models_that_make_no_dossier_are_refused(
    tmp_path: Path, members: tuple[tuple[str, str], ...], said: str
) -> None:
    made = tuple(Member(name, role, True) for name, role in members)
    write_record(tmp_path / FILE_NAME, ABOUT.replace(members=made))
    with pytest.raises(ProfileFormatError, match=said):
        read_dossier(tmp_path)


def test_a_question_is_the_same_whatever_json_made_of_it(tmp_path: Path) -> None:
    asked = Question("a.gguf", {"x": ("y",)}, "t", {"text": "b"}, {"against": ("Q8_0",)})
    write_record(tmp_path / "q.json", asked)
    assert read_record(tmp_path / "q.json", Question).differences(asked) == []
    other = asked.replace(model="b.gguf", digests={"text": "c"})
    assert other.differences(asked) == ["digests"]


def test_names_are_distinct_as_files() -> None:
    assert distinct(["Q4_0", "q4_0", "a b", "a-b", "c"]) == [
        "Q4_0", "q4_0 (2)", "a b", "a-b (2)", "c",
    ]  # fmt: skip
