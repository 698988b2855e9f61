"""The mutators of the fuzzers: what they change, and that a seed tells all of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from random import Random

import gguf_mutator
import gguf_tree
import json_mutator
import profile_mutator
import pytest
from case_maker import CORPUS, GOLDEN, KINDS, CaseMaker

from slmprof.views import load

MODELS = sorted(CORPUS.glob("gguf/*.gguf")) + sorted(CORPUS.glob("split/*.gguf"))
PROFILES = sorted(GOLDEN.glob("*.slmprof"))
# Some are listed twice, to be drawn more often; here once, in the same order in every process.
GGUF_MUTATIONS = tuple(dict.fromkeys(gguf_mutator.MUTATIONS))
PROFILE_MUTATIONS = tuple(dict.fromkeys(profile_mutator.MUTATIONS))
N_TRIES = 40


def test_the_corpus_is_small_and_has_every_kind() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 200_000
    assert {path.parent.name for path in files} == {
        "gguf",
        "split",
        "configs",
        "ceilings",
        "prompts",
    }


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_header_is_read_and_written_as_it_is(path: Path) -> None:
    assert gguf_tree.read(path.read_bytes()).header() == path.read_bytes()


@pytest.mark.parametrize("end", [0, 4, 23, 24, 100, 500])
def test_a_header_that_ends_too_early_is_none(end: int) -> None:
    with pytest.raises(gguf_tree.NotGgufError):
        gguf_tree.read(MODELS[0].read_bytes()[:end])


@pytest.mark.parametrize("mutation", GGUF_MUTATIONS, ids=lambda m: m.__name__)
def test_each_mutation_changes_models(mutation: gguf_mutator.Mutation) -> None:
    for number in range(N_TRIES):
        gguf = gguf_tree.read(MODELS[number % len(MODELS)].read_bytes())
        gguf.lay_out()
        before = (gguf.header(), gguf.data_bytes)
        mutation(gguf, Random(number))
        if (gguf.header(), gguf.data_bytes) != before:
            return
    pytest.fail("no model was changed")


@pytest.mark.parametrize("mutation", PROFILE_MUTATIONS, ids=lambda m: m.__name__)
def test_each_mutation_changes_profiles(mutation: profile_mutator.Mutation) -> None:
    archive = profile_mutator.unpacked(PROFILES[-1].read_bytes())
    assert archive is not None
    for number in range(N_TRIES):
        changed = copy.deepcopy(archive)
        mutation(changed, Random(number))
        if changed != archive:
            return
    pytest.fail("the profile was not changed")


def test_a_profile_is_unpacked_and_packed_without_a_change(tmp_path: Path) -> None:
    archive = profile_mutator.unpacked(PROFILES[-1].read_bytes())
    assert archive is not None
    again = tmp_path / "again.slmprof"
    again.write_bytes(profile_mutator.packed(archive))
    assert profile_mutator.unpacked(again.read_bytes()) == archive
    assert load(again).meta == load(PROFILES[-1]).meta


@pytest.mark.parametrize("kind", KINDS)
def test_a_case_is_told_by_its_seed_and_number(kind: str, tmp_path: Path) -> None:
    found = []
    for name, seed in (("one", 1), ("same", 1), ("other", 2)):
        folder = tmp_path / name
        folder.mkdir()
        case = CaseMaker(seed).make(5, folder, (kind,))
        assert case.kind == kind
        files = {path.name: path.read_bytes()[:100_000] for path in folder.iterdir()}
        found.append((case, files))
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_json_is_changed_and_mostly_stays_json() -> None:
    text = (CORPUS / "configs" / "llama.json").read_bytes()
    n_json, n_changed = 0, 0
    for number in range(200):
        changed, names = json_mutator.mutate_json(text, Random(number), ("hidden_size",))
        assert names
        assert json_mutator.mutate_json(text, Random(number), ("hidden_size",))[0] == changed
        try:
            value = json.loads(changed)
        except (ValueError, RecursionError):
            continue
        n_json += 1
        n_changed += value != json.loads(text)
    assert 120 < n_json < 200
    assert n_changed > 0.8 * n_json
