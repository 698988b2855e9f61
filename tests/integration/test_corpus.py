"""Every architecture that the linked llama.cpp can build: all of it runs, and has its place.

llama.cpp's own program test-llama-archs writes a tiny model of each. The environment variable
SLMPROF_PEERS_DIR names the folder that the program is in; without it these tests are skipped.
"""

from __future__ import annotations

import pytest
from corpus_run import FLASH_ATTN, Corpus, run_corpus

import slmprof

# As the program names its files: one test each, so that a failure names its model.
_NAMES = """
    afmoe-moe arcee-dense arctic-moe baichuan-dense bailingmoe-moe bailingmoe2-moe
    bailingmoe3-moe bloom-dense chatglm-dense codeshell-dense cogvlm-dense cohere2-dense
    cohere2moe-moe command-r-dense dbrx-moe deci-dense deepseek-moe deepseek2-moe deepseek32-moe
    deepseek4-moe dots1-moe dots3note-moe dream-dense ernie4_5-moe-moe ernie4_5-moe exaone-dense
    exaone-moe-moe exaone4-dense falcon-dense falcon-h1-dense gemma-dense gemma2-dense
    gemma3-dense glm-dsa-moe glm4-dense glm4moe-moe glm5-next-moe gpt-oss-moe gpt2-dense
    gptneox-dense granite-dense granite-moe granite_swa-dense granitehybrid-dense
    granitemoe-dense granitemoe-moe grok-moe grovemoe-moe hrm_text-dense hunyuan-dense-dense
    hunyuan-moe-moe hunyuan_vl-dense hy_v3-moe hy_v4-moe internlm2-dense jais-dense jais2-dense
    jamba-dense kimi-k3-moe kimi-linear-moe laguna-moe lfm2-dense lfm2moe-moe llada-dense
    llada-moe-moe llama-dense llama-moe llama4-moe maincoder-dense mamba-dense mamba2-dense
    maple-moe mellum-moe mimo2-moe minicpm-dense minicpm-moe minicpm3-dense minimax-01-moe
    minimax-m2-moe minimax-m3-moe mistral3-dense mistral3-moe mistral4-moe mpt-dense
    muse-glimmer-dense nanbeige-dense nemotron-dense nemotron_h-dense nemotron_h_moe-dense
    olmo-dense olmo2-dense olmoe-moe openelm-dense orion-dense paddleocr-moe pangu-embedded-dense
    phi2-dense phi3-dense phimoe-moe plamo-dense plamo2-dense plamo3-dense pockettts-dense
    qwen-dense qwen2-dense qwen2moe-moe qwen2vl-dense qwen3-dense qwen35-dense qwen35moe-moe
    qwen3moe-moe qwen3next-moe qwen3tts-dense qwen3vl-dense qwen3vlmoe-moe qwen4exp-moe
    refact-dense refact-moe rnd1-moe seed_oss-dense smallthinker-moe smollm3-dense spark2_5-dense
    stablelm-dense starcoder-dense starcoder2-dense talkie-dense xverse-dense
"""
MODELS = _NAMES.split()

# What belongs to no block of the text model, by the names that docs/attribution.md gives it.
NAMED_PARTS_OF_OTHER = {"pooler", "vocoder"}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return run_corpus(tmp_path_factory)


def test_no_model_is_without_a_test(corpus: Corpus) -> None:
    assert sorted(corpus.headers) == sorted(MODELS)
    assert corpus.n_announced == len(MODELS) >= 128


@pytest.mark.parametrize("flash_attn", FLASH_ATTN)
@pytest.mark.parametrize("name", MODELS)
def test_all_time_and_every_layer_has_its_place(corpus: Corpus, name: str, flash_attn: str) -> None:
    profile = slmprof.load(corpus.profile_path(name, flash_attn))
    ops = profile.ops()
    assert set(ops["phase"]) == {"prefill", "decode"}

    assert "UNRECORDED" not in set(ops["op"])
    assert (ops["part"] != "").all()
    other = ops[ops["block"] == "other"]
    assert set(other["part"]) <= NAMED_PARTS_OF_OTHER

    phases = profile.phases().set_index("phase")
    for view in (profile.blocks(), ops):
        for phase, total in view.groupby("phase")["time_ms"].sum().items():
            assert total == pytest.approx(phases.loc[phase, "segments_ms.ops"], rel=1e-9)

    # No file of the corpus has layers that a step leaves out, such as those of further heads.
    n_layers = corpus.headers[name].number("block_count")
    assert corpus.headers[name].number("nextn_predict_layers", 0) == 0
    for _, mine in ops.groupby("phase"):
        assert sorted(mine["layer"].dropna().unique()) == list(range(n_layers))
