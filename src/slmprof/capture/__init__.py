"""Capture: the engine driven through its passes, in this process or in a worker."""
