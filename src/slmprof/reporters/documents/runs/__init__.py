"""The report of a run: a screen, everything, or one view."""
