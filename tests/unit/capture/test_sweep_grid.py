"""Sweeps: which points there are, their names, and their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_builder import grid

from slmprof.capture.sweep import in_order_of_running, open_folder
from slmprof.errors import ModelError, UsageError
from slmprof.profiles.records.meta import SweptModel

pytestmark = pytest.mark.usefixtures("by_name")


def test_the_grid_is_every_combination(model: str) -> None:
    points = grid([model, "preset:tiny"], threads=(1, 2), type_k=("f16", "q8_0"), repeats=3)
    assert len(points) == len({point.file_name for point in points}) == 8
    assert {(p.config.threads, p.config.type_k) for p in points} == {
        (1, "f16"), (1, "q8_0"), (2, "f16"), (2, "q8_0"),
    }  # fmt: skip
    assert {p.config.repeats for p in points} == {3}


def test_depths_are_one_point(model: str) -> None:
    (point,) = grid([model], n_depth=(0, 512))
    assert point.config.n_depths == (0, 512)


def test_the_same_point_twice_is_one(model: str) -> None:
    assert len(grid([model, model], threads=(2, 2))) == 1


def test_names_of_files_can_be_read(model: str) -> None:
    (point,) = grid([model], threads=(3,), n_depth=(0, 512), type_k=("q8_0",), flash_attn=("on",))
    assert point.file_name.startswith("small_p16_d0+512_t3_fa-on_k-q8-0_")
    (point,) = grid(["preset:qwen2-0.5b@Q8_0"], threads=(2,), n_depth=8192)
    assert point.file_name.startswith("qwen2-0.5b-Q8-0_p16_d8192_t2_")
    (point,) = grid([model], threads=(2,), n_ctx=(4096,))
    assert point.file_name.startswith("small_p16_c4096_t2_")


def test_a_name_is_that_of_all_settings(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (first,) = grid([model], threads=(2,))
    (other,) = grid([model], threads=(2,), override_tensor=("ffn=CPU",))
    (waits,) = grid([model], threads=(2,), timeout=5.0)
    assert first.file_name != other.file_name
    assert first.file_name == waits.file_name
    monkeypatch.chdir(Path(model).parent)
    (relative,) = grid([Path(model).name], threads=(2,))
    assert relative.file_name == first.file_name


def test_a_prompt_counts_by_its_content(model: str, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    names = set()
    for text in ("one", "two", "one"):
        prompt.write_text(text)
        (point,) = grid([model], prompt_file=str(prompt))
        names.add(point.file_name)
    assert len(names) == 2


def test_the_order_of_running_is_mixed_and_always_the_same(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slmprof.settings.threads.usable_cores", lambda: 8)
    points = grid([model], threads=(1, 2, 3, 4, 5, 6, 7, 8))
    order = [point.config.threads for point in in_order_of_running(points)]
    assert sorted(order) == list(range(1, 9)) and order != sorted(order)
    again = [point.config.threads for point in in_order_of_running(points[::-1])]
    assert order == again


@pytest.mark.parametrize(
    ("models", "settings", "error"),
    [
        ([], {}, UsageError),
        (["missing.gguf"], {}, ModelError),
        (["preset:nonsense"], {}, ModelError),
        (["missing/config.json"], {}, ModelError),
        (["preset:tiny"], {"threads": ()}, UsageError),
        (["preset:tiny"], {"n_ctx": (4096, 8)}, UsageError),
        (["preset:tiny"], {"prompt_file": "missing.txt"}, UsageError),
    ],
)
def test_grids_that_cannot_be_meant(
    models: list[str], settings: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        grid(models, **settings)


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below", tmp_path / "a\0b"):
        with pytest.raises(UsageError):
            open_folder(folder)
    assert open_folder(tmp_path / "new" / "folder").is_dir()


def test_a_point_of_an_older_folder_is_kept_by_size_and_time(model: str) -> None:
    (point,) = grid([model])
    older = SweptModel(size_bytes=point.model.size_bytes, mtime_ns=point.model.mtime_ns)
    assert older.is_same(point.model) and point.model.is_same(older)
    (file,) = point.model.files
    restarted = point.model.replace(files=(file.replace(device=file.device + 1),))
    assert restarted.is_same(point.model)
    edited = point.model.replace(files=(file.replace(sha256="0" * 64),))
    assert not edited.is_same(point.model)
