"""Quantization schemes that users write: what they declare, and what they do to numbers."""
