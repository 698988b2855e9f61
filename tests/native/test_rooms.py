"""The rooms of the native part, and which of them may include which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

CSRC = Path(__file__).parents[2] / "csrc"
# From low to high: a room includes itself and those before it.
ROOMS = (
    "llama_api",
    "record",
    "memory",
    "gguf",
    "kernels",
    "cuda",
    "engine",
    "quant",
    "machine",
    "bindings",
)
_INCLUDE = re.compile(rf'#include "(({"|".join(ROOMS)})/[^"]+)"')


def includes() -> Iterator[tuple[Path, str, str]]:
    """Each file, with what it includes of the project's own, and that file's room."""
    for path in sorted(CSRC.rglob("*.*")):
        for included, room in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            yield path.relative_to(CSRC), included, room


def test_includes_point_one_way() -> None:
    assert {path.name for path in CSRC.iterdir() if path.is_dir()} == set(ROOMS)
    upwards = [
        f"{path} includes {included}"
        for path, included, room in includes()
        if ROOMS.index(room) > ROOMS.index(path.parts[0])
    ]
    assert upwards == []


def test_the_engine_and_its_neighbours_alone_include_what_llama_cpp_may_change() -> None:
    users = {
        path.relative_to(CSRC).parts[0]
        for path in CSRC.rglob("*.*")
        if re.search(r'#include [<"]llama[^>"/]*[>"]', path.read_text(encoding="utf-8"))
    }
    assert users == {"llama_api", "engine", "quant"}


def test_what_differs_between_versions_of_llama_cpp_is_named_in_one_room() -> None:
    names = (
        "load_mode", "use_direct_io", "max_buf_size", ".mmap_support", "DEVICE_TYPE_META",
        "llama_ftype_name", "llama_model_ftype", "llama_model_n_expert",
    )  # fmt: skip
    users = {
        path.relative_to(CSRC).parts[0]
        for path in CSRC.rglob("*.*")
        if any(name in path.read_text(encoding="utf-8") for name in names)
    }
    assert users == {"llama_api"}


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
