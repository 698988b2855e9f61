"""Two profiles side by side: what of one answers to what of the other, and what can be told."""
