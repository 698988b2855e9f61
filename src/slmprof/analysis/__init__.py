"""Pure functions from a profile to numbers and DataFrames. Nothing here formats or prints."""
