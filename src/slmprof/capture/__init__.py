"""Capture: the engine driven through its passes, in this process or in a worker."""

from .process import profile

__all__ = ["profile"]
