"""Compiles a scheme's file with the system's compiler, once."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ...children.program import Limits, run_program
from ...errors import SchemeError, UsageError
from ...input_file import read_input
from ...machine.environment import cpu_name
from ...models.cache import cache_folder, is_sealed, locked, own_folder, seal
from ...models.resolve import file_stem
from ...settings.scheme_place import MOST_FILE_BYTES
from ...system.processor import processor_flags

INCLUDE = Path(__file__).resolve().parents[2] / "include"
_HEADER = INCLUDE / "slmprof_scheme.h"
_FLAGS = ("-O3", "-fPIC", "-shared", "-Wall", "-Wl,-Bsymbolic")
_LANGUAGES = {".c": ("CC", "cc", "-std=gnu11")}
_CPP = ("CXX", "c++", "-std=gnu++17")
MORE_FLAGS = "SLMPROF_SCHEME_FLAGS"
# A file may include a pipe, at which a compiler waits, or a device without an end, which it reads.
_TO_LIST, _TO_COMPILE = Limits(20.0, 2 << 30), Limits(300.0, 4 << 30)
_NO_MEMORY = re.compile(
    r"out of memory|memory exhausted|cannot allocate memory|bad_alloc", re.IGNORECASE
)
_MOST_LINES = 20
# Of libraries in the cache; raised where the same sources would be kept in another way.
_CONTENT_VERSION = b"2"


def sources_digest(path: Path) -> str:
    """The sha256 of a file, or of it and what it includes beside slmprof's header and the system's.

    Raises:
        UsageError: there is no compiler, or a file cannot be read. SchemeError: one is missing.
    """
    own = _read(path)
    rule = [*_command(path), "-MM", "-MT", "it", str(path)]
    found = _run(rule, path, _TO_LIST, lambda said: said.startswith("it:"))
    listed = shlex.split(found.replace("\\\n", " ").replace("$$", "$"))[1:]
    included = {Path(name).resolve() for name in listed} - {path.resolve(), _HEADER}
    digests = [hashlib.sha256(part).digest() for part in (own, *map(_read, sorted(included)))]
    return digests[0].hex() if not included else hashlib.sha256(b"".join(digests)).hexdigest()


def compiled(path: Path, digest: str) -> Path:
    """The shared library of a file, from the cache where nothing that it is made of has changed.

    `$CC` or `$CXX` names the compiler, and `$SLMPROF_SCHEME_FLAGS` more of its flags.

    Args:
        digest: of its sources.

    Raises:
        SchemeError: it does not compile; with what the compiler says. UsageError: there is no
            compiler, or the cache cannot be written, or others can write there.
    """
    command = _command(path)
    # Of another machine's instructions the same file is another library.
    machine = (platform.machine(), cpu_name(), sorted(processor_flags()))
    made_of = (
        _CONTENT_VERSION,
        digest.encode(),
        _HEADER.read_bytes(),
        repr((command, _version(command[0], path), machine)).encode(),
    )
    key = hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in made_of)).hexdigest()
    folder = cache_folder() / "schemes"
    target = folder / f"{file_stem(path.stem)}-{key[:16]}.so"
    try:
        own_folder(folder.name)
        with locked(target):
            # It is code: what is not known to be this library is never loaded.
            if is_sealed(target, key):
                return target
            with tempfile.TemporaryDirectory(prefix=".compiling-", dir=folder) as own:
                made = Path(own) / target.name
                whole = [*command, "-o", str(made), str(path), "-lm"]
                _run(whole, path, _TO_COMPILE, lambda _: made.is_file())
                made.replace(target)
            seal(target, key)
    except OSError as error:
        raise UsageError(
            f"scheme: cannot write to {folder}: {error.strerror or error}; set SLMPROF_CACHE_DIR "
            "to another folder"
        ) from None
    return target


def _command(path: Path) -> list[str]:
    variable, usual, standard = _LANGUAGES.get(path.suffix, _CPP)
    compiler, *given = shlex.split(os.environ.get(variable, usual)) or [usual]
    found = shutil.which(compiler)
    if found is None:
        raise UsageError(
            f"scheme: there is no compiler {compiler} for {path.name}; install one, or name it "
            f"with ${variable}"
        )
    # Of Arm's architecture -march names the version, and takes no "native" from older compilers.
    is_arm = platform.machine() in ("aarch64", "arm64")
    native = "-mcpu=native" if is_arm else "-march=native"
    more = shlex.split(os.environ.get(MORE_FLAGS, ""))
    return [
        found,
        *given,
        standard,
        *_FLAGS,
        native,
        f"-I{INCLUDE}",
        f"-I{path.resolve().parent}",
        *more,
    ]


def _read(path: Path) -> bytes:
    try:
        return read_input(path, MOST_FILE_BYTES)
    except ValueError as error:
        raise UsageError(f"scheme: {error}") from None


def _version(compiler: str, path: Path) -> str:
    return _ended([compiler, "--version"], path, _TO_LIST).stdout.decode(errors="replace")


def _run(command: Sequence[str], path: Path, limits: Limits, is_done: Callable[[str], bool]) -> str:
    """What the compiler prints.

    Args:
        is_done: whether what it prints, or leaves, is what it was asked for: its status alone may
            be lost, in a program that takes those of all its children.
    """
    done = _ended(command, path, limits)
    told = done.stdout.decode(errors="replace")
    if done.returncode != 0 or not is_done(told):
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        if any(map(_NO_MEMORY.search, lines)):
            raise SchemeError(
                f"{path.name}: the compiler runs out of memory, of which it may have "
                f"{limits.n_bytes / 2**30:.0f} GiB{_doubt(limits)}"
            )
        more = (
            [f"... and {len(lines) - _MOST_LINES} lines more"] if len(lines) > _MOST_LINES else []
        )
        said = "\n".join([*lines[:_MOST_LINES], *more])
        raise SchemeError(f"{path.name} does not compile:\n{said}")
    return told


def _ended(
    command: Sequence[str], path: Path, limits: Limits
) -> subprocess.CompletedProcess[bytes]:
    try:
        return run_program(command, limits)
    except subprocess.TimeoutExpired:
        raise SchemeError(
            f"{path.name}: the compiler takes more than {limits.seconds:.0f} s{_doubt(limits)}"
        ) from None


def _doubt(limits: Limits) -> str:
    """What may be wrong with a file of which only what it includes was asked for."""
    return "; is all that the file includes a regular file?" if limits is _TO_LIST else ""
