"""The rooms of the native part, and which of them may include which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CSRC = Path(__file__).parents[2] / "csrc"
# From low to high: a room includes itself and those before it.
ROOMS = ("record", "memory", "gguf", "kernels", "cuda", "engine", "quant", "machine", "bindings")
_INCLUDE = re.compile(rf'#include "(({"|".join(ROOMS)})/[^"]+)"')


def includes() -> Iterator[tuple[Path, str, str]]:
    """Each file, with what it includes of the project's own, and that file's room."""
    for path in sorted(CSRC.rglob("*.*")):
        for included, room in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            yield path.relative_to(CSRC), included, room


def test_includes_point_one_way() -> None:
    assert {path.parts[0] for path, _, _ in includes()} == set(ROOMS)
    upwards = [
        f"{path} includes {included}"
        for path, included, room in includes()
        if ROOMS.index(room) > ROOMS.index(path.parts[0])
    ]
    assert upwards == []


def test_engine_and_quant_alone_include_what_llama_cpp_may_change() -> None:
    users = {
        path.relative_to(CSRC).parts[0]
        for path in CSRC.rglob("*.*")
        if re.search(r'#include [<"]llama[^>"]*[>"]', path.read_text(encoding="utf-8"))
    }
    assert users == {"engine", "quant"}


def test_pybind11_is_seen_by_the_bindings_alone() -> None:
    users = {
        path.relative_to(CSRC).parts[0]
        for path in CSRC.rglob("*.*")
        if "pybind11" in re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
    }
    assert users == {"bindings"}


def test_cuda_room_needs_no_ggml_and_few_files_of_it_need_cupti() -> None:
    """So that the join is tested, and a profile joined again, on a machine without either."""
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in (CSRC / "cuda").glob("*.*")]
    assert not [name for name, text in texts if re.search(r'#include [<"]ggml', text)]
    direct = {name for name, text in texts if re.search(r"#include <(cuda|cupti)", text)}
    # The driver is called by name, of whose functions its header tells.
    assert direct == {"cupti_api", "driver"}
    users = {name for name, text in texts if '#include "cuda/cupti_api.h"' in text}
    assert users == {"cupti_api", "cupti_session", "record_reader"}


def test_the_cuda_runtime_is_seen_by_the_measurement_of_devices_alone() -> None:
    """So that all else builds without it."""
    users = {
        str(path.parent.relative_to(CSRC))
        for path in CSRC.rglob("*.*")
        if re.search(r"#include <cuda_runtime", path.read_text(encoding="utf-8"))
    }
    assert users == {"machine/cuda"}
