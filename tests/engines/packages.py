"""Packages that slmprof does without, and tests do not."""

from __future__ import annotations

import importlib.util

import pytest


def needs(module: str, name: str = "") -> pytest.MarkDecorator:
    """Skips where a module is not installed; imports nothing. `name` is that of its package."""
    is_missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(is_missing, reason=f"{name or module} is not installed")
