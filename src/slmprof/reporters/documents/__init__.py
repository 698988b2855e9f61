"""What is said: the parts of a report, made by pure functions."""
