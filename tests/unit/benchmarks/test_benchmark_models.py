"""What the benchmarks take for a model."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("tiny", "preset:tiny"),
        ("qwen2-0.5b@Q8_0", "preset:qwen2-0.5b@Q8_0"),
        ("preset:tiny", "preset:tiny"),
        ("models/mine.gguf", "models/mine.gguf"),
        ("MINE.GGUF", "MINE.GGUF"),
        ("config.json", "config.json"),
        ("config.json@Q8_0", "config.json@Q8_0"),
    ],
)
def test_a_benchmark_takes_presets_and_files(
    name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    monkeypatch.delitem(sys.modules, "reporting", raising=False)
    from reporting import model_text

    assert model_text(name) == model


def test_no_benchmark_takes_presets_alone() -> None:
    """Each goes through `model_text`, so that a real model can be measured with all of them."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in _BENCHMARKS.glob("*.py")}
    alone = [name for name, text in texts.items() if 'f"preset:{' in text]
    # The planner's bars are those of one model.
    assert sorted(alone) == ["planner.py", "reporting.py"]
