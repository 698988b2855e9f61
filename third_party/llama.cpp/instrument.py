"""Write instrumented copies of a few llama.cpp files into the build tree.

Usage: instrument.py --source DIR --anchors anchors.toml --output DIR --version TEXT [--on OPTION]

The source is only read. On success prints one line "ORIGINAL;COPY" for each file that has hooks.
A missing or ambiguous anchor ends with status 1 and one line that names file, anchor and version.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
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
    """Text that goes before or after the only line of `file` that contains `anchor`; with `when`,
    where that option of ggml is on."""

    file: str
    anchor: str
    before: str = ""
    after: str = ""
    when: str = ""


def read_hooks(path: Path, options: Collection[str] = ()) -> list[Hook]:
    """The hooks of an anchors file that go with these options of ggml, in its order."""
    with path.open("rb") as stream:
        document = tomllib.load(stream)
    hooks = [Hook(**entry) for entry in document["hook"]]
    for hook in hooks:
        if bool(hook.before) == bool(hook.after):
            raise AnchorError(f"{path.name}: hook '{hook.anchor}' needs one of before, after")
    return [hook for hook in hooks if not hook.when or hook.when in options]


def find_line(lines: list[str], hook: Hook, version: str) -> int:
    """Index of the only line that contains the anchor."""
    found = [number for number, line in enumerate(lines) if hook.anchor in line]
    if len(found) == 1:
        return found[0]
    how_often = "is missing" if not found else f"stands {len(found)} times"
    raise AnchorError(
        f"{hook.file}: the anchor '{hook.anchor}' {how_often} in llama.cpp {version}; "
        "this version needs anchors of its own in third_party/llama.cpp/anchors.toml"
    )


def instrument(text: str, hooks: list[Hook], original: Path, version: str) -> str:
    """The text with every hook inserted; #line keeps messages and debuggers on the original."""
    lines = text.splitlines()
    before: dict[int, list[str]] = {}
    after: dict[int, list[str]] = {}
    for hook in hooks:
        number = find_line(lines, hook, version)
        if hook.before:
            before.setdefault(number, []).append(hook.before)
        else:
            after.setdefault(number, []).append(hook.after)
    name = original.as_posix()
    output = [f'#line 1 "{name}"']
    for number, line in enumerate(lines):
        if number in before:
            output += [*before[number], f'#line {number + 1} "{name}"']
        output.append(line)
        if number in after:
            output += [*after[number], f'#line {number + 2} "{name}"']
    return "\n".join(output) + "\n"


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
        hooks = read_hooks(arguments.anchors, arguments.on)
        copies: list[str] = []
        for file in dict.fromkeys(hook.file for hook in hooks):
            original = arguments.source / file
            if not original.is_file():
                raise AnchorError(f"{file}: no such file in llama.cpp {arguments.version}")
            text = original.read_text(encoding="utf-8")
            mine = [hook for hook in hooks if hook.file == file]
            copy = arguments.output / file
            write_if_changed(copy, instrument(text, mine, original, arguments.version))
            copies.append(f"{original.as_posix()};{copy.as_posix()}")
    except (AnchorError, OSError) as error:
        print(f"slmprof: cannot instrument llama.cpp: {error}", file=sys.stderr)
        return 1
    print("\n".join(copies))
    return 0


if __name__ == "__main__":
    sys.exit(main())
