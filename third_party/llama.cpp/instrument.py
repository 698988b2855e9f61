"""Write instrumented copies of a few llama.cpp files into the build tree.

Usage: instrument.py --source DIR --anchors anchors.toml --output DIR --version TEXT [--on OPTION]

The source is only read. On success prints one line "ORIGINAL;COPY" for each file that has hooks,
and writes DIR/slmprof_features.h, which lists the optional features that this source has. A missing
or ambiguous anchor ends with status 1 and one line that names file, anchor and version, unless it
is that of a feature: then the feature's hooks are left out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class AnchorError(Exception):
    """An anchor that cannot be used: the source is not what the hooks were written for."""


@dataclass(frozen=True)
class Hook:
    """Text that goes before or after a line of `file`.

    Attributes:
        anchor: stands in that line and in no other of the file.
        function: stands in a line from which on to the end of the function lines count: where it
            begins, or where something does that only some versions have.
        before, after: the text, as one of the two.
        when: the option of ggml that it needs.
        name: hooks of one name are the same hook in different versions of llama.cpp: the first that
            fits is inserted.
        feature: what of llama.cpp it is for, where there are versions without that.
    """

    file: str
    anchor: str
    function: str = ""
    before: str = ""
    after: str = ""
    when: str = ""
    name: str = ""
    feature: str = ""


@dataclass(frozen=True)
class Place:
    """A hook, and the number of the line that it goes to."""

    hook: Hook
    line: int


def read_hooks(path: Path, options: Collection[str] = ()) -> list[Hook]:
    """The hooks of an anchors file that go with these options of ggml, in its order."""
    with path.open("rb") as stream:
        document = tomllib.load(stream)
    hooks = [Hook(**entry) for entry in document["hook"]]
    for hook in hooks:
        if bool(hook.before) == bool(hook.after):
            raise AnchorError(f"{path.name}: hook '{hook.anchor}' needs one of before, after")
    return [hook for hook in hooks if not hook.when or hook.when in options]


class MissingError(AnchorError):
    """An anchor that is not there at all."""


class Sources:
    """The files of a llama.cpp, each read once.

    Args:
        version: what messages call it.
    """

    def __init__(self, root: Path, version: str) -> None:
        self._root = root
        self._version = version
        self._lines: dict[str, list[str] | None] = {}

    def path(self, file: str) -> Path:
        return self._root / file

    def lines(self, file: str) -> list[str]:
        """Raises MissingError where there is no such file."""
        if file not in self._lines:
            path = self.path(file)
            text = path.read_text(encoding="utf-8") if path.is_file() else None
            self._lines[file] = None if text is None else text.splitlines()
        lines = self._lines[file]
        if lines is None:
            raise MissingError(f"{file}: no such file in llama.cpp {self._version}")
        return lines

    def find(self, hook: Hook) -> Place:
        """Raises AnchorError where not exactly one line is the hook's."""
        lines = self.lines(hook.file)
        first, end = self._function(hook, lines) if hook.function else (0, len(lines))
        return Place(hook, self._only(hook, hook.anchor, lines, first, end))

    def _function(self, hook: Hook, lines: Sequence[str]) -> tuple[int, int]:
        """The lines to the end of a function, where a brace closes in the first column."""
        first = self._only(hook, hook.function, lines, 0, len(lines))
        ends = (number for number in range(first, len(lines)) if lines[number].startswith("}"))
        return first, next(ends, len(lines))

    def _only(self, hook: Hook, text: str, lines: Sequence[str], first: int, end: int) -> int:
        found = [number for number in range(first, end) if text in lines[number]]
        if len(found) == 1:
            return found[0]
        how_often = f"stands {len(found)} times" if found else "is missing"
        raise (AnchorError if found else MissingError)(
            f"{hook.file}: the anchor '{text}' {how_often} in llama.cpp {self._version}; "
            "this version needs anchors of its own in third_party/llama.cpp/anchors.toml"
        )


def find_places(hooks: Iterable[Hook], sources: Sources) -> tuple[list[Place], list[str]]:
    """Where the hooks go, and the features that this source has.

    Raises:
        AnchorError: a hook has no place, or more than one, and is not of a feature that is absent.
    """
    same: dict[object, list[Hook]] = {}
    for number, hook in enumerate(hooks):
        same.setdefault(hook.name or number, []).append(hook)
    places: list[Place] = []
    features: dict[str, bool] = {}
    for versions in same.values():
        feature = versions[0].feature
        features.setdefault(feature, True)
        try:
            places.append(find_first(versions, sources))
        except MissingError:
            if not feature:
                raise
            features[feature] = False
    # Of a feature all hooks or none: half of them would tell half of the truth.
    kept = [place for place in places if features[place.hook.feature]]
    return kept, [name for name, is_there in features.items() if name and is_there]


def find_first(versions: Sequence[Hook], sources: Sources) -> Place:
    """The place of the first of these hooks that fits. Raises the AnchorError of the first one."""
    missing: MissingError | None = None
    for hook in versions:
        try:
            return sources.find(hook)
        except MissingError as error:
            missing = missing or error
    assert missing
    raise missing


def instrument(lines: Sequence[str], places: Iterable[Place], original: Path) -> str:
    """The text with every hook inserted; #line keeps messages and debuggers on the original."""
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    for place in places:
        if place.hook.before:
            before.setdefault(place.line, []).append(place.hook.before)
        else:
            after.setdefault(place.line, []).append(place.hook.after)
    name = original.as_posix()
    output = [f'#line 1 "{name}"']
    for number, line in enumerate(lines):
        if number in before:
            output += [*before[number], f'#line {number + 1} "{name}"']
        output.append(line)
        if number in after:
            output += [*after[number], f'#line {number + 2} "{name}"']
    return "\n".join(output) + "\n"


def features_header(features: Sequence[str]) -> str:
    """C++ that says which optional features this llama.cpp has."""
    names = "".join(f'"{name}", ' for name in features)
    return (
        "// Written by third_party/llama.cpp/instrument.py.\n"
        f"#define SLMPROF_LLAMA_FEATURES {{ {names.rstrip(', ')} }}\n"
    )


def write_if_changed(path: Path, text: str) -> None:
    """Leave an equal file alone, so that nothing is compiled again without need."""
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--anchors", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--version", default="of unknown version")
    parser.add_argument("--on", metavar="OPTION", action="append", default=[])
    arguments = parser.parse_args()
    try:
        sources = Sources(arguments.source, arguments.version)
        places, features = find_places(read_hooks(arguments.anchors, arguments.on), sources)
        copies: list[str] = []
        for file in dict.fromkeys(place.hook.file for place in places):
            original, copy = sources.path(file), arguments.output / file
            mine = [place for place in places if place.hook.file == file]
            write_if_changed(copy, instrument(sources.lines(file), mine, original))
            copies.append(f"{original.as_posix()};{copy.as_posix()}")
        write_if_changed(arguments.output / "slmprof_features.h", features_header(features))
    except (AnchorError, OSError) as error:
        print(f"slmprof: cannot instrument llama.cpp: {error}", file=sys.stderr)
        return 1
    print("\n".join(copies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
