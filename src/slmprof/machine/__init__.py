"""This machine: cores, environment, caches, and its measured ceilings."""
