"""Options with empty and odd values: each is refused in one line that names the option."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from slmprof.commands.main import COMMANDS, build_parser, main
from slmprof.errors import SlmprofError, UsageError

Words = tuple[str, ...]

# What a command cannot do without.
NEEDED: dict[Words, list[str]] = {
    ("quant", "make"): ["-o", "o.gguf"],
    ("quant", "imatrix"): ["-o", "o.gguf", "--text", "t.txt"],
    ("quant", "quality"): ["--text", "t.txt"],
    ("quant", "advise"): ["--text", "t.txt"],
}
NUMBERS = ("N", "SECONDS", "BYTES", "PERCENT", "MS", "NATS")
ODD_NUMBERS = ("", " ", ",", "1,,2", ",1", "1,", "one", "\u0661", "1_0", "-5", "nan", "9" * 5000)
ODD_LISTS = ("", " ", ",", "a,,b", ",a", "a,", "a, ,b")


def parsers() -> Iterator[tuple[Words, argparse.ArgumentParser]]:
    """Every command that does something, by the words that call it."""

    def below(words: Words, parser: argparse.ArgumentParser) -> Iterator[tuple[Words, object]]:
        inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
        if not inner:
            yield words, parser
        for action in inner:
            for name, one in action.choices.items():
                yield from below((*words, name), one)

    for words, parser in below((), build_parser(COMMANDS)):
        assert isinstance(parser, argparse.ArgumentParser)
        yield words, parser


OPTIONS = [
    pytest.param(words, action, id=f"{'-'.join(words)}{action.option_strings[-1]}")
    for words, parser in parsers()
    for action in parser._actions
    if action.option_strings and action.nargs != 0
]
PLACES = [
    pytest.param(words, action, id=f"{'-'.join(words)}-{action.dest}")
    for words, parser in parsers()
    for action in parser._actions
    if not action.option_strings
]


def refusal(words: Words, action: argparse.Action, value: str) -> str:
    option = action.option_strings[-1]
    places = ["m.gguf"] if words in (place.values[0] for place in PLACES) else []
    arguments = [*words, *places, *(["n.gguf"] if words == ("compare",) else [])]
    with pytest.raises(UsageError) as caught:
        build_parser(words[:1]).parse_args(
            [*arguments, *NEEDED.get(words, []), f"{option}={value}"]
        )
    text = str(caught.value)
    assert option in text and len(text.splitlines()) == 1 and len(text) < 700, text
    return text


def test_there_are_many() -> None:
    assert len(OPTIONS) > 150 and len(PLACES) > 10


@pytest.mark.parametrize(("words", "action"), OPTIONS)
def test_an_empty_value(words: Words, action: argparse.Action) -> None:
    refusal(words, action, "")


@pytest.mark.parametrize(("words", "action"), OPTIONS)
def test_odd_numbers_and_lists(words: Words, action: argparse.Action) -> None:
    metavar = str(action.metavar or "")
    one = metavar.removesuffix(",...")
    odd: list[str] = []
    if one in NUMBERS and action.dest != "tensor_split":
        odd += ODD_NUMBERS
    if metavar.endswith(",...") and metavar != "N,N,...":
        odd += ODD_LISTS
    if words == ("synth",) and "-5" in odd:
        odd.remove("-5")  # which `Dimensions` refuses, by the name of what it is
    for value in odd:
        refusal(words, action, value)


@pytest.mark.parametrize("value", ["", ",", "1,,2", "1,x", "nan,nan", "\u0661", "1_0", "-1,2"])
def test_odd_proportions(value: str) -> None:
    with pytest.raises(UsageError, match="--tensor-split"):
        build_parser(["breakdown"]).parse_args(["breakdown", "m", f"--tensor-split={value}"])


@pytest.mark.parametrize(("words", "action"), PLACES)
def test_an_empty_word_in_its_place(
    words: Words,
    action: argparse.Action,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object, **__: object) -> None:
        raise SlmprofError("started")

    monkeypatch.setattr("slmprof.children.child.subprocess.Popen", start)
    needed = list(NEEDED.get(words, []))
    if words == ("compare",):
        needed.append("n.gguf")
    if words[0] in ("synth", "sweep"):
        needed += ["-o", "o"]
    assert main([*words, "", *needed]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("slmprof: error: ") and err.count("\n") == 1
    assert "started" not in err and (str(action.metavar) in err or "empty" in err)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["memory", "m.gguf", "--file-type", "all,Q99"], "all stands for every type"),
        (["memory", "preset:tiny@"], "names no type behind its @"),
        (["breakdown", "preset:tiny@"], "names no type behind its @"),
        (["sweep", "preset:tiny@", "-o", "grid"], "names no type behind its @"),
        (["compare", "preset:tiny@", "preset:tiny"], "names no type behind its @"),
        (["synth", "tiny@", "-o", "m.gguf"], "names no type behind its @"),
        (["quant", "dry-run", "preset:tiny@"], "names no type behind its @"),
        (["quant", "quality", "preset:tiny@", "--text", "t"], "names no type behind its @"),
        (["sweep", "preset:tiny", "-o", ""], "argument -o/--output: '' is not a folder"),
        (["breakdown", "m.gguf", "--device", "cuda,cuda:0"], "names a device twice"),
        (["breakdown", "m.gguf", "--threads", "513"], "llama.cpp's own limit"),
        (["compare", "a", "b", "--fail-if", ""], "--fail-if: '' is not a condition"),
    ],
)
def test_what_is_said(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and message in err
