"""Finds a scheme: in a file of Python, C or C++, or in a module that is installed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ...errors import SchemeError, SlmprofError, UsageError
from ...input_file import digest_inputs, read_input
from ...settings.scheme_place import FILE_SUFFIX, KERNEL_SUFFIXES, MOST_FILE_BYTES, split_place
from ..records import BLOCKS, VALUES, SchemeInfo
from .block_scheme import BlockScheme, check_blocks
from .compiled_scheme import CompiledScheme
from .ggml_scheme import GgmlScheme, is_read_only
from .loaded import LoadedScheme, explain, is_from_outside
from .scheme import declaration, is_declared
from .value_scheme import ValueScheme, check_bits


def load_scheme(text: str) -> LoadedScheme:
    """Runs the file and wraps what stands under the name.

    Args:
        text: `FILE.py:NAME`, `FILE.c:NAME` (or .cc, .cpp, .cxx), which is compiled, or
            `MODULE:NAME` of an installed module (`gguf.quants:Q4_0`).

    Raises:
        UsageError: there is no such file, module or name.
        SchemeError: the file cannot be run, or what is found is no scheme.
    """
    place, name = split_place(text)
    if place.endswith(KERNEL_SUFFIXES):
        return _compile(Path(place), name)
    is_file = place.endswith(FILE_SUFFIX)
    module, digest = _run_file(Path(place)) if is_file else _import(place)
    where = f"{Path(place).name}:{name}" if is_file else text
    with _looked_at(where):
        implementation = getattr(module, name, None)
        if implementation is None:
            known = [key for key, value in vars(module).items() if is_declared(value)]
            hint = f"; it has {', '.join(known)}" if known else ""
            raise UsageError(f"scheme: {place} has no {name}{hint}")
    return wrap(implementation, where, digest)


def wrap(implementation: Any, source: str, digest: str) -> LoadedScheme:
    """A class or function as a scheme. Raises SchemeError where it is none.

    Args:
        source: where it was found.
        digest: of the file.
    """
    with _looked_at(source):
        return _wrap(implementation, source, digest)


def _wrap(implementation: Any, source: str, digest: str) -> LoadedScheme:
    # What is built into Python has no room for a declaration.
    if not callable(implementation) or not all(
        hasattr(implementation, name) for name in ("__name__", "__dict__")
    ):
        raise SchemeError(f"{source} is neither a class nor a function written in Python")
    said = declaration(implementation)
    name = said.name or source
    if not isinstance(name, str) or not name.isprintable() or len(name) > 100:
        raise SchemeError(f"{source}: {said.name!r} cannot be a scheme's name")
    if inspect.isclass(implementation):
        missing = [
            method
            for method in ("quantize_blocks", "dequantize_blocks")
            if not callable(getattr(implementation, method, None))
        ]
        if missing:
            raise SchemeError(f"{source} has no {' and no '.join(missing)}")
        check_blocks(source, said.block_size, said.type_size)
        assert said.block_size and said.type_size
        bits = 8 * said.type_size / said.block_size
        info = SchemeInfo(name, source, digest, BLOCKS, bits, said.block_size, said.type_size)
        made = GgmlScheme if is_read_only(implementation) else BlockScheme
        return made(info, implementation)
    check_bits(source, said.bits_per_weight)
    assert said.bits_per_weight
    info = SchemeInfo(name, source, digest, VALUES, float(said.bits_per_weight))
    return ValueScheme(info, implementation, whole_tensors=said.whole_tensors)


def file_digest(text: str) -> str:
    """The sha256 of the file that a scheme stands in, with what it includes; nothing of it runs.

    Raises:
        UsageError: it cannot be read. SchemeError: what it includes is missing.
    """
    path = Path(split_place(text)[0])
    if text.rpartition(":")[0].endswith(KERNEL_SUFFIXES):
        from .compiler import sources_digest

        return sources_digest(path)
    return hashlib.sha256(_read(path)).hexdigest()


def _compile(path: Path, name: str) -> CompiledScheme:
    from ... import _core
    from .compiler import compiled, sources_digest

    digest = sources_digest(path)
    try:
        native = _core.KernelScheme.load(os.fsencode(compiled(path, digest)), name, name, digest)
    except _core.NativeSchemeError as error:
        raise SchemeError(f"{path.name}:{name}: {error}") from None
    bits = 8 * native.type_size / native.block_size
    info = SchemeInfo(
        name, f"{path.name}:{name}", digest, BLOCKS, bits, native.block_size, native.type_size
    )
    return CompiledScheme(info, native)


def _read(path: Path) -> bytes:
    try:
        return read_input(path, MOST_FILE_BYTES)
    except ValueError as error:
        raise UsageError(f"scheme: {error}") from None


def _run_file(path: Path) -> tuple[ModuleType, str]:
    content = _read(path)
    name = f"slmprof_scheme_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec
    module = importlib.util.module_from_spec(spec)
    # Dataclasses and pickles look their module up.
    sys.modules[name] = module
    with _explained(str(path)), _neighbours_of(path):
        # What was read is what runs, and what the digest is of.
        exec(compile(content, path.resolve(), "exec", dont_inherit=True), module.__dict__)
    return module, hashlib.sha256(content).hexdigest()


def _import(name: str) -> tuple[ModuleType, str]:
    with _explained(name):
        try:
            # This runs the packages that it is in.
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            found = None
    if found is None:
        raise UsageError(f"scheme: there is no module {name}; a file ends in {FILE_SUFFIX}")
    with _explained(name):
        module = importlib.import_module(name)
    path = getattr(module, "__file__", None)
    return module, _digest_of(path) if path else hashlib.sha256().hexdigest()


def _digest_of(path: str) -> str:
    try:
        return digest_inputs([path])
    except OSError as error:
        raise UsageError(f"scheme: cannot read {path}: {error.strerror or error}") from None


@contextlib.contextmanager
def _neighbours_of(path: Path) -> Iterator[None]:
    """Lets a file import what stands beside it, as a program may."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)


@contextlib.contextmanager
def _looked_at(source: str) -> Iterator[None]:
    """Attributes of what a user gives may be code of theirs."""
    try:
        yield
    except SlmprofError:
        raise
    except BaseException as error:
        if is_from_outside(error):
            raise
        raise SchemeError(f"{source} cannot be a scheme: it {explain(error)}") from None


@contextlib.contextmanager
def _explained(place: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise SchemeError(f"{place} imports {error.name}, which is not installed") from None
    except SyntaxError as error:
        raise SchemeError(f"{place}:{error.lineno}: {error.msg}") from None
    except BaseException as error:
        if is_from_outside(error):
            raise
        raise SchemeError(f"{place} cannot be run: it {explain(error)}") from None
