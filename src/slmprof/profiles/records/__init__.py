"""What a profile tells in JSON, as typed records."""
