"""Writes the corpus of the fuzzers anew: headers of models, profiles, configurations and the rest.

    PYTHONPATH=src:tests/builders:tests/engines python tests/fuzz/make_corpus.py

A model is there as its header, some kilobytes: who needs the data puts a hole in its place. Needs
the native module.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from case_maker import CORPUS
from ceilings_builder import example_ceilings
from gguf_files import (
    common_metadata,
    llama_shapes,
    write_bert,
    write_gguf,
    write_llada,
    write_mamba,
    write_moe,
    write_split_llama,
    write_t5,
)
from gguf_tree import Array, Gguf, Pair, Text, read
from small_models import ARCHITECTURES, small_dimensions

from slmprof.models.synthesis import plan_header, plan_model
from slmprof.profiles.records.ceilings import write_ceilings

_TEXT_KIND, _ARRAY_KIND, _FLOAT_KIND, _INT_KIND = 8, 9, 6, 5
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {
        "architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "max_position_embeddings": 256, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "vocab_size": 256, "torch_dtype": "bfloat16",
        "rope_scaling": {
            "rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 128,
        },
    },
    "mixtral": {
        "architectures": ["MixtralForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "max_position_embeddings": 256, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-05, "vocab_size": 256,
        "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None,
        "tie_word_embeddings": False,
    },
    "qwen2": {
        "architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "max_position_embeddings": 256, "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
        "tie_word_embeddings": True, "vocab_size": 256, "use_sliding_window": False,
    },
    "gemma3": {
        "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "head_dim": 32,
        "hidden_size": 64, "intermediate_size": 128, "max_position_embeddings": 256,
        "num_attention_heads": 4, "num_hidden_layers": 3, "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
        "sliding_window": 64, "sliding_window_pattern": 2, "vocab_size": 256,
        "query_pre_attn_scalar": 32, "layer_types": [
            "sliding_attention", "full_attention", "sliding_attention",
        ],
    },
    "phi3": {
        "architectures": ["Phi3ForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "max_position_embeddings": 256, "original_max_position_embeddings": 256,
        "num_attention_heads": 4, "num_hidden_layers": 2, "num_key_value_heads": 4,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 128, "vocab_size": 256,
        "tie_word_embeddings": False, "rope_scaling": None,
    },
    "gpt_neox": {
        "architectures": ["GPTNeoXForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 256, "num_attention_heads": 4,
        "num_hidden_layers": 2, "rotary_emb_base": 10000, "rotary_pct": 0.25,
        "tie_word_embeddings": False, "use_parallel_residual": True, "vocab_size": 256,
    },
    "gpt2": {
        "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "n_embd": 64, "n_layer": 2,
        "n_head": 4, "n_positions": 256, "n_ctx": 256, "n_inner": None, "vocab_size": 256,
        "layer_norm_epsilon": 1e-05,
    },
    "bloom": {
        "architectures": ["BloomForCausalLM"], "hidden_size": 64, "n_head": 4, "n_layer": 2,
        "seq_length": 256, "vocab_size": 256, "layer_norm_epsilon": 1e-05,
    },
    "openelm": {
        "architectures": ["OpenELMForCausalLM"], "model_dim": 64, "num_transformer_layers": 2,
        "head_dim": 16, "max_context_length": 256, "vocab_size": 256, "ffn_dim_divisor": 32,
        "ffn_multipliers": [0.5, 4.0], "num_query_heads": [4, 4], "num_kv_heads": [2, 2],
        "qkv_multipliers": [0.5, 1.0], "rope_freq_constant": 10000,
        "share_input_output_layers": True,
    },
    "mamba": {
        "architectures": ["MambaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
        "state_size": 16, "conv_kernel": 4, "expand": 2, "time_step_rank": 4, "vocab_size": 256,
        "layer_norm_epsilon": 1e-05, "intermediate_size": 128,
    },
    "mamba2": {
        "architectures": ["Mamba2ForCausalLM"], "hidden_size": 64, "num_hidden_layers": 2,
        "state_size": 16, "conv_kernel": 4, "expand": 2, "num_heads": 8, "head_dim": 16,
        "n_groups": 1, "vocab_size": 256, "layer_norm_epsilon": 1e-05, "tie_word_embeddings": True,
    },
}  # fmt: skip
PROMPTS = {
    "plain": b"The quick brown fox jumps over the lazy dog.\n",
    "text": "Gr\u00fc\u00dfe \U0001f600 \u4f60\u597d\n".encode(),
    "special": b"<s>[INST] <|im_start|> </s>\0",
    "none": b"",
}


def main() -> int:
    shutil.rmtree(CORPUS, ignore_errors=True)
    for name in ("gguf", "split", "configs", "ceilings", "prompts"):
        (CORPUS / name).mkdir(parents=True)
    _write_models(CORPUS / "gguf")
    _write_split(CORPUS / "split")
    for name, values in CONFIGS.items():
        text = json.dumps(values, indent=1) + "\n"
        (CORPUS / "configs" / f"{name}.json").write_text(text, encoding="utf-8")
    write_ceilings(example_ceilings(), CORPUS / "ceilings" / "example.json")
    for name, data in PROMPTS.items():
        (CORPUS / "prompts" / f"{name}.txt").write_bytes(data)
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    print(f"{len(files)} files, {sum(path.stat().st_size for path in files) / 1000:.0f} kB")
    return 0


def _write_models(folder: Path) -> None:
    scratch = folder / "whole"
    for write in (write_moe, write_bert, write_t5, write_llada):
        name = write.__name__.removeprefix("write_")
        _keep_header(write(scratch), folder / f"{name}.gguf")
    _keep_header(write_mamba(scratch, 2, 128, 16), folder / "mamba.gguf")
    for tokenizer in ("llama", "gpt2", "bert", "t5"):
        _write_vocabulary(folder / f"vocabulary-{tokenizer}.gguf", tokenizer, scratch)
    scratch.unlink()
    for architecture in ARCHITECTURES:
        plan = plan_model(small_dimensions(architecture, n_layer=2), "Q4_K_M")
        header, _ = plan_header(plan)
        (folder / f"{architecture}.gguf").write_bytes(header)


def _write_split(folder: Path) -> None:
    for number in (1, 2):
        path = write_split_llama(folder).with_name(f"split-{number:05}-of-00002.gguf")
        _keep_header(path, folder / f"part-{number:05}-of-00002.gguf")
    for path in folder.glob("split-*"):
        path.unlink()


def _keep_header(path: Path, target: Path) -> None:
    target.write_bytes(read(path.read_bytes()).header())


def _write_vocabulary(target: Path, tokenizer: str, scratch: Path) -> None:
    """A small Llama with the tokens of some tokenizer."""
    n_vocab = 300
    metadata = {
        **common_metadata("llama"),
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.block_count": 1,
        "llama.vocab_size": n_vocab,
        "tokenizer.ggml.model": tokenizer,
    }
    write_gguf(scratch, metadata, llama_shapes(1, 64, 128, n_vocab, 64), sparse=True)
    gguf = read(scratch.read_bytes())
    special = ["<unk>", "<s>", "</s>", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
    # The bytes as the tokenizer writes them, then words.
    letters = [f"<0x{i:02X}>" for i in range(256)]
    kind_of_letter = 6
    if tokenizer == "gpt2":
        letters = [chr(i if 33 <= i < 127 or i >= 174 else 256 + i) for i in range(256)]
    if tokenizer != "llama":
        kind_of_letter = 1
    words = [f"\u2581w{i}" for i in range(n_vocab - len(special) - len(letters))]
    tokens = [*special, *letters, *words]
    types = [2, *[3] * 7, *[kind_of_letter] * len(letters), *[1] * len(words)]
    _add_array(gguf, "tokens", _TEXT_KIND, [Text(token.encode()) for token in tokens])
    _add_array(gguf, "scores", _FLOAT_KIND, [-float(i) for i in range(n_vocab)])
    _add_array(gguf, "token_type", _INT_KIND, list(types))
    if tokenizer == "gpt2":
        merges = [Text(f"{a} {b}".encode()) for a in "abc" for b in "def"]
        _add_array(gguf, "merges", _TEXT_KIND, list(merges))
    for name, number in (("unknown", 0), ("bos", 1), ("eos", 2), ("padding", 5)):
        gguf.pairs.append(Pair(Text(f"tokenizer.ggml.{name}_token_id".encode()), 4, number))
    target.write_bytes(gguf.header())


def _add_array(gguf: Gguf, name: str, kind: int, items: list[object]) -> None:
    key = Text(f"tokenizer.ggml.{name}".encode())
    gguf.pairs.append(Pair(key, _ARRAY_KIND, Array(kind, items)))


if __name__ == "__main__":
    sys.exit(main())
