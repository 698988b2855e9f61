"""What is asked of a run, and what was used; where a model comes from."""
