"""Profiles on disk: the archive, the file and its history, and what a worker spools."""
