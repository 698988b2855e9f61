"""Time by op, block, kernel and depth: the tables that a report shows."""
