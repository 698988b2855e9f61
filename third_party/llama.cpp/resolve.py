"""Find llama.cpp's source, and print "DIRECTORY;VERSION;ORIGIN" in one line.

Usage: resolve.py --pin pin.toml [--checkout DIR] [--peers]

With --checkout the user's own copy is used as it is. Otherwise the pinned package's source archive
is fetched by pip (which uses whatever index the user has configured), its sha256 is checked, and
the folders that the pin lists are unpacked into the user's cache folder, where the next build finds
them without a network. What lies there is compiled, so it is used only where nobody but this user
can have put it there, and as long as it is what was unpacked.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class SourceError(Exception):
    """The source cannot be had or is not what the pin says."""


@dataclass(frozen=True)
class Pin:
    """The pinned source archive: see pin.toml.

    Attributes:
        is_isolated: pip, which asks each archive for its metadata, has to fetch what that needs.
    """

    package: str
    version: str
    sha256: str
    root: str
    folders: tuple[str, ...]
    peer_folders: tuple[str, ...]
    is_isolated: bool = False

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


def read_pin(path: Path) -> Pin:
    with path.open("rb") as stream:
        document = tomllib.load(stream)
    document["folders"] = tuple(document["folders"])
    document["peer_folders"] = tuple(document["peer_folders"])
    return Pin(**document)


def cache_folder() -> Path:
    """The user's cache folder for slmprof."""
    own = os.environ.get("SLMPROF_CACHE_DIR")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "slmprof"


def read_version(source: Path) -> str:
    """llama.cpp's own version, as its CMakeLists.txt states it."""
    text = (source / "CMakeLists.txt").read_text(encoding="utf-8", errors="replace")
    parts = ("MAJOR", "MINOR", "PATCH")
    numbers = [re.search(rf"LLAMA_VERSION_{part}\s+(\d+)", text) for part in parts]
    return ".".join(found.group(1) for found in numbers if found) or "unknown"


def git_commit(source: Path) -> str:
    """The checkout's commit, or an empty string where there is none to be had."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(source), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return answer.stdout.strip()


def check_folders(source: Path, names: tuple[str, ...]) -> None:
    missing = [name for name in names if not (source / name).exists()]
    if missing:
        raise SourceError(f"{source} is not a llama.cpp checkout: it has no {', '.join(missing)}")


def fetch_archive(pin: Pin, folder: Path) -> Path:
    """Download the source archive with pip and check its sha256."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{pin.requirement} --hash=sha256:{pin.sha256}\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-binary", pin.package, "--require-hashes",
        "--dest", str(folder), "--requirement", str(requirements),
    ]  # fmt: skip
    if not pin.is_isolated:
        command.append("--no-build-isolation")
    answer = subprocess.run(command, capture_output=True, text=True)
    archives = list(folder.glob("*.tar.gz"))
    if answer.returncode != 0 or len(archives) != 1:
        reason = (answer.stderr or answer.stdout).strip()
        raise SourceError(
            f"pip could not fetch the source archive of {pin.requirement} "
            "(a network is needed once; or set SLMPROF_LLAMA_CPP_DIR to a llama.cpp checkout):\n"
            f"{reason}"
        )
    digest = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if digest != pin.sha256:
        raise SourceError(f"{archives[0].name} has sha256 {digest}, the pin says {pin.sha256}")
    return archives[0]


def unpack(archive: Path, root: str, names: tuple[str, ...], target: Path) -> None:
    """Unpack the named folders below `root`; anything but plain files and folders is left out."""
    prefix = PurePosixPath(root)
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile() or not path.is_relative_to(prefix):
                continue
            inner = path.relative_to(prefix)
            if ".." in inner.parts or inner.parts[0] not in names:
                continue
            content = tar.extractfile(member)
            assert content is not None  # a plain file always has content
            destination = target.joinpath(*inner.parts)
            destination.parent.mkdir(parents=True, exist_ok=True)
            with destination.open("wb") as stream:
                shutil.copyfileobj(content, stream)
            os.utime(destination, (member.mtime, member.mtime))


def why_foreign(path: Path) -> str:
    """Why others could have written a file or folder; empty where they could not."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return f"{path} is a link"
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    # A group that is numbered as its user is the user's alone.
    of_group = status.st_mode & stat.S_IWGRP and status.st_gid != status.st_uid
    if status.st_mode & stat.S_IWOTH or of_group:
        return f"other users can write to {path}"
    return ""


def tree_digest(folder: Path) -> str:
    """A sha256 over the names and contents of all files below a folder. Links are not followed."""
    sha = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file()):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        name = path.relative_to(folder).as_posix()
        sha.update(f"{name}\0{len(content)}\0".encode())
        sha.update(hashlib.sha256(content).digest())
    return sha.hexdigest()


def is_usable(target: Path, seal: Path) -> bool:
    """Whether an unpacked source may be compiled; one that may not is moved out of the way.

    Raises:
        SourceError: other users may have put it there.
    """
    if not target.is_dir():
        return False
    if reason := why_foreign(target):
        raise SourceError(f"{reason}; remove it, or set SLMPROF_CACHE_DIR to another folder")
    if not seal.is_file():
        # Of a version of slmprof that made none.
        seal.write_text(tree_digest(target), encoding="ascii")
    if seal.read_text(encoding="ascii", errors="replace").strip() == tree_digest(target):
        return True
    print(f"slmprof: {target} is not what was unpacked there; it is fetched again", file=sys.stderr)
    shutil.rmtree(target)
    return False


def resolve_pinned(pin: Pin, with_peers: bool) -> Path:
    """The unpacked source in the cache, fetched first where it is not there yet."""
    names = pin.folders + (pin.peer_folders if with_peers else ())
    kind = "-peers" if with_peers else ""
    target = cache_folder() / "sources" / f"{pin.package}-{pin.version}-{pin.sha256[:12]}{kind}"
    seal = target.with_name(f"{target.name}.sha256")
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for folder in (cache_folder(), target.parent):
        reason = why_foreign(folder.resolve())
        if reason and not folder.stat().st_mode & stat.S_ISVTX:
            raise SourceError(f"{reason}; run `chmod go-w {folder}`, or set SLMPROF_CACHE_DIR")
    if is_usable(target, seal):
        return target
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetching-") as scratch:
        archive = fetch_archive(pin, Path(scratch))
        unpacked = Path(scratch) / "source"
        unpack(archive, pin.root, names, unpacked)
        check_folders(unpacked, pin.folders)
        digest = tree_digest(unpacked)
        try:
            unpacked.rename(target)
            seal.write_text(digest, encoding="ascii")
        except OSError:
            # Another build was faster: its copy is as good as ours.
            if not target.is_dir():
                raise
    return target


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pin", type=Path, required=True)
    parser.add_argument("--checkout", default="")
    parser.add_argument("--peers", action="store_true")
    arguments = parser.parse_args()
    try:
        pin = read_pin(arguments.pin)
        if arguments.checkout:
            source = Path(arguments.checkout).expanduser().resolve()
            check_folders(source, pin.folders)
            origin = f"checkout {git_commit(source)}".strip()
        else:
            source = resolve_pinned(pin, arguments.peers)
            origin = f"{pin.package} {pin.version}"
        version = read_version(source)
    except (SourceError, OSError, tarfile.TarError) as error:
        print(f"slmprof: cannot find llama.cpp: {error}", file=sys.stderr)
        return 1
    print(f"{source.as_posix()};{version};{origin}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
