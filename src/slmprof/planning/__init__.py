"""Planned memory: what a model would take, without reading its weights."""
