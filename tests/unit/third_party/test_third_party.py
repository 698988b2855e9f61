"""Where llama.cpp comes from, and how the hooks get into it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[3] / "third_party" / "llama.cpp"
HEADERS = tuple(
    f'#include "{name}"'
    for name in (
        "record/hooks.h",
        "record/device_hooks.h",
        "memory/memory_hooks.h",
        "kernels/packed_hooks.h",
        "kernels/computable_hooks.h",
    )
)
if not FOLDER.is_dir():
    pytest.skip("needs the source tree", allow_module_level=True)

ANCHORS = """
[[hook]]
file = "a/loop.c"
anchor = "compute(node);"
before = "BEGIN();"

[[hook]]
file = "a/loop.c"
anchor = "compute(node);"
after = "END();"
"""
SOURCE = "void run(void) {\n    compute(node);\n    barrier();\n}\n"


def load(name: str) -> ModuleType:
    """A script of the folder as a module."""
    spec = importlib.util.spec_from_file_location(f"third_party_{name}", FOLDER / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def instrument(folder: Path, source: str, anchors: str) -> subprocess.CompletedProcess[str]:
    path = folder / "llama.cpp" / "a" / "loop.c"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    (folder / "anchors.toml").write_text(anchors)
    return subprocess.run(
        [sys.executable, str(FOLDER / "instrument.py"), "--source", str(folder / "llama.cpp"),
         "--anchors", str(folder / "anchors.toml"), "--output", str(folder / "out"),
         "--version", "1.2.3"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_hooks_stand_around_the_anchor_and_lines_keep_their_numbers(tmp_path: Path) -> None:
    answer = instrument(tmp_path, SOURCE, ANCHORS)
    assert answer.returncode == 0, answer.stderr
    original, copy = answer.stdout.strip().split(";")
    lines = Path(copy).read_text().splitlines()
    assert [line for line in lines if not line.startswith("#line")] == [
        "void run(void) {", "BEGIN();", "    compute(node);", "END();", "    barrier();", "}",
    ]  # fmt: skip
    assert lines[lines.index("    compute(node);") - 1] == f'#line 2 "{original}"'
    assert lines[lines.index("    barrier();") - 1] == f'#line 3 "{original}"'
    assert Path(original).read_text() == SOURCE


def test_an_unchanged_copy_is_not_written_again(tmp_path: Path) -> None:
    copy = Path(instrument(tmp_path, SOURCE, ANCHORS).stdout.strip().split(";")[1])
    before = copy.stat().st_mtime_ns
    instrument(tmp_path, SOURCE, ANCHORS)
    assert copy.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("source", "problem"),
    [(SOURCE.replace("compute", "work"), "is missing"), (SOURCE + SOURCE, "stands 2 times")],
)
def test_a_missing_or_double_anchor_stops_with_file_anchor_and_version(
    tmp_path: Path, source: str, problem: str
) -> None:
    answer = instrument(tmp_path, source, ANCHORS)
    assert answer.returncode == 1
    assert answer.stdout == ""
    for text in ("a/loop.c", "compute(node);", "1.2.3", problem):
        assert text in answer.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    answer = instrument(tmp_path, SOURCE, ANCHORS.replace("a/loop.c", "a/gone.c"))
    assert answer.returncode == 1
    assert "a/gone.c" in answer.stderr


FEATURE = """
[[hook]]
file = "a/loop.c"
anchor = "compute(node);"
before = "BEGIN();"

[[hook]]
feature = "fused"
file = "a/loop.c"
anchor = "barrier();"
before = "FUSED();"

[[hook]]
feature = "fused"
file = "a/fused.c"
anchor = "fuse();"
before = "FUSED();"
"""


def test_a_feature_has_all_of_its_hooks_or_none(tmp_path: Path) -> None:
    answer = instrument(tmp_path, SOURCE, FEATURE)
    assert answer.returncode == 0, answer.stderr
    (line,) = answer.stdout.splitlines()
    assert "FUSED" not in Path(line.split(";")[1]).read_text()
    header = tmp_path / "out" / "slmprof_features.h"
    assert header.read_text().endswith("#define SLMPROF_LLAMA_FEATURES {  }\n")
    (tmp_path / "llama.cpp" / "a" / "fused.c").write_text("fuse();\n")
    lines = instrument(tmp_path, SOURCE, FEATURE).stdout.splitlines()
    assert [Path(line.split(";")[1]).read_text().count("FUSED();") for line in lines] == [1, 1]
    assert '{ "fused" }' in header.read_text()


def test_a_feature_whose_anchor_stands_twice_stops(tmp_path: Path) -> None:
    (tmp_path / "llama.cpp" / "a").mkdir(parents=True)
    (tmp_path / "llama.cpp" / "a" / "fused.c").write_text("fuse();\nfuse();\n")
    answer = instrument(tmp_path, SOURCE, FEATURE)
    assert answer.returncode == 1 and "'fuse();' stands 2 times" in answer.stderr


VERSIONS = """
[[hook]]
name = "an op begins"
file = "a/loop.c"
anchor = "try_to_fuse(node);"
before = "NEW();"

[[hook]]
name = "an op begins"
file = "a/loop.c"
anchor = "compute(node);"
before = "OLD();"
"""


def test_of_hooks_of_one_name_the_first_that_fits_is_inserted(tmp_path: Path) -> None:
    for source, expected in (
        (SOURCE, "OLD();"),
        (SOURCE.replace("    compute", "    try_to_fuse(node);\n    compute"), "NEW();"),
    ):
        text = Path(instrument(tmp_path, source, VERSIONS).stdout.strip().split(";")[1]).read_text()
        assert [word for word in ("OLD();", "NEW();") if word in text] == [expected]
    # Where none fits, the newest anchor is named.
    answer = instrument(tmp_path, SOURCE.replace("compute", "work"), VERSIONS)
    assert answer.returncode == 1 and "try_to_fuse(node);" in answer.stderr


def test_only_lines_of_the_named_function_count(tmp_path: Path) -> None:
    anchors = """
[[hook]]
file = "a/loop.c"
function = "void stop("
anchor = "compute(node);"
before = "HERE();"
"""
    source = SOURCE + SOURCE.replace("run", "stop")
    text = Path(instrument(tmp_path, source, anchors).stdout.strip().split(";")[1]).read_text()
    assert text.count("HERE();") == 1 and text.index("HERE();") > text.index("void stop(")
    answer = instrument(tmp_path, SOURCE, anchors)
    assert answer.returncode == 1 and "'void stop(' is missing" in answer.stderr


def archive(folder: Path, files: Mapping[str, bytes]) -> Path:
    path = folder / "package-1.0.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def make_pin(resolve: ModuleType, sha256: str) -> object:
    return resolve.Pin(
        package="package", version="1.0", sha256=sha256, root="package-1.0/vendor/x",
        folders=("CMakeLists.txt", "src"), peer_folders=("tools",),
    )  # fmt: skip


FILES = {
    "package-1.0/vendor/x/CMakeLists.txt": b"project(x)",
    "package-1.0/vendor/x/src/a.c": b"int a;",
    "package-1.0/vendor/x/tools/t.c": b"int t;",
    "package-1.0/vendor/x/docs/d.md": b"unwanted",
    "package-1.0/vendor/x/src/../../../escape": b"hostile",
    "package-1.0/setup.py": b"unwanted",
}


def test_only_the_needed_folders_are_unpacked_and_only_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = load("resolve")
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    packed = archive(tmp_path, FILES)
    calls = []

    def fetch(_: object, folder: Path) -> Path:
        calls.append(folder)
        return packed

    monkeypatch.setattr(resolve, "fetch_archive", fetch)
    pin = make_pin(resolve, "00")
    for _ in range(2):
        source = resolve.resolve_pinned(pin, with_peers=False)
    files = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert files == {"CMakeLists.txt", "src/a.c"}
    assert len(calls) == 1  # the second build needs no network
    assert not (tmp_path / "cache" / "escape").exists()
    with_peers = resolve.resolve_pinned(pin, with_peers=True)
    assert (with_peers / "tools" / "t.c").is_file()
    assert sorted(path.name for path in source.parent.iterdir()) == sorted(
        [*(f"{path.name}{end}" for path in (source, with_peers) for end in ("", ".sha256"))]
    )


def test_a_source_that_changed_in_the_cache_is_fetched_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    resolve = load("resolve")
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(tmp_path / "cache"))
    packed = archive(tmp_path, FILES)
    monkeypatch.setattr(resolve, "fetch_archive", lambda *_: packed)
    pin = make_pin(resolve, "00")
    source = resolve.resolve_pinned(pin, with_peers=False)
    (source / "src" / "a.c").write_text("int b;")
    assert resolve.resolve_pinned(pin, with_peers=False) == source
    assert (source / "src" / "a.c").read_text() == "int a;"
    assert "fetched again" in capsys.readouterr().err
    (source / "src" / "more.c").write_text("")
    resolve.resolve_pinned(pin, with_peers=False)
    assert not (source / "src" / "more.c").exists()
    # Of an older slmprof, which made no seal.
    seal = source.with_name(f"{source.name}.sha256")
    seal.unlink()
    assert resolve.resolve_pinned(pin, with_peers=False) == source and seal.is_file()


def test_a_source_that_others_can_write_is_not_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = load("resolve")
    cache = tmp_path / "cache"
    monkeypatch.setenv("SLMPROF_CACHE_DIR", str(cache))
    packed = archive(tmp_path, FILES)
    monkeypatch.setattr(resolve, "fetch_archive", lambda *_: packed)
    pin = make_pin(resolve, "00")
    source = resolve.resolve_pinned(pin, with_peers=False)
    for folder in (cache, source.parent, source):
        folder.chmod(0o777)
        with pytest.raises(resolve.SourceError, match="other users can write"):
            resolve.resolve_pinned(pin, with_peers=False)
        folder.chmod(0o755)
    elsewhere = tmp_path / "elsewhere"
    source.rename(elsewhere)
    source.symlink_to(elsewhere)
    with pytest.raises(resolve.SourceError, match="is a link"):
        resolve.resolve_pinned(pin, with_peers=False)


def test_a_wrong_hash_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = load("resolve")
    packed = archive(tmp_path, FILES)

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        destination = Path(command[command.index("--dest") + 1])
        (destination / packed.name).write_bytes(packed.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", pip)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(resolve.SourceError, match="sha256"):
        resolve.fetch_archive(make_pin(resolve, "0" * 64), scratch)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert resolve.fetch_archive(make_pin(resolve, digest), scratch).is_file()


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = load("resolve")

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "no route to host")

    monkeypatch.setattr(subprocess, "run", pip)
    with pytest.raises(resolve.SourceError, match=r"(?s)SLMPROF_LLAMA_CPP_DIR.*no route to host"):
        resolve.fetch_archive(make_pin(resolve, "0" * 64), tmp_path)


def test_a_checkout_is_used_as_it_is(tmp_path: Path) -> None:
    for name in ("cmake", "ggml", "include", "src", "vendor"):
        (tmp_path / name).mkdir()
    (tmp_path / "LICENSE").write_text("")
    text = "set(LLAMA_VERSION_MAJOR 7)\nset(LLAMA_VERSION_MINOR 8)\nset(LLAMA_VERSION_PATCH 9)\n"
    (tmp_path / "CMakeLists.txt").write_text(text)
    command = [sys.executable, str(FOLDER / "resolve.py"), "--pin", str(FOLDER / "pin.toml"),
               "--checkout"]  # fmt: skip
    answer = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == f"{tmp_path};7.8.9;checkout"
    (tmp_path / "ggml").rmdir()
    answer = subprocess.run([*command, str(tmp_path)], capture_output=True, text=True, check=False)
    assert answer.returncode == 1
    assert "ggml" in answer.stderr


def test_every_anchor_is_one_of_ours() -> None:
    """The real anchors file holds hooks only: calls of our macros, our headers, or what we say."""
    said = ("qs->has_imatrix = qs->params->imatrix != nullptr;",)
    hooks = load("instrument").read_hooks(FOLDER / "anchors.toml", ["GGML_BLAS"])
    assert len(hooks) > 20
    for hook in hooks:
        text = hook.before or hook.after
        is_header = text in HEADERS
        assert "SLMPROF_" in text or "slmprof_" in text or is_header or text in said
