"""slmprof in one process with numba and llama-cpp-python: installs both, and runs the tests of it.

They go into a folder of their own, which the next run uses again; llama-cpp-python is built, with
the options of CMAKE_ARGS.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from reporting import Bar, parser, publish

ROOT = Path(__file__).parents[1]
PACKAGES = ("numba", "llama-cpp-python")
BAD = ("failure", "error", "skipped")


def install(folder: Path) -> dict[str, str]:
    """The versions of the packages in a folder, where those that it lacks are installed."""
    for package in PACKAGES:
        if package not in versions(folder):
            # For this interpreter, whose numpy it must work with.
            command = [sys.executable, "-m", "pip", "install", "--target", str(folder), package]
            subprocess.run([*command, f"numpy=={importlib.metadata.version('numpy')}"], check=True)
    return versions(folder)


def versions(folder: Path) -> dict[str, str]:
    """What of the packages is in a folder."""
    found = importlib.metadata.distributions(path=[str(folder)])
    known = {one.metadata["Name"].lower().replace("_", "-"): one.version for one in found}
    return {name: known[name] for name in PACKAGES if name in known}


def test(folder: Path) -> list[dict[str, str]]:
    """One row for each test, with what became of it."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        options = ["-q", "--junit-xml", str(report), "tests/integration/hosts"]
        subprocess.run(
            [sys.executable, "-m", "pytest", *options], cwd=ROOT, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )  # fmt: skip
        cases = ElementTree.parse(report).iter("testcase")
        return [
            {
                "room": case.get("classname", "").rpartition(".")[2],
                "test": case.get("name", ""),
                "outcome": next((part.tag for part in case if part.tag in BAD), "passed"),
                "s": case.get("time", ""),
            }
            for case in cases
        ]


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("folder", type=Path, help="where the packages are, or come to be")
    options = arguments.parse_args()
    for name, version in install(options.folder.resolve()).items():
        print(name, version)
    rows = test(options.folder.resolve())
    n_bad = sum(row["outcome"] != "passed" for row in rows)
    return publish("hosts", rows, [Bar("tests that do not pass", n_bad, 0, is_most=True)], options)


if __name__ == "__main__":
    sys.exit(main())
