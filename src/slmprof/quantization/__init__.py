"""Quantization: which type each weight gets, and the files that hold them."""
