"""The report of planned memory."""
