"""Child processes: how they are started, asked and ended."""
