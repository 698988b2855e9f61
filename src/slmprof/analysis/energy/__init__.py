"""From the readings of energy counters to joules with their uncertainty (docs/energy.md)."""
