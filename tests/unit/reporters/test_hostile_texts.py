"""No text of a file leaves a renderer with anything in it that could steer what shows it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import pytest
from builders import example_profile
from ceilings_builder import example_ceilings
from depth_builder import profile_at
from device_builder import device_profile
from energy_builder import example_energy
from gpu_builder import gpu_profile
from hostile import DIRECTIONS, HOSTILE, hostile_profile, steering
from memory_builder import with_memory
from reports import shown

from slmprof.printable import printable, printable_lines
from slmprof.profiles.vocabulary import VIEWS
from slmprof.reporters.documents.parts import (
    NUMBERS,
    Caveat,
    Column,
    Document,
    Finding,
    Headline,
    HeatMap,
    Note,
    Plot,
    Rows,
    Section,
    Series,
    Table,
)
from slmprof.reporters.renderers import RENDERERS, html, plots
from slmprof.views import Profile

FORMS = [*itertools.product(["table"], ["utf-8", "ascii"])]
FORMS += [(form, "utf-8") for form in (*RENDERERS, "html") if form != "table"]


def full_profile() -> Profile:
    """The example with all that its meta data may hold."""
    made = with_memory(example_profile())
    meta = made.meta.replace(ceilings=example_ceilings(), energy=example_energy())
    return Profile.of(made.data).with_tables({"meta": meta})


PROFILES = {
    "full": full_profile,
    "depths": lambda: profile_at([0, 512]),
    "devices": device_profile,
    "gpu": gpu_profile,
}


def test_nothing_that_steers_is_printable() -> None:
    controls = [*range(0x20), *range(0x7F, 0xA0), 0xD800, 0xDCFF]
    for character in (*DIRECTIONS, *map(chr, controls)):
        assert printable(character) == "?"
    assert printable("plain ü 漢 ·") == "plain ü 漢 ·"
    assert printable_lines("a\x1b\nb\u2028") == "a?\nb?"


def hostile_document() -> Document:
    text = f"a{HOSTILE}b"
    units = ("text", "plain")
    table = Table(tuple(Column(text, unit) for unit in units), [(text, text)], (text, text), text)
    wide = Table((Column(text, is_wide=True), Column(text, most=6)), [(text, text)], None, text)
    heat = HeatMap(
        text, [text, text], tuple((f"{i}{text}", text) for i in range(9)),
        [(1.0, None, *[2.0] * 7)] * 2, [(1.0, None, *[3.0] * 7)] * 2, (1.0,) * 9, "ms",
    )  # fmt: skip
    plot = Plot("plot", text, text, text, (Series(text, [(1.0, 2.0, text)]), Series(text, [])))
    parts = (
        Headline(((text, text), (text,))),
        Headline(((text,),), is_list=True),
        Section(text, (table, wide, heat, plot, Note(text), Finding(text))),
        Section(text, (table,), is_folded=True),
        Note(text),
        Caveat(text),
    )
    rows = Rows((text, "shape"), [{text: text, "shape": (text, text)}])
    assert "text" not in NUMBERS
    return Document(lambda: parts, lambda: {text: [text]}, lambda: rows)


@pytest.mark.parametrize(("form", "encoding"), FORMS)
def test_parts_of_every_kind(form: str, encoding: str) -> None:
    text = page(hostile_document()) if form == "html" else shown(
        hostile_document(), form, encoding=encoding
    )  # fmt: skip
    assert "b" in text and steering(text) == set()
    assert "\r" not in text


def test_pictures() -> None:
    (plot,) = plots_of(hostile_document())
    assert steering(plots.svg(plot)) == set()


def plots_of(document: Document) -> list[Plot]:
    return html.plots_of(document)


def page(document: Document) -> str:
    stream = io.StringIO()
    html.render(document, stream)
    return stream.getvalue()


@pytest.mark.parametrize("made", PROFILES.values(), ids=PROFILES)
def test_every_view_of_a_profile(made: Callable[[], Profile]) -> None:
    profile = hostile_profile(made())
    assert HOSTILE in str(profile.meta.model.name)
    for form, by, full in itertools.product(RENDERERS, (None, *VIEWS), (False, True)):
        if by is not None and full:
            continue
        text = shown(profile, form, by=by, is_full=full)
        assert text and steering(text) == set(), (form, by)
    assert steering(repr(profile)) == set()
