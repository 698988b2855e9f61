"""Makes a fork of llama.cpp with a type of its own, as people write them.

Usage: make_fork.py SOURCE TARGET

TARGET becomes a copy of SOURCE, a llama.cpp that slmprof builds from, with the type x6_0 (x6_0.h
beside this file) and the file type X6_0 behind the last of upstream's own.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

_HERE = Path(__file__).parent
_HEADER = "x6_0.h"
# File, a text that stands in a line of it, and what goes before every such line.
_BEFORE = (
    (
        "ggml/src/ggml.c",
        "static const struct ggml_type_traits type_traits[",
        f'#include "{_HEADER}"',
    ),
    (
        "ggml/src/ggml.c",
        "[GGML_TYPE_NVFP4] = {",
        '[GGML_TYPE_X6_0] = { .type_name = "x6_0", .blck_size = QK_X6_0,'
        " .type_size = sizeof(struct block_x6_0), .is_quantized = true,"
        " .to_float = (ggml_to_float_t) dequantize_row_x6_0,"
        " .from_float_ref = (ggml_from_float_t) quantize_row_x6_0 },",
    ),
    (
        "ggml/src/ggml.c",
        "case GGML_TYPE_NVFP4:   result =",
        "case GGML_TYPE_X6_0: result = quantize_x6_0(src + start,"
        " (char *) dst + start_row * row_size, nrows, n_per_row); break;",
    ),
    (
        "ggml/src/ggml-cpu/ggml-cpu.c",
        "static const struct ggml_type_traits_cpu type_traits_cpu[",
        f'#include "../{_HEADER}"',
    ),
    (
        "ggml/src/ggml-cpu/ggml-cpu.c",
        "[GGML_TYPE_NVFP4] = {",
        "[GGML_TYPE_X6_0] = { .from_float = quantize_row_x6_0, .vec_dot = vec_dot_x6_0_f32,"
        " .vec_dot_type = GGML_TYPE_F32, .nrows = 1 },",
    ),
    ("ggml/src/ggml-quants.c", "case GGML_TYPE_NVFP4:", "case GGML_TYPE_X6_0: break;"),
    ("ggml/src/ggml-cpu/ops.cpp", "case GGML_TYPE_NVFP4:", "case GGML_TYPE_X6_0:"),
    (
        "src/llama-quant.cpp",
        "case LLAMA_FTYPE_MOSTLY_Q8_0: return",
        "case LLAMA_FTYPE_MOSTLY_X6_0: return GGML_TYPE_X6_0;",
    ),
    (
        "src/llama-model-loader.cpp",
        "case LLAMA_FTYPE_MOSTLY_NVFP4:     name =",
        'case LLAMA_FTYPE_MOSTLY_X6_0: name = LLAMA_FTYPE_PREFIX "X6_0"; break;',
    ),
    (
        "src/llama-model-loader.cpp",
        "case GGML_TYPE_NVFP4:   ftype =",
        "case GGML_TYPE_X6_0: ftype = LLAMA_FTYPE_MOSTLY_X6_0; break;",
    ),
)


def make_fork(source: Path, target: Path) -> None:
    """Raises ValueError where the source is not what the type was written for."""
    shutil.copytree(source, target, symlinks=True)
    shutil.copy(_HERE / _HEADER, target / "ggml" / "src" / _HEADER)
    _edit(target / "ggml/include/ggml.h", _numbered)
    _edit(target / "include/llama.h", _file_type)
    for file in dict.fromkeys(one[0] for one in _BEFORE):
        for _, text, inserted in (one for one in _BEFORE if one[0] == file):
            _insert(target / file, text, inserted)


def _edit(path: Path, edit: Callable[[str], str]) -> None:
    path.write_text(edit(path.read_text(encoding="utf-8")), encoding="utf-8")


def _numbered(text: str) -> str:
    """The type takes the number that was the count."""

    def put(count: re.Match[str]) -> str:
        number = int(count[2])
        return f"GGML_TYPE_X6_0 = {number},\n        {count[1]}{number + 1}"

    return _once(r"(GGML_TYPE_COUNT\s*=\s*)(\d+)", put, text)


def _file_type(text: str) -> str:
    numbers = map(int, re.findall(r"^\s*LLAMA_FTYPE_MOSTLY_\w+\s*=\s*(\d+)", text, re.MULTILINE))
    number = max(numbers) + 1
    return _once(
        r"LLAMA_FTYPE_GUESSED\s*=",
        lambda found: f"LLAMA_FTYPE_MOSTLY_X6_0 = {number},\n        {found[0]}",
        text,
    )


def _once(pattern: str, put: Callable[[re.Match[str]], str], text: str) -> str:
    made, n = re.subn(pattern, put, text)
    if n != 1:
        raise ValueError(f"{pattern!r} stands {n} times")
    return made


def _insert(path: Path, text: str, inserted: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    if not any(text in line for line in lines):
        raise ValueError(f"{path}: there is no line with {text!r}")
    made = [new for line in lines for new in ((inserted, line) if text in line else (line,))]
    path.write_text("\n".join(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    make_fork(Path(sys.argv[1]), Path(sys.argv[2]))
