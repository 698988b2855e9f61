"""Quality of a trained model's quantizations: by other ways to the same figures."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from command_line import run
from held_out import TRAINED, held_out_text, write_held_out
from late_end import late_end
from scheme_files import MINE, write_scheme

import slmprof
from slmprof import quant
from slmprof.children.protocol import Progress
from slmprof.errors import EngineError, ModelError, UsageError
from slmprof.models.synthesis import synthesize
from slmprof.quantization.importance import read_imatrix
from slmprof.quantization.quality.process import measure_quality
from slmprof.quantization.quality.records import Quality
from slmprof.quantization.texts import batch_size
from slmprof.settings.dimensions import Dimensions
from slmprof.settings.scoring import QualitySettings

N_CTX = 128
BOS = 1
_PEERS = "SLMPROF_PEERS_DIR names no folder with {} (see CONTRIBUTING.md)"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a text, and the trained model in some types."""
    made: Path = tmp_path_factory.mktemp("quality")
    write_held_out(made, 6000)
    for file_type in ("Q8_0", "Q4_0", "Q2_K"):
        quant.apply(TRAINED, made / f"{file_type}.gguf", file_type=file_type, pure=True)
    return made


def quality(folder: Path, model: str, **settings: Any) -> Quality:
    path = TRAINED if model == "F16" else folder / f"{model}.gguf"
    settings = {"text": folder / "held-out.txt", "n_ctx": N_CTX, "threads": 1, **settings}
    return quant.quality(path, **settings)


@pytest.fixture(scope="module")
def by_type(folder: Path) -> dict[str, Quality]:
    """The quality of each file against the trained one."""
    types = ("F16", "Q8_0", "Q4_0", "Q2_K")
    return {name: quality(folder, name, reference=TRAINED) for name in types}


def peer(name: str) -> Path:
    """One of llama.cpp's programs, or the test is skipped."""
    path = Path(os.environ.get("SLMPROF_PEERS_DIR", ""), name)
    if not path.is_file():
        pytest.skip(_PEERS.format(name))
    return path


def test_a_trained_model_knows_its_language(by_type: dict[str, Quality]) -> None:
    """By chance each of 256 bytes is as likely; the text's own bytes alone give about 20."""
    found = by_type["F16"]
    assert 2 < found.perplexity.value < 9
    assert 0 < found.perplexity.error < 0.2 * found.perplexity.value
    scored = found.scored
    assert (scored.n_ctx, scored.n_tokens) == (N_CTX, scored.n_chunks * (N_CTX - 1 - N_CTX // 2))
    assert scored.n_chunks == 6000 // N_CTX
    assert found.model.file_type == "F16" and 16 < found.model.bits_per_weight < 16.1


def test_a_model_is_no_distance_from_itself(by_type: dict[str, Quality]) -> None:
    found = by_type["F16"]
    divergence = found.divergence
    assert divergence is not None
    assert divergence.kld.value == pytest.approx(0, abs=1e-9)
    assert divergence.top1_agreement.value == 1 and divergence.top1_agreement.error == 0
    assert divergence.ln_ratio.value == 0 and divergence.ratio.value == 1
    assert divergence.correlation == pytest.approx(1)
    assert [layer.relative_error for layer in found.layers] == [0.0] * 3
    assert [layer.cosine for layer in found.layers] == pytest.approx([1.0] * 3)
    assert found.tensors == ()


def test_fewer_bits_are_worse(by_type: dict[str, Quality]) -> None:
    klds, agreements, errors, noise = [], [], [], []
    for name in ("F16", "Q8_0", "Q4_0", "Q2_K"):
        found = by_type[name]
        assert found.divergence is not None
        klds.append(found.divergence.kld.value)
        agreements.append(found.divergence.top1_agreement.value)
        errors.append(found.layers[-1].relative_error)
        noise.append(sum(one.rmse for one in found.tensors))
    assert klds == sorted(klds) and klds[1] < 0.01 < klds[3]
    assert agreements == sorted(agreements, reverse=True)
    assert errors == sorted(errors) and noise == sorted(noise)
    divergence = by_type["Q4_0"].divergence
    assert divergence is not None
    spread = divergence.kld_spread
    quantiles = list(spread.to_json().values())
    assert quantiles == sorted(quantiles, reverse=True)


def logits_of(path: Path, tokens: Any) -> Any:
    """The logits of a chunk, by a session."""
    parts: list[Any] = []
    with slmprof.Session(path, n_ctx=N_CTX, ceilings="off") as session:
        session.score(tokens, lambda _, logits: parts.append(logits))
    return np.concatenate(parts).astype(np.float64)


def test_the_figures_by_their_definitions(folder: Path) -> None:
    """One chunk, with numpy in double precision."""
    found = quality(folder, "Q4_0", reference=TRAINED, chunks=1)
    ids = np.frombuffer(held_out_text(N_CTX).encode(), np.uint8).astype(np.int32) + 3
    tokens = np.concatenate([[BOS], ids])[:N_CTX].astype(np.int32)
    first, following = N_CTX // 2, tokens[N_CTX // 2 + 1 :]
    rows = np.arange(len(following))
    logs = []
    for path in (folder / "Q4_0.gguf", TRAINED):
        logits = logits_of(path, tokens)[first:-1]
        logits -= logits.max(axis=1, keepdims=True)
        logs.append(logits - np.log(np.exp(logits).sum(axis=1, keepdims=True)))
    own, reference = logs
    divergence = found.divergence
    assert divergence is not None
    nll, reference_nll = -own[rows, following], -reference[rows, following]
    assert found.perplexity.value == pytest.approx(math.exp(nll.mean()), rel=1e-5)
    n = len(nll)
    error = math.exp(nll.mean()) * nll.std() / math.sqrt(n - 1)
    assert found.perplexity.error == pytest.approx(error, rel=1e-4)
    kld = (np.exp(reference) * (reference - own)).sum(axis=1)
    assert divergence.kld.value == pytest.approx(kld.mean(), rel=1e-3, abs=1e-7)
    assert divergence.kld_spread.max == pytest.approx(kld.max(), rel=1e-3)
    change = np.exp(-nll) - np.exp(-reference_nll)
    assert divergence.probability_change.value == pytest.approx(change.mean(), abs=1e-6)
    same = own.argmax(axis=1) == reference.argmax(axis=1)
    assert divergence.top1_agreement.value == pytest.approx(same.mean())
    ln_ratio = nll - reference_nll
    assert divergence.ln_ratio.value == pytest.approx(ln_ratio.mean(), abs=1e-6)
    error = ln_ratio.std() / math.sqrt(n - 1)
    assert divergence.ln_ratio.error == pytest.approx(error, rel=1e-3)


def test_both_halves(folder: Path) -> None:
    found = quality(folder, "F16", both_halves=True)
    assert found.scored.n_tokens == found.scored.n_chunks * (N_CTX - 1)
    # The beginning of a chunk is harder to foretell.
    assert found.perplexity.value > quality(folder, "F16").perplexity.value


def test_batches_change_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from slmprof.quantization import texts
    from slmprof.quantization.quality.scoring import measure

    assert batch_size(512, 259) == 512
    assert batch_size(512, 262_144) == 128 and batch_size(8192, 262_144) == 128
    settings = QualitySettings.of(n_ctx=N_CTX, chunks=3, threads=1)
    arguments = (str(folder / "Q4_0.gguf"), str(TRAINED), str(folder / "held-out.txt"), settings)
    seen: list[Progress] = []
    whole = measure(*arguments, seen.append)
    monkeypatch.setattr(texts, "_MOST_LOGITS_BYTES", 4 * 259 * 40)
    cut = measure(*arguments, seen.append)
    assert cut.scored == whole.scored
    assert cut.perplexity.value == pytest.approx(whole.perplexity.value, rel=1e-3)
    assert [one.done for one in seen if one.stage == "scoring"] == [0, 1, 2] * 2


def test_weights_are_compared_number_by_number(folder: Path, by_type: dict[str, Quality]) -> None:
    found = {one.tensor: one for one in by_type["Q4_0"].tensors}
    name = "blk.1.ffn_down.weight"
    own, reference = (
        gguf.quants.dequantize(one.data, one.tensor_type).astype(np.float64)
        for path in (folder / "Q4_0.gguf", TRAINED)
        for one in gguf.GGUFReader(path).tensors
        if one.name == name
    )
    off, one = own - reference, found[name]
    assert (one.type, one.reference_type, one.n_elements) == ("q4_0", "f16", off.size)
    assert one.rmse == pytest.approx(math.sqrt((off**2).mean()), rel=1e-6)
    snr = 10 * math.log10((reference**2).sum() / (off**2).sum())
    assert one.snr_db == pytest.approx(snr, rel=1e-6)
    blocks = [np.square(x).reshape(-1, 32).sum(axis=1) for x in (off, reference)]
    relative = np.sqrt(blocks[0] / blocks[1])
    assert one.worst_block == pytest.approx(relative.max(), rel=1e-5)
    at = int(relative.argmax()) * 32
    assert (one.worst_row, one.worst_column) == (at // own.shape[1], at % own.shape[1])
    assert "blk.0.attn_norm.weight" not in found


def test_the_quality_of_a_scheme(folder: Path, tmp_path: Path) -> None:
    """What goes for q4_0 with the same rounding goes for a scheme in Python."""
    place = f"{write_scheme(tmp_path, MINE)}:Mine"
    made = quant.apply(TRAINED, tmp_path / "made.gguf", scheme=place)
    found = quant.quality(made, text=folder / "held-out.txt", reference=TRAINED, n_ctx=N_CTX)
    assert found.model.scheme == "mine" and found.divergence is not None
    assert 0 < found.divergence.kld.value < 0.2
    same = quant.apply(TRAINED, tmp_path / "q8.gguf", scheme="gguf.quants:Q8_0")
    values = quant.quality(same, text=folder / "held-out.txt", reference=TRAINED, n_ctx=N_CTX)
    blocks = quality(folder, "Q8_0", reference=TRAINED)
    assert values.divergence is not None and blocks.divergence is not None
    assert values.divergence.kld.value < 2 * blocks.divergence.kld.value


def test_the_command(folder: Path) -> None:
    arguments = (
        "quant", "quality", folder / "Q4_0.gguf", "--reference", TRAINED,
        "--text", folder / "held-out.txt", "--n-ctx", N_CTX, "--chunks", 4,
    )  # fmt: skip
    shown = run(*arguments)
    assert shown.returncode == 0, shown.stderr
    for text in ("perplexity", "KL divergence", "Layers", "Weights, the worst first", "against"):
        assert text in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80
    found = json.loads(run(*arguments, "--format", "json").stdout)
    assert {"mean", "median", "p99", "p999", "max"} <= found["kld"].keys()
    assert found["scored"]["n_chunks"] == 4 and len(found["layers"]) == 3
    assert 0 <= found["top1_agreement"] <= 1 and found["perplexity_error"] > 0
    csv = run(*arguments, "--format", "csv").stdout.splitlines()
    assert csv[0] == "figure,value,error" and csv[1].startswith("perplexity,")
    assert len(run(*arguments, "--by", "layer").stdout.splitlines()) >= 6


@pytest.mark.parametrize("n_ctx", [N_CTX, 256])
def test_the_numbers_of_llama_perplexity(folder: Path, tmp_path: Path, n_ctx: int) -> None:
    program = peer("llama-perplexity")
    store = tmp_path / "logits"
    text = folder / "held-out.txt"
    patient = {**os.environ, "LD_PRELOAD": str(late_end(tmp_path))}
    shared = [program, "-c", n_ctx, "-b", n_ctx, "-t", 1, "--kl-divergence-base", store]

    def told(*arguments: object) -> str:
        command = [str(one) for one in (*shared, *arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, check=True, env=patient
        )
        return done.stdout + done.stderr

    first = told("-m", TRAINED, "-f", text)
    second = told("-m", folder / "Q2_K.gguf", "--kl-divergence")
    found = quality(folder, "Q2_K", reference=TRAINED, n_ctx=n_ctx, compatible=True)
    divergence = found.divergence
    assert divergence is not None

    def number(label: str, where: str = second) -> float:
        match = re.search(rf"{label}\s*[:=]\s*(-?\d+\.\d+)", where)
        assert match, (label, where)
        return float(match[1])

    own = quality(folder, "F16", n_ctx=n_ctx)
    assert own.perplexity.value == pytest.approx(number("PPL", first), abs=1e-4)
    assert own.perplexity.error == pytest.approx(
        number(r"\+/-", first.replace("+/- ", "+/-=")), rel=1e-3
    )
    # By its batches, flash attention and repacking llama-perplexity's own figures move as far.
    for label, value, tolerance in (
        (r"Mean PPL\(Q\)", found.perplexity.value, 5e-4),
        (r"Mean PPL\(base\)", divergence.perplexity.value, 1e-4),
        (r"Mean ln\(PPL\(Q\)/PPL\(base\)\)", divergence.ln_ratio.value, 1e-4),
        (r"Mean    KLD", divergence.kld.value, 5e-5),
        (r"Maximum KLD", divergence.kld_spread.max, 2e-2),
        (r"99.0%   KLD", divergence.kld_spread.p99, 5e-3),
        (r"Median  KLD", divergence.kld_spread.median, 5e-4),
        (r"Mean    Δp", 100 * divergence.probability_change.value, 5e-3),
        (r"RMS Δp", 100 * divergence.probability_change_rms.value, 1e-2),
        (r"Same top p", 100 * divergence.top1_agreement.value, 0.15),
    ):
        assert value == pytest.approx(number(label), abs=tolerance), label
    assert divergence.correlation == pytest.approx(
        number(r"Cor\(ln\(PPL\(Q\)\), ln\(PPL\(base\)\)\)") / 100, abs=1e-4
    )


def test_importances_are_those_of_llama_imatrix(folder: Path, tmp_path: Path) -> None:
    program = peer("llama-imatrix")
    text = folder / "held-out.txt"
    theirs = tmp_path / "theirs.gguf"
    command = [program, "-m", TRAINED, "-f", text, "-o", theirs, "-c", N_CTX, "-b", N_CTX, "-t", 1,
               "--no-ppl"]  # fmt: skip
    subprocess.run(list(map(str, command)), capture_output=True, timeout=120, check=True)
    ours = quant.imatrix(TRAINED, tmp_path / "ours.gguf", text=text, n_ctx=N_CTX)
    a, b = read_imatrix(ours), read_imatrix(theirs)
    assert a.weights.keys() == b.weights.keys() and a.n_chunks == b.n_chunks
    for name, weights in a.weights.items():
        assert np.allclose(weights, b.weights[name], rtol=1e-3), name


def test_importances_serve_a_recipe(folder: Path, tmp_path: Path) -> None:
    text = folder / "held-out.txt"
    told = run("quant", "imatrix", TRAINED, "--text", text, "-o", tmp_path / "i.gguf",
               "--n-ctx", N_CTX, "--chunks", 20)  # fmt: skip
    assert (
        told.returncode == 0
        and "importances of 21 weights, from 2560 tokens in 20 ch" in told.stdout
    )
    found = read_imatrix(tmp_path / "i.gguf")
    assert found.n_chunks == 20 and found.datasets == ("held-out.txt",)
    assert len(found.weights) == 21 and found.weights["blk.0.attn_q.weight"].shape == (1, 256)
    klds = []
    for name, imatrix in (("with", tmp_path / "i.gguf"), ("without", None)):
        made = quant.apply(
            TRAINED, tmp_path / f"{name}.gguf", file_type="Q2_K", pure=True, imatrix=imatrix
        )
        divergence = quant.quality(made, text=text, reference=TRAINED, n_ctx=N_CTX).divergence
        assert divergence is not None
        klds.append(divergence.kld.value)
    assert klds[0] < klds[1]


def test_logits_that_are_not_finite(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TRAINED.read_bytes())
    norm = next(t for t in gguf.GGUFReader(broken, "r+").tensors if t.name == "output_norm.weight")
    norm.data[7] = np.nan
    norm.data.flush()
    for model, reference in ((broken, None), (TRAINED, broken), (broken, TRAINED)):
        with pytest.raises(EngineError, match=r"broken\.gguf: its logits are not finite"):
            quant.quality(
                model, reference=reference, text=folder / "held-out.txt", n_ctx=N_CTX, chunks=1
            )


OTHER = Dimensions(
    architecture="llama", name="other", n_layer=1, n_embd=64, n_ff=64, n_head=2, n_head_kv=2,
    n_vocab=320, n_ctx_train=128,
)  # fmt: skip


def test_what_cannot_be_scored(folder: Path, tmp_path: Path) -> None:
    text = folder / "held-out.txt"
    random = synthesize(OTHER, tmp_path / "random.gguf", file_type="F16")
    short, binary = tmp_path / "short.txt", tmp_path / "binary.txt"
    short.write_text("short")
    binary.write_bytes(b"\xff\xfe\x00")
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"model": random, "text": text}, UsageError, "random weights, of which quality would"),
        ({"model": TRAINED, "reference": random, "text": text}, UsageError, "random weights"),
        ({"model": TRAINED, "text": short}, UsageError, "has 6 tokens, and a chunk has 512"),
        ({"model": TRAINED, "text": binary}, UsageError, "is not UTF-8 text"),
        ({"model": TRAINED, "text": tmp_path}, UsageError, "not a regular file"),
        ({"model": TRAINED, "text": tmp_path / "no"}, UsageError, "No such file"),
        ({"model": tmp_path / "no.gguf", "text": text}, ModelError, "no such model file"),
        ({"model": TRAINED, "text": text, "n_ctx": 4}, UsageError, "n_ctx: 4 is too small"),
        ({"model": TRAINED, "text": text, "n_batch": 4}, UsageError, "n_batch"),
        ({"model": "preset:tiny", "text": text}, UsageError, "preset:tiny has random weights"),
        ({"model": TRAINED, "text": "a\0b"}, UsageError, "is not a file of text"),
        (
            {"model": TRAINED, "text": text, "n_ctx": 2**31 - 1},
            EngineError,
            "cannot make a context",
        ),
    ]
    for arguments, error, told in cases:
        with pytest.raises(error, match=told):
            quant.quality(**arguments)
    with pytest.raises(UsageError, match="random weights, of which importances would"):
        quant.imatrix(random, tmp_path / "i.gguf", text=text)
    assert not (tmp_path / "i.gguf").exists()
    with pytest.raises(UsageError, match="it is the model that it is made of"):
        quant.imatrix(TRAINED, TRAINED, text=text)


def test_other_vocabularies_cannot_be_compared(folder: Path, tmp_path: Path) -> None:
    """A file whose tokens are the same number, but mean other bytes."""
    other = tmp_path / "other.gguf"
    content, length = TRAINED.read_bytes(), (1).to_bytes(8, "little")
    tokens, swapped = length + b"d" + length + b"e", length + b"e" + length + b"d"
    assert content.count(tokens) == 1
    other.write_bytes(content.replace(tokens, swapped))
    with pytest.raises(UsageError, match="cut the text into other tokens"):
        quality(folder, "F16", reference=other)


def test_it_takes_no_longer_than_asked(folder: Path) -> None:
    settings = QualitySettings.of(n_ctx=N_CTX)
    with pytest.raises(EngineError, match="not done after"):
        measure_quality(TRAINED, TRAINED, folder / "held-out.txt", settings, timeout=0.05)
