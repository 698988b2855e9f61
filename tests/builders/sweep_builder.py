"""Grids of short prompts."""

from __future__ import annotations

from typing import Any

from slmprof.capture.sweep import make_grid


def grid(models: list[str], **settings: Any) -> list[Any]:
    return make_grid(models, {"n_prompt": (16,), **settings})
