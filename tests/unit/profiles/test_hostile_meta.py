"""Meta data that is no JSON, or says what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archive_edits import edit, meta_bytes, npy
from memory_builder import observation

from slmprof.errors import ProfileFormatError
from slmprof.profiles import vocabulary
from slmprof.profiles.storage.file import load
from slmprof.settings.resolved import ResolvedConfig
from slmprof.settings.table import table


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
        (["energy"], []),
        (["energy"], {"n_depth": 0}),
        (["energy"], {"window_s": -1.0}),
        (["energy"], {"window_s": 5.0, "refusals": [{"reason": "bored"}]}),
        (["energy"], {"window_s": 5.0, "sources": [{"name": "package", "counter": "guess"}]}),
        (["energy"], {"window_s": 5.0, "windows": [{"state": "idle", "round": 0}]}),
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
    edit(path, meta_bytes(setting(keys, value)))
    with pytest.raises(ProfileFormatError):
        load(path)


def setting(keys: list[str], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(meta: dict[str, Any]) -> None:
        part = meta
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("phase", ["decode", "prefill"]),
        ("usage", ["none", "weights", "state", "compute"]),
        ("clock", ["host", "device"]),
        ("clock", "host"),
        ("weather", ["rain"]),
    ],
)
def test_other_enums(path: Path, name: str, texts: Any) -> None:
    edit(path, meta_bytes(setting(["enums", name], texts)))
    with pytest.raises(ProfileFormatError, match=rf"enums\.'{name}'"):
        load(path)


@pytest.mark.parametrize("name", list(vocabulary.ENUMS))
def test_an_enum_may_have_grown(path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(vocabulary.ENUMS, name, (*vocabulary.ENUMS[name], "new"))
    assert len(load(path).events)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_ctx", -5),
        ("n_ctx", 2**31),
        ("threads", 0),
        ("threads", 10**30),
        ("n_prompt", 0),
        ("n_depth", [0, -1]),
        ("flash_attn", "perhaps"),
        ("type_k", ""),
        ("override_tensor", ["no buffer"]),
        ("device", ""),
        ("timeout", 0),
    ],
)
def test_settings_that_cannot_be(path: Path, name: str, value: Any) -> None:
    edit(path, meta_bytes(setting(["config", name], value)))
    with pytest.raises(ProfileFormatError, match=rf"config\.{name} has an impossible value"):
        load(path)


def test_settings_that_can_be(path: Path) -> None:
    # No decoding in a model that only encodes; a device that this build does not have.
    told = {"n_gen": 0, "device": "cuda0", "n_depth": [0, 512], "flash_attn": "on", "seed": None}
    defaults = {name: setting.default for name, setting in table(ResolvedConfig).items()}
    edit(path, meta_bytes(lambda meta: meta.update(config={**defaults, **told})))
    config = load(path).meta.config
    assert (config.n_gen, config.device, config.n_depth) == (0, "cuda0", (0, 512))


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
