"""Patterns that find tensors: those that people write are taken, those without end are not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from slmprof.errors import UsageError
from slmprof.settings.capture import CaptureConfig
from slmprof.settings.patterns import check_pattern, check_patterns
from slmprof.settings.planning import MemoryRequest
from slmprof.settings.recipe import Recipe
from slmprof.settings.resolved import ResolvedConfig

WRITTEN = [
    "token_embd", "exps", "ffn", "", "output$", "^output$", "attn_k.*", r"blk\.[0-9]+\.attn_q",
    r"blk\.(1|2|3)\.ffn_.*_exps\.weight", r"\.ffn_(up|down)_exps\.", ".ffn_.*_exps.",
    r"blk\.(?:[0-9]|1[0-9]|2[0-4])\.ffn.*", r"blk\.([3-9]|[1-9][0-9])\..*_exps\..*",
    r"\.(4|5|6|7|8|9|[0-9][0-9]|[0-9][0-9][0-9])\.ffn_(gate|up|down)_exps.",
    r"^(?!blk\.(?:[0-2])\.).*exps.*$", r"blk\.[0-9]{1,2}\.attn_(q|k|v|output)\.(weight|bias)?",
    r"blk\.\d*\.ffn_(gate|up|down|gate_up)_(ch|)exps", r"[[:alpha:]]+_norm", r"blk\.\d+?\.ffn",
    r"(_x)*", r"([0-9]{2})+", "output\\.weight|token_embd\\.weight", "a{2}b", "x{", "[]a]", "[^]a]",
    rf"^blk\.({'|'.join(map(str, range(512)))})\.ffn\_down\.weight$", r"\[[\]]+\(\.\)", "abc*d",
]  # fmt: skip
WITHOUT_END = [
    ("(.*)*", "repeats a repetition"),
    ("(.*.*)*x", "repeats a repetition"),
    ("(a+)+b", "repeats a repetition"),
    ("(x(a+)?)*b", "repeats a repetition"),
    ("(.*){2,9}", "repeats a repetition"),
    ("(a*?)+?", "repeats a repetition"),
    ("a**", "repeats a repetition"),
    ("[](a*)*]", "repeats a repetition"),
    ("[[:](a*)*[:]]", "repeats a repetition"),
    ("(?=(a*)*b)", "repeats a repetition"),
    ("(a|a)*b", "repeats a choice"),
    ("(.|b)+x", "repeats a choice"),
    (r"(\x61|a)*b", "repeats a choice"),
    ("(?i:a|A)*b", "repeats a choice"),
    ("(a?b?)*c", "repeats a choice"),
    ("((a|b){1,9})*", "repeats a choice"),
    (".*.*.*.*", "4 repetitions without an end"),
    ("a?" * 40 + "b", "too many ways"),
    ("(.?){40}x", "too many ways"),
    ("(a{1,64}){1,64}", "too many ways"),
    ("(.|.|.|.|.|.|.|.|.|.){6}x", "too many ways"),
    (".*.*.*.{0,9}x", "too many ways"),
    (r"(a)\1", r"refers back to a group \(\\1\)"),
    ("(?P<n>a)(?P=n)", "a kind of group that is not known"),
    ("((((a{99}){99}){99}){99})", "too high counts"),
    ("(" * 30 + ")" * 30, "more than 16 parentheses"),
    ("x" * 5000, "5000 characters"),
    ("(", "is no regular expression: a parenthesis is not closed"),
    ("a)", "is no regular expression: a parenthesis is closed"),
    ("[a", "is no regular expression: a bracket is not closed"),
    ("[", "is no regular expression: a bracket is not closed"),
    ("a\\", "is no regular expression"),
    ("*", r"is no regular expression: nothing that could be repeated stands before its \*"),
    ("a|+b", r"nothing that could be repeated stands before its \+"),
    ("(?:?a)", r"nothing that could be repeated stands before its \?"),
    ("{2}", r"nothing that could be repeated stands before its \{2\}"),
    ("^*", r"nothing that could be repeated stands before its \*"),
    (r"\b{1,}x", r"nothing that could be repeated stands before its \{1,\}"),
]


@pytest.mark.parametrize("pattern", WRITTEN, ids=lambda text: text[:40])
def test_what_people_write_is_taken(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(("pattern", "why"), WITHOUT_END, ids=lambda text: text[:40])
def test_what_could_take_for_ever_is_refused_with_its_name(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as caught:
        check_pattern(pattern)
    assert str(caught.value).startswith(repr(pattern)[:20]) and len(str(caught.value)) < 250


def test_brackets_are_those_of_the_language() -> None:
    # In Python this ends a class, and repeats a repetition behind it.
    check_pattern("[[:alpha:](a*)*x]")
    with pytest.raises(ValueError, match="repeats a repetition"):
        check_pattern("[[:alpha:](a*)*x]", has_posix_classes=False)


@pytest.mark.parametrize("pattern", [".*.*.*x", ".?.?.?.*.*x", "(.|a|b|c|d){4}x", "(.{0,9}){3}x"])
def test_the_slowest_that_are_taken_come_to_an_end(pattern: str) -> None:
    check_pattern(pattern)
    assert re.search(pattern, "a" * 63) is None


def test_every_setting_that_is_a_pattern_is_checked(tmp_path: Path) -> None:
    file = tmp_path / "types"
    file.write_text("attn_q=q8_0 (.*)*=q4_0")
    for ask in (
        lambda: CaptureConfig("m.gguf", override_tensor=["(.*)*=CPU"]),
        lambda: MemoryRequest.of("m.gguf", override_tensor=["exps=CPU", "(.*)*=CPU"]),
        lambda: Recipe.of(tensor_type="(.*)*=q8_0"),
        lambda: Recipe.of(tensor_type_file=file).tensor_types(),
        lambda: Recipe.of(scheme="a.py:A", scheme_tensors="(.*)*"),
    ):
        with pytest.raises(UsageError, match=r"'\(\.\*\)\*' repeats a repetition"):
            ask()
    with pytest.raises(UsageError, match="1024 are possible"):
        CaptureConfig("m.gguf", override_tensor=["x" * 2000 + "=CPU"])


def test_a_profile_tells_what_was_asked_before_there_was_a_limit() -> None:
    told = ResolvedConfig.from_json({"override_tensor": [".*.*.*.*=CPU"]})
    assert told.impossible() is None


def test_the_patterns_of_a_setting_share_a_limit(tmp_path: Path) -> None:
    """Each alone is right; all are looked for in the name of every tensor."""
    slow = [f".*{letter}.*.*x" for letter in "abcdefghijk"]
    for patterns in (slow[:10], [f"blk[.]{layer}[.]ffn_.*_exps" for layer in range(400)]):
        check_patterns(patterns)
        CaptureConfig("m.gguf", override_tensor=[f"{one}=CPU" for one in patterns])
    with pytest.raises(ValueError, match="11 patterns can together match one name in too many"):
        check_patterns(slow)
    overrides, types = ([f"{one}={to}" for one in slow] for to in ("CPU", "q8_0"))
    file = tmp_path / "types"
    file.write_text(" ".join(types))
    for ask in (
        lambda: CaptureConfig("m.gguf", override_tensor=overrides),
        lambda: MemoryRequest.of("m.gguf", override_tensor=overrides),
        lambda: Recipe.of(tensor_type=types),
        lambda: Recipe.of(tensor_type_file=file).tensor_types(),
    ):
        with pytest.raises(UsageError, match="11 patterns can together"):
            ask()
    long = [f"{number}{'x' * 1000}=CPU" for number in range(17)]
    with pytest.raises(UsageError, match="more than 16384 characters together"):
        CaptureConfig("m.gguf", override_tensor=long)
