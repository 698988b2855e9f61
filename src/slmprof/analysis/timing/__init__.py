"""From events to statistics: spans, samples, phases."""
