"""Counters of energy: what there are, and what they tell over a window (docs/energy.md)."""
