"""What it takes to apply quantization schemes in Python to a model: seconds, and peak memory.

Each scheme is applied by `slmprof quant make` in a process of its own: classes of `gguf.quants`,
and any FILE.py:NAME. The model is synthesised before that.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from reporting import Bar, add_models, model_text, parser, publish

from slmprof.models.resolve import resolve_model

_DEFAULT = "gguf.quants:Q4_0,gguf.quants:Q5_1,gguf.quants:TQ2_0"
_MOST_SECONDS = 60
_MOST_BYTES = 2**31
# What a process and its children took at most, when all of them have ended.
_MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
sys.exit(status)
"""


def apply(model: str, scheme: str) -> tuple[float, int]:
    """Seconds, and bytes of memory at most."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, "-c", _MEASURED, sys.executable, "-m", "slmprof", "quant", "make",
            model, "--scheme", scheme, "-o", str(Path(folder) / "made.gguf"),
        ]  # fmt: skip
        begin = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return time.perf_counter() - begin, int(done.stdout)


def main() -> int:
    arguments = parser(__doc__)
    add_models(arguments, "qwen2-0.5b@F16")
    arguments.add_argument("--schemes", default=_DEFAULT, help="separated by commas")
    options = arguments.parse_args()
    rows: list[dict[str, Any]] = []
    bars: list[Bar] = []
    for name in options.models.split(","):
        model = model_text(name)
        resolve_model(model)
        for scheme in options.schemes.split(","):
            seconds, n_bytes = apply(model, scheme)
            rows.append(
                {"model": name, "scheme": scheme, "s": seconds, "peak MiB": n_bytes / 2**20}
            )
            bars.append(Bar(f"{name} {scheme} seconds", seconds, _MOST_SECONDS, True))
            bars.append(Bar(f"{name} {scheme} peak bytes", n_bytes, _MOST_BYTES, True))
    return publish("schemes", rows, bars, options)


if __name__ == "__main__":
    sys.exit(main())
