"""Builds a wheel from the source archive without git, and without a network but the package index.

    python -m pip install build
    python packaging/check_sdist.py

What the build needs is fetched before, by pip from the package index. The build itself runs in a
network namespace of its own, in which there is no network at all, with a PATH without git and with
an empty cache. Needs Linux's `unshare`. It takes as long as any build.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from wheels import compiler_cache, make_source, only_wheel, run, unpack

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# What scikit-build-core asks for besides, where the system has none that is new enough.
_TOOLS = ("cmake", "ninja")


def fetch(source: Path, output: Path) -> None:
    """What the build of an unpacked source archive takes from the package index."""
    with (source / "pyproject.toml").open("rb") as file:
        needed = tomllib.load(file)["build-system"]["requires"]
    with (source / "third_party/llama.cpp/pin.toml").open("rb") as file:
        pin = tomllib.load(file)
    pip = (sys.executable, "-m", "pip")
    run(*pip, "wheel", "--quiet", "--wheel-dir", output, *needed, *_TOOLS)
    run(*pip, "install", "--quiet", "--target", output / "backend", *needed)
    run(*pip, "download", "--quiet", "--no-deps", "--no-binary", pin["package"],
        "--no-build-isolation", "--dest", output, f"{pin['package']}=={pin['version']}",
        PYTHONPATH=str(output / "backend"))  # fmt: skip


def without_git(folder: Path) -> Path:
    """A folder with a link to each program on the PATH but git's."""
    folder.mkdir()
    for place in filter(None, os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            link = folder / program.name
            if not program.name.startswith("git") and not link.is_symlink():
                link.symlink_to(program.absolute())
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        scratch = Path(text)
        archive = make_source(scratch)
        source = unpack(archive, scratch / "source")
        index = scratch / "index"
        fetch(source, index)
        programs = without_git(scratch / "programs")
        if shutil.which("git", path=str(programs)):
            raise RuntimeError("there still is a git")
        command = [
            "unshare", "--net", "--map-root-user", sys.executable, "-m", "pip", "wheel",
            "--no-deps", "--wheel-dir", str(scratch / "made"), str(archive),
        ]  # fmt: skip
        print("+", *command, file=sys.stderr)
        subprocess.run(
            command,
            check=True,
            cwd=scratch,
            env={
                **{
                    name: value for name, value in os.environ.items() if "proxy" not in name.lower()
                },
                **compiler_cache(scratch),
                "PATH": str(programs),
                "PIP_NO_INDEX": "1",
                "PIP_FIND_LINKS": str(index),
                "SLMPROF_CACHE_DIR": str(scratch / "cache"),
            },
        )
        wheel = only_wheel(scratch / "made")
        print(f"{archive.name} gives {wheel.name}, of {wheel.stat().st_size / 2**20:.1f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
