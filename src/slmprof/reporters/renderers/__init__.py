"""How it is written: terminal, Markdown, JSON, CSV."""
