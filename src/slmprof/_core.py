"""Stands for the native module where the build has several: the one for this processor comes.

The module of a build that has one lies beside this file, and Python finds it first.
"""

from __future__ import annotations

from .native_variant import load_in_place_of

load_in_place_of(__name__)
