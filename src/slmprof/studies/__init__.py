"""Studies of quantization: several models made of one, scored and timed side by side."""
