"""What the system says of itself and leaves a process: its files, control groups and cores."""
