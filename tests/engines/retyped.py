"""Copies of a GGUF file in which one tensor has another type, and what becomes of them.

As a program, `python retyped.py FILE FOLDER [TYPE...]`, it gives every kind of tensor of a file
each of these types, or every type, and prints one JSON object a line: what the planner and the
engine say of each, each in a process of its own. All types also run without flash attention.
"""

from __future__ import annotations

import json
import os
import re
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from gguf_header import GgufHeader, read_header

# Numbers of ggml's types.
TYPES = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q8_1": 9,
    "q2_K": 10, "q3_K": 11, "q4_K": 12, "q5_K": 13, "q6_K": 14, "q8_K": 15, "iq2_xxs": 16,
    "iq2_xs": 17, "iq3_xxs": 18, "iq1_s": 19, "iq4_nl": 20, "iq3_s": 21, "iq2_s": 22,
    "iq4_xs": 23, "i8": 24, "i16": 25, "i32": 26, "i64": 27, "f64": 28, "iq1_m": 29, "bf16": 30,
    "tq1_0": 34, "tq2_0": 35, "mxfp4": 39,
}  # fmt: skip
_NAMES = {number: name for name, number in TYPES.items()}
_ALIGNMENT = 32


def retyped(source: Path, target: Path, tensor: str, type_name: str) -> Path:
    """A copy with one tensor of another type; holes stand for all weights.

    Raises:
        ValueError: rows of the tensor do not divide into the type's blocks.
    """
    from slmprof import _core

    header = read_header(source)
    table = b""
    offset = 0
    for name, one in header.tensors.items():
        number = TYPES[type_name] if name == tensor else one.type
        text = name.encode()
        table += struct.pack("<Q", len(text)) + text + struct.pack("<I", len(one.shape))
        table += struct.pack(f"<{len(one.shape)}QIQ", *one.shape, number, offset)
        n_bytes = _core.tensor_size_bytes(_NAMES[number], one.shape)
        offset += -(-n_bytes // _ALIGNMENT) * _ALIGNMENT
    head = source.read_bytes()[: header.begin_of_tensors] + table
    head += bytes(-len(head) % _ALIGNMENT)
    target.write_bytes(head)
    os.truncate(target, len(head) + offset)
    return target


def kinds_of_tensors(header: GgufHeader) -> list[str]:
    """One tensor of each kind: those outside the layers, and those of the first layer."""
    found: dict[str, str] = {}
    for name in header.tensors:
        found.setdefault(re.sub(r"blk\.\d+\.", "", name), name)
    return list(found.values())


def outcome_in_a_child(path: Path, flash_attn: int) -> dict[str, object]:
    """What the planner and then the engine say of a file: `signal`, `planned` and `ran`."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.write(writing, json.dumps(_outcome(path, flash_attn)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        said = stream.read()
    _, status = os.waitpid(pid, 0)
    signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    return {"signal": signal, **(json.loads(said) if said else {})}


def _outcome(path: Path, flash_attn: int) -> dict[str, object]:
    from engines import make_settings

    from slmprof import _core
    from slmprof.children.native_errors import guarded
    from slmprof.errors import SlmprofError

    os.environ["GGML_NO_BACKTRACE"] = "1"
    settings = make_settings(path, n_ctx=64, n_threads=1, flash_attn=flash_attn)
    found: dict[str, object] = {}
    try:
        guarded(path, lambda: _core.Planner(settings).plan(settings))
        found["planned"] = ""
    except SlmprofError as error:
        found["planned"] = f"{type(error).__name__}: {error}"
    try:
        engine = guarded(path, lambda: _core.Engine(settings))
        guarded(path, lambda: engine.prefill([1, 2, 3], 0))
        guarded(path, lambda: engine.decode([1], 0))
        found["ran"] = ""
    except SlmprofError as error:
        found["ran"] = f"{type(error).__name__}: {error}"
    return found


def outcomes(source: Path, folder: Path, types: Sequence[str]) -> Iterator[dict[str, object]]:
    """Every kind of tensor in each of these types, or in every type."""
    for tensor in kinds_of_tensors(read_header(source)):
        for name in types or TYPES:
            try:
                path = retyped(source, folder / "retyped.gguf", tensor, name)
            except ValueError:
                continue
            for flash_attn in (1,) if types else (0, 1):
                yield {
                    "tensor": tensor,
                    "type": name,
                    "flash_attn": flash_attn,
                    **outcome_in_a_child(path, flash_attn),
                }


if __name__ == "__main__":
    for one in outcomes(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]):
        print(json.dumps(one), flush=True)
