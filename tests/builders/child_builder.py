"""Children whose answer is a few lines of Python."""

from __future__ import annotations

import textwrap
from pathlib import Path

import slmprof

MODULE = "a_child_of_tests"
FOREVER = "time.sleep(600)"
PACKAGE_ROOT = str(Path(slmprof.__file__).parents[1])


def write_child(folder: Path, body: str, before: str = "") -> None:
    """A child that runs `body` as its answer, and `before` before it listens."""
    indented = textwrap.indent(textwrap.dedent(body), "    ")
    (folder / f"{MODULE}.py").write_text(
        "import json, os, signal, sys, time\n"
        f"{textwrap.dedent(before)}\n"
        "from pathlib import Path\n"
        "from slmprof.children.protocol import Progress\n"
        "from slmprof.children.serving import serve\n"
        "from slmprof.errors import *\n"
        "def answer(question, folder, on_progress):\n"
        "    Path(folder, 'pid').write_text(str(os.getpid()))\n"
        f"{indented}\n"
        "serve('do this', answer)\n"
    )
