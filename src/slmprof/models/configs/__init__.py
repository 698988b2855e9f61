"""Hugging Face's `config.json`, read as dimensions."""
