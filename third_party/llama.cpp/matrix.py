"""Build slmprof with each llama.cpp of a list, and try whether it measures.

Usage: matrix.py [--anchors] [--only VERSION] [--build DIR] [--quick] [--markdown]

The list is matrix.toml. Each source archive is fetched as
resolve.py does it, unless it is in the cache. Then all places of the hooks are looked for, also
those that need BLAS or CUDA; slmprof is built with the CPU alone; and smoke.py measures a tiny
model with it. `--anchors` ends before the build, which needs no compiler. `--quick` compiles
fast rather than to be fast. Prints a table, what is wrong below it, and ends with status 1 where
anything is.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import instrument
import resolve

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OPTIONS = {"GGML_BLAS": "BLAS", "GGML_CUDA": "CUDA"}
COLUMNS = ("version", "llama.cpp", "ggml", "hooks for", "without", "build", "smoke test")
WIDTH = 80
# Of a compiler's or a test's output, which may be long.
N_LINES = 12


@dataclass(frozen=True)
class Version:
    """A source archive, and the options of ggml for which it has no places for the hooks."""

    pin: resolve.Pin
    without: tuple[str, ...] = ()


@dataclass
class Row:
    """What was found of one version; what was not tried is "-".

    Attributes:
        anchors: the parts of ggml whose hooks all have their place, "CPU" first.
        left_out: the features of newer versions that it does not have.
        problems: what is wrong, in words.
    """

    name: str
    llama_cpp: str = "-"
    ggml: str = "-"
    anchors: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    build: str = "-"
    smoke: str = "-"
    problems: list[str] = field(default_factory=list)

    def cells(self) -> tuple[str, ...]:
        """One text for each of COLUMNS."""
        return (
            self.name, self.llama_cpp, self.ggml, ", ".join(self.anchors) or "-",
            ", ".join(self.left_out) or "-", self.build, self.smoke,
        )  # fmt: skip


class StepError(Exception):
    """A program that did not end well, with the end of what it said."""


def read_versions(path: Path, pin: resolve.Pin) -> list[Version]:
    """The versions of a list, with the folders that the pin names."""
    with path.open("rb") as stream:
        entries = tomllib.load(stream)["version"]
    versions = []
    for entry in entries:
        if entry.pop("is_pin", False):
            versions.append(Version(pin))
            continue
        without = tuple(entry.pop("without", ()))
        versions.append(Version(replace(pin, **entry), without))
    return versions


def ggml_version(source: Path) -> str:
    """ggml's own version, as its CMakeLists.txt states it."""
    path = source / "ggml" / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    parts = ("MAJOR", "MINOR", "PATCH")
    numbers = [re.search(rf"GGML_VERSION_{part}\s+(\d+)", text) for part in parts]
    return ".".join(found.group(1) for found in numbers if found) or "unknown"


def check_anchors(row: Row, version: Version, source: Path, anchors: Path) -> None:
    """Looks for the places of all hooks; fills in `anchors` and `left_out`."""
    sources = instrument.Sources(source, version.pin.version)
    for option, name in {"": "CPU", **OPTIONS}.items():
        if option in version.without:
            continue
        hooks = instrument.read_hooks(anchors, [option])
        try:
            _, features = instrument.find_places(hooks, sources)
        except instrument.AnchorError as error:
            row.problems.append(f"hooks for {name}: {error}")
            continue
        row.anchors += (name,)
        known = dict.fromkeys(hook.feature for hook in hooks if hook.feature)
        missing = [one for one in known if one not in features and one not in row.left_out]
        row.left_out += tuple(missing)


def step(command: Sequence[str], what: str, **environment: str) -> str:
    """Runs a program and returns what it prints.

    Raises:
        StepError: it did not end well.
    """
    answer = subprocess.run(
        list(command), capture_output=True, text=True, env={**os.environ, **environment}
    )
    if answer.returncode != 0:
        lines = [line for line in (answer.stdout + answer.stderr).splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"\berror\b|\bError\b", line)]
        shown = "\n    ".join((errors or lines)[:N_LINES] or ["nothing said"])
        raise StepError(f"{what}: status {answer.returncode}:\n    {shown}")
    return answer.stdout


def build(source: Path, folder: Path, is_quick: bool) -> Path:
    """Builds slmprof with a llama.cpp; returns the folder for PYTHONPATH.

    Raises:
        StepError: it cannot be built.
    """
    flags = [f"-DSLMPROF_LLAMA_CPP_DIR={source}", f"-DPython_EXECUTABLE={sys.executable}"]
    flags += ["-DSLMPROF_WARNINGS_AS_ERRORS=ON", "-DCMAKE_BUILD_TYPE=Release"]
    if is_quick:
        flags[-1] = "-DCMAKE_BUILD_TYPE=None"
        flags += ["-DCMAKE_C_FLAGS=-O1", "-DCMAKE_CXX_FLAGS=-O1"]
    if shutil.which("ninja"):
        flags += ["-G", "Ninja"]
    if shutil.which("ccache"):
        flags += [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")]
    step(["cmake", "-S", str(ROOT), "-B", str(folder / "build"), *flags], "configuring")
    # As many jobs as CMAKE_BUILD_PARALLEL_LEVEL or the generator says.
    step(["cmake", "--build", str(folder / "build")], "building")
    package = folder / "package"
    shutil.rmtree(package, ignore_errors=True)
    ignored = shutil.ignore_patterns("_core*.so", "__pycache__")
    shutil.copytree(ROOT / "src" / "slmprof", package / "slmprof", ignore=ignored)
    step(["cmake", "--install", str(folder / "build"), "--prefix", str(package)], "installing")
    return package


def smoke_test(package: Path, folder: Path) -> list[str]:
    """What does not hold together in a small run; see smoke.py.

    Raises:
        StepError: the test itself ended.
    """
    results = folder / "smoke"
    results.mkdir(parents=True, exist_ok=True)
    answer = step(
        [sys.executable, str(HERE / "smoke.py"), str(results)], "smoke test",
        PYTHONPATH=str(package), SLMPROF_CACHE_DIR=str(folder / "cache"),
    )  # fmt: skip
    problems: list[str] = json.loads(answer.splitlines()[-1])
    return problems


def examine(version: Version, folder: Path | None, is_quick: bool = False) -> Row:
    """Everything of one version.

    Args:
        folder: where it is built; None for its anchors alone.
    """
    row = Row(version.pin.version)
    try:
        source = resolve.resolve_pinned(version.pin, with_peers=False)
    except (resolve.SourceError, OSError, tarfile.TarError) as error:
        row.problems.append(str(error))
        return row
    row.llama_cpp, row.ggml = resolve.read_version(source), ggml_version(source)
    check_anchors(row, version, source, HERE / "anchors.toml")
    if folder is None or row.problems:
        return row
    folder = folder / version.pin.version
    try:
        row.build = "FAILED"
        package = build(source, folder, is_quick)
        row.build, row.smoke = "ok", "FAILED"
        row.problems += smoke_test(package, folder)
        row.smoke = "FAILED" if row.problems else "ok"
    except StepError as error:
        row.problems.append(str(error))
    return row


def markdown(rows: Sequence[Row]) -> str:
    """A table for the documentation."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table(rows: Sequence[Row]) -> str:
    """The same for 80 columns; what is left out stands in lines of its own."""
    kept = [i for i, name in enumerate(COLUMNS) if name != "without"]
    lines = [[cells[i] for i in kept] for cells in (COLUMNS, *(row.cells() for row in rows))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(kept))]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    text.insert(1, "─" * min(WIDTH, sum(widths) + 2 * (len(widths) - 1)))
    text += [line for row in rows if row.left_out for line in _left_out(row)]
    return "\n".join(text)


def _left_out(row: Row) -> Iterator[str]:
    line = f"{row.name} is without"
    for number, name in enumerate(row.left_out):
        word = name + ("," if number + 1 < len(row.left_out) else "")
        if len(line) + 1 + len(word) > WIDTH:
            yield line
            line = "   "
        line += f" {word}"
    yield line


def choose(versions: Sequence[Version], names: Sequence[str]) -> list[Version]:
    """Those with these numbers, or "oldest", "pin" or "newest"; all where none is named.

    Raises:
        SystemExit: there is no such version.
    """
    known = {version.pin.version: version for version in versions}
    pin = next(
        version for version in versions if version.pin == resolve.read_pin(HERE / "pin.toml")
    )
    known |= {"oldest": versions[0], "pin": pin, "newest": versions[-1]}
    if unknown := [name for name in names if name not in known]:
        raise SystemExit(f"no version {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] or list(versions)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--anchors", action="store_true", help="look for the hooks' places only")
    parser.add_argument("--only", metavar="VERSION", action="append", default=[])
    parser.add_argument("--build", type=Path, metavar="DIR", default=ROOT / "build" / "matrix")
    parser.add_argument("--quick", action="store_true", help="compile with -O1")
    parser.add_argument("--markdown", action="store_true", help="the table for the documentation")
    arguments = parser.parse_args()
    versions = read_versions(HERE / "matrix.toml", resolve.read_pin(HERE / "pin.toml"))
    rows = []
    for version in choose(versions, arguments.only):
        print(f"{version.pin.requirement} …", file=sys.stderr, flush=True)
        folder = None if arguments.anchors else arguments.build.resolve()
        rows.append(examine(version, folder, arguments.quick))
    print(markdown(rows) if arguments.markdown else table(rows))
    problems = [(row.name, problem) for row in rows for problem in row.problems]
    for name, problem in problems:
        print(f"{name}: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
