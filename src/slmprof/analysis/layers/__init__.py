"""The layers of a model side by side."""
