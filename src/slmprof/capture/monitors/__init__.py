"""What watches a run from outside, each monitor in a file."""
