"""llama.cpp's own models of every architecture, each run once and its profile kept.

As a program, `python corpus_run.py JOB FOLDER MODEL...`, it does one job with the models, one after
another: in a process of its own, because llama.cpp ends it on what it considers impossible.
`profile` saves FOLDER/NAME.FLASH_ATTN.slmprof, or a refusal that slmprof explains as .error. `plan`
saves as FOLDER/NAME.plan in what the planner and the engine disagree.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from gguf_header import GgufHeader, read_header

PROGRAM = "test-llama-archs"
FLASH_ATTN = ("auto", "off")
N_PROMPT, N_GEN = 20, 2

# Each is planned without and with flash attention. Contexts are what differs most; with the other
# settings one of them has to do, because every plan is held against a context that is made.
_N_CTX = 512
PLANNED: dict[str, dict[str, Any]] = {
    "default": {"n_ctx": _N_CTX},
    "small context": {"n_ctx": 64},
    "large context": {"n_ctx": 2048},
    "no mmap": {"n_ctx": _N_CTX, "use_mmap": False},
    "no repack": {"n_ctx": _N_CTX, "use_repack": False},
    "quantized cache": {"n_ctx": _N_CTX, "type_k": "q8_0", "type_v": "q8_0"},
    "four sequences": {"n_ctx": _N_CTX, "n_seq_max": 4},
    "one output, small ubatch": {"n_ctx": _N_CTX, "n_outputs_max": 1, "n_ubatch": 32},
}

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


@dataclass(frozen=True)
class Corpus:
    """What came of the corpus: by the name of the model, `llama-dense`.

    Attributes:
        n_announced: how many models the program said that it saved.
        headers: the header of each file; the files themselves are gone.
        failures: what went wrong where no profile could be made.
        folder: holds the profiles and what came of the plans.
    """

    n_announced: int
    headers: dict[str, GgufHeader]
    failures: dict[str, str]
    folder: Path

    def profile_path(self, name: str, flash_attn: str) -> Path:
        """The profile of a model; fails the test, with the reason, where there is none."""
        path = self.folder / f"{name}.{flash_attn}.slmprof"
        if not path.exists():
            pytest.fail(f"{name}: {self.failures.get(name, 'the program did not write it')}")
        return path

    def plan_differences(self, name: str) -> dict[str, list[str]]:
        """In what plans of a model and allocations disagree, by what was set."""
        path = self.folder / f"{name}.plan"
        if not path.exists():
            pytest.fail(f"{name}: {self.failures.get(name, 'it was not planned')}")
        found: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
        return found


def run_corpus(folder: Path) -> Corpus:
    """Writes the corpus, plans and runs it and keeps what came of it in the folder.

    The calling test is skipped where no folder with llama.cpp's programs is named.
    """
    programs = os.environ.get("SLMPROF_PEERS_DIR")
    if not programs:
        pytest.skip(f"SLMPROF_PEERS_DIR names no folder with {PROGRAM} (see CONTRIBUTING.md)")
    program = Path(programs).resolve() / PROGRAM
    models, profiles = folder / "models", folder / "profiles"
    models.mkdir()
    profiles.mkdir()
    try:
        # The files take a gigabyte together, so they do not stay behind.
        answer = subprocess.run(
            [program, "--out", models, "--seed", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
        )
        paths = sorted(models.glob("*.gguf"))
        headers = {path.stem: read_header(path) for path in paths}
        failures = _run_models("plan", paths, profiles)
        failures |= _run_models("profile", paths, profiles)
    finally:
        shutil.rmtree(models)
    return Corpus(answer.stdout.count(": Saving "), headers, failures, profiles)


def _run_models(job: str, paths: list[Path], folder: Path) -> dict[str, str]:
    """Does the job with all models. Returns what went wrong, by the model's name."""
    failures: dict[str, str] = {}
    left = list(paths)
    while left:
        command = [sys.executable, __file__, job, str(folder), *map(str, left)]
        answer = subprocess.run(command, capture_output=True, text=True, errors="replace")
        if answer.returncode == 0:
            break
        # The last one begun took the process with it; another goes on behind it.
        begun = len(answer.stdout.split())
        culprit = left[max(begun - 1, 0)]
        failures[culprit.stem] = f"status {answer.returncode}: {answer.stderr[-2000:]}"
        left = left[max(begun, 1) :]
    for report in folder.glob("*.error"):
        name = report.stem.rpartition(".")[0]
        failures[name] = report.read_text(encoding="utf-8")
    return failures


def _run_model(path: Path, folder: Path) -> None:
    """A prompt and a few tokens, observed, with and without flash attention."""
    import slmprof

    for flash_attn in FLASH_ATTN:
        name = f"{path.stem}.{flash_attn}"
        try:
            with slmprof.Session(path, n_ctx=256, threads=1, flash_attn=flash_attn) as session:
                session.prefill(N_PROMPT)
                session.decode(N_GEN)
                session.profile().save(folder / f"{name}.slmprof")
        except slmprof.SlmprofError as error:
            message = f"{type(error).__name__}: {error}"
            (folder / f"{name}.error").write_text(message, encoding="utf-8")


def _plan_model(path: Path, folder: Path) -> None:
    """Plans and makes contexts of every kind."""
    from plans import differences

    found = {
        f"{name}, flash_attn {flash_attn}": differences(path, flash_attn=flash_attn, **settings)
        for name, settings in PLANNED.items()
        for flash_attn in (0, 1)
    }
    (folder / f"{path.stem}.plan").write_text(json.dumps(found), encoding="utf-8")


def main() -> None:
    job = {"plan": _plan_model, "profile": _run_model}[sys.argv[1]]
    folder = Path(sys.argv[2])
    for path in map(Path, sys.argv[3:]):
        print(path.stem, flush=True)
        job(path, folder)


if __name__ == "__main__":
    main()
