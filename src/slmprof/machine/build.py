"""What the native part was built from."""

from __future__ import annotations

from ..errors import UsageError
from ..native_variant import chosen


def describe_build() -> list[str]:
    """One line for each thing that is known of it: which llama.cpp, which flags, for which CPU."""
    try:
        chosen()
        from .. import _core
    except (ImportError, UsageError) as error:
        return [f"the native part cannot be loaded: {error}"]
    build = _core.build_info()
    source = f"{build.pop('llama_cpp_version')} ({build.pop('llama_cpp_source')})"
    lines = [f"llama.cpp: {source}"]
    for name, value in build.items():
        if isinstance(value, list):
            value = ", ".join(value) or "none"
        elif isinstance(value, bool):
            value = "on" if value else "off"
        lines.append(f"{name.replace('_', ' ')}: {value}")
    return [*lines, f"code for this {_core.cpu_features().rstrip(' |')}"]
