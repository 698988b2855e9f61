"""Meta data that is no JSON, or says what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_edits import edit, meta_bytes, npy
from memory_builder import observation

from slmprof.errors import ProfileFormatError
from slmprof.profiles.file import load


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"a": NaN}',
        b"[" * 100_000,
        b'{"a": ' + b"9" * 9999 + b"}",
    ],
)
def test_bad_meta_text(path: Path, text: bytes) -> None:
    edit(path, lambda m: m.update({"meta.npy": npy(np.frombuffer(text, np.uint8))}))
    with pytest.raises(ProfileFormatError):
        load(path)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["format"], "other"),
        (["strings"], None),
        (["strings"], [1]),
        (["strings"], []),
        (["enums"], {"phase": ["decode", "prefill"]}),
        (["model"], []),
        (["model", "n_params"], "many"),
        (["model", "n_layer"], 1.5),
        (["model", "n_params"], 10**400),
        (["model", "size_bytes"], 2**63),
        (["model", "tensor_types"], {"q4_K": 10**400}),
        (["memory", "rss_peak_bytes"], -(10**400)),
        (["memory", "buffers"], [{"size_bytes": 1e308}]),
        (["memory", "buffers"], [{"size_bytes": 2**63}]),
        (["model", "random_weights"], 1),
        (["model", "tensor_types"], {"q4_K": "x"}),
        (["environment", "warnings"], [1]),
        (["environment", "warnings"], "text"),
        (["run", "warmup"], {"prefill": 3}),
        (["run", "events"], "some"),
        (["run", "complete"], "yes"),
        (["memory", "buffers"], [3]),
        (["memory", "predicted"], [{"size_bytes": "1"}]),
        (["memory", "predicted"], {}),
        (["memory", "observations"], [3]),
        (["memory", "observations"], {}),
        (["memory", "observations"], [{}]),
        (["memory", "observations"], [observation("load", 1.0, buffers=3)]),
        (["memory", "observations"], [observation("load", 1.0, buffers=[3])]),
        (["memory", "observations"], [observation("load", 1.0, buffers=[{"buffer": 0}])]),
        (["memory", "observations"], [observation("load", 1.0, n_past="1")]),
        (["memory", "observations"], [observation("load", 1.0, n_past=None)]),
        (["memory", "observations"], [{**observation("load", 1.0), "point": None}]),
        (["memory", "observations"], [observation("load", 1.0, rss_bytes=1.5)]),
        (["memory", "observations"], [observation("load", 1.0, rss_bytes=True)]),
        (["memory", "observations"], [observation("load", 1.0, rss_bytes=-1)]),
        (["memory", "observations"], [observation("load", 1.0, heap_bytes=2**50)]),
        (["memory", "observations"], [observation("load", 1.0, pss_bytes=10**400)]),
        (["memory", "buffers"], [{"size_bytes": "1"}]),
        (["slmprof"], "0.1.0"),
    ],
)
def test_bad_meta_values(path: Path, keys: list[str], value: Any) -> None:
    def change(meta: dict[str, Any]) -> None:
        part = meta
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    edit(path, meta_bytes(change))
    with pytest.raises(ProfileFormatError):
        load(path)


def test_absent_meta_values_are_null(path: Path) -> None:
    def change(meta: dict[str, Any]) -> None:
        for part in ("model", "environment", "config", "run", "memory", "slmprof", "enums"):
            del meta[part]

    edit(path, meta_bytes(change))
    profile = load(path)
    assert profile.meta.model.name is None
    assert profile.meta.memory.buffers == ()
    assert profile.meta.run.events is None


def test_half_surrogates_become_printable(path: Path) -> None:
    edit(path, meta_bytes(lambda meta: meta["strings"].append("\ud800")))
    assert load(path).strings[-1] == "?"
