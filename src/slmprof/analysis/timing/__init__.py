"""From events to statistics: spans, phases, ops and their tables."""
