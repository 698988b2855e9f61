"""Trains the tiny language model that tests of quality use: `python tests/models/train.py`.

It reads bytes, has the llama architecture and 1.8 M parameters, and is trained on the help texts
that come with Python (`pydoc_data.topics`). The seed is fixed; the result still depends on the
version of Python, whose texts change, and on that of torch. Some minutes on two cores; needs the
extra `torch`.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from pydoc_data.topics import topics

import gguf
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

N_LAYER, N_EMBD, N_FF, N_HEAD, N_HEAD_KV, HEAD_DIM = 3, 256, 512, 4, 2, 64
N_CTX, ROPE_BASE, EPSILON = 256, 10000.0, 1e-5
SPECIAL = ("<unk>", "<s>", "</s>")
BOS = 1
N_VOCAB = len(SPECIAL) + 256
BATCH, LEARNING_RATE, SEED = 16, 3e-3, 20260
# The last part of the text is for tests (tests/builders/held_out.py).
HELD_OUT_BYTES = 40_000


def text() -> bytes:
    """All of Python's help, by topic."""
    return "\n\n".join(topics[name] for name in sorted(topics)).encode()


def byte_tokens() -> list[str]:
    """A character for each byte, as byte-level tokenizers write them: those that cannot be printed
    come after Latin-1."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


class Norm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(N_EMBD))

    def forward(self, x: Tensor) -> Tensor:
        return functional.rms_norm(x, (N_EMBD,), self.weight, EPSILON)


class Layer(nn.Module):
    """Attention and FFN, each behind a norm and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.attn_norm, self.ffn_norm = Norm(), Norm()
        self.attn_q = linear(N_EMBD, N_HEAD * HEAD_DIM)
        self.attn_k = linear(N_EMBD, N_HEAD_KV * HEAD_DIM)
        self.attn_v = linear(N_EMBD, N_HEAD_KV * HEAD_DIM)
        self.attn_output = linear(N_HEAD * HEAD_DIM, N_EMBD)
        self.ffn_gate, self.ffn_up = linear(N_EMBD, N_FF), linear(N_EMBD, N_FF)
        self.ffn_down = linear(N_FF, N_EMBD)

    def forward(self, x: Tensor, rotation: Tensor) -> Tensor:
        normed = self.attn_norm(x)
        q, k = (rotate(heads(p(normed)), rotation) for p in (self.attn_q, self.attn_k))
        v = heads(self.attn_v(normed))
        found = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.attn_output(found.transpose(1, 2).flatten(2))
        normed = self.ffn_norm(x)
        return x + self.ffn_down(functional.silu(self.ffn_gate(normed)) * self.ffn_up(normed))


class Model(nn.Module):
    """Token embeddings, which are the LM head as well, and layers."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embd = nn.Embedding(N_VOCAB, N_EMBD)
        nn.init.normal_(self.token_embd.weight, std=0.02)
        self.blk = nn.ModuleList(Layer() for _ in range(N_LAYER))
        self.output_norm = Norm()
        angles = torch.arange(N_CTX)[:, None] * ROPE_BASE ** (
            -torch.arange(0, HEAD_DIM, 2) / HEAD_DIM
        )
        self.register_buffer("rotation", torch.polar(torch.ones_like(angles), angles), False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_embd(tokens)
        for layer in self.blk:
            x = layer(x, self.rotation[: tokens.shape[1]])
        return self.output_norm(x) @ self.token_embd.weight.T


def linear(n_in: int, n_out: int) -> nn.Linear:
    made = nn.Linear(n_in, n_out, bias=False)
    nn.init.normal_(made.weight, std=0.02 if n_out != N_EMBD else 0.02 / math.sqrt(2 * N_LAYER))
    return made


def heads(x: Tensor) -> Tensor:
    return x.unflatten(2, (-1, HEAD_DIM)).transpose(1, 2)


def rotate(x: Tensor, rotation: Tensor) -> Tensor:
    """Pairs of neighbours as complex numbers, which is how llama.cpp rotates this architecture."""
    pairs = torch.view_as_complex(x.float().unflatten(3, (-1, 2)))
    return torch.view_as_real(pairs * rotation).flatten(3)


def train(n_steps: int) -> Model:
    torch.manual_seed(SEED)
    data = np.frombuffer(text()[:-HELD_OUT_BYTES], np.uint8).astype(np.int64) + len(SPECIAL)
    tokens = torch.from_numpy(data)
    model = Model()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.95))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=n_steps, pct_start=0.05
    )
    began = time.monotonic()
    for step in range(n_steps):
        starts = torch.randint(len(tokens) - N_CTX, (BATCH,))
        batch = torch.stack([tokens[start : start + N_CTX] for start in starts.tolist()])
        # Each begins as a text does.
        read = torch.cat([torch.full((BATCH, 1), BOS), batch[:, :-1]], 1)
        loss = functional.cross_entropy(model(read).flatten(0, 1), batch.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == n_steps - 1:
            print(f"{step:5d}  {loss.item():.4f}  {time.monotonic() - began:.0f} s", flush=True)
    return model


def write(model: Model, path: Path) -> None:
    """The model as llama.cpp reads it, in F16 with norms in F32."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Python help, trained")
    writer.add_description("Trained by tests/models/train.py on the help texts of Python")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(N_CTX * 8)
    writer.add_embedding_length(N_EMBD)
    writer.add_block_count(N_LAYER)
    writer.add_feed_forward_length(N_FF)
    writer.add_head_count(N_HEAD)
    writer.add_head_count_kv(N_HEAD_KV)
    writer.add_rope_dimension_count(HEAD_DIM)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(EPSILON)
    writer.add_vocab_size(N_VOCAB)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    tokens = byte_tokens()
    writer.add_token_list([*SPECIAL, *tokens])
    kinds = gguf.TokenType
    writer.add_token_types([*[kinds.CONTROL] * len(SPECIAL), *[kinds.NORMAL] * 256])
    # llama.cpp wants one; of two bytes that no text has.
    writer.add_token_merges([f"{tokens[0]} {tokens[1]}"])
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(BOS + 1)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    for name, tensor in model.state_dict().items():
        values = tensor.detach().numpy()
        writer.add_tensor(name, values.astype(np.float16 if values.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--steps", type=int, default=600)
    folder = Path(__file__).parent
    arguments.add_argument("--output", type=Path, default=folder / "trained.gguf")
    options = arguments.parse_args()
    write(train(options.steps), options.output)


if __name__ == "__main__":
    main()
