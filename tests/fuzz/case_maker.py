"""Cases: a command of slmprof, and the files that it is given, all told by a seed and a number."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import gguf_mutator
import profile_mutator
from json_mutator import mutate_json

CORPUS = Path(__file__).with_name("corpus")
GOLDEN = Path(__file__).parents[1] / "golden"
# A model that is written has random weights in all of its length: no more than this is waited for.
_WRITTEN_BYTES = 64 << 20
CONFIG_KEYS = (
    "architectures", "model_type", "hidden_size", "intermediate_size", "max_position_embeddings",
    "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "rms_norm_eps",
    "layer_norm_eps", "rope_theta", "rope_scaling", "tie_word_embeddings", "vocab_size", "head_dim",
    "sliding_window", "layer_types", "partial_rotary_factor", "rotary_pct", "num_local_experts",
    "num_experts_per_tok", "use_cache", "torch_dtype", "quantization_config", "text_config",
    "n_embd", "n_layer", "n_head", "n_positions", "n_inner", "state_size", "conv_kernel",
    "time_step_rank", "expand", "n_groups", "final_logit_softcapping", "query_pre_attn_scalar",
    "ffn_dim_multipliers", "max_window_layers", "use_sliding_window", "attention_bias",
)  # fmt: skip
_TYPES = ("f16", "f32", "q8_0", "q4_0", "iq4_nl", "bf16")
_FILE_TYPES = ("Q4_K_M", "Q8_0", "IQ3_XS", "F16", "Q2_K", "q4_0", "all", "MXFP4_MOE", "Q5_K_S,F32")


@dataclass(frozen=True)
class Case:
    """A command and its input.

    Attributes:
        kind: of the input and the command, which a table of outcomes has a column for.
        arguments: of the command; it runs in the folder of its files.
        made: names of files that it may make there.
        mutations: what was done to the input.
        limit_bytes: that no file may be longer than, where it writes one.
    """

    kind: str
    arguments: tuple[str, ...]
    mutations: tuple[str, ...]
    made: tuple[str, ...] = ()
    limit_bytes: int | None = None


@dataclass
class CaseMaker:
    """Makes the files of cases.

    Attributes:
        seed: of all cases.
        models: a folder with further GGUF files, of which the headers are changed.
    """

    seed: int
    models: Path | None = None
    _ggufs: list[bytes] = field(default_factory=list)
    _profiles: list[bytes] = field(default_factory=list)
    _configs: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        folders = [CORPUS / "gguf", *([self.models] if self.models else [])]
        ggufs = [path for folder in folders for path in sorted(folder.glob("*.gguf"))]
        profiles = [*sorted(GOLDEN.glob("*.slmprof")), *sorted(CORPUS.glob("profiles/*.slmprof"))]
        self._ggufs = [path.read_bytes()[: 1 << 20] for path in ggufs]
        self._profiles = [path.read_bytes() for path in profiles]
        self._configs = [path.read_bytes() for path in sorted(CORPUS.glob("configs/*.json"))]

    def make(self, number: int, folder: Path, kinds: tuple[str, ...] = ()) -> Case:
        """Writes the files of a case into an empty folder.

        Args:
            kinds: of which it must be; any where there are none.
        """
        rng = Random(f"{self.seed}/{number}")
        kind = rng.choice([kind for kind in _SHARES if not kinds or kind in kinds])
        subject, _, command = kind.partition(" ")
        case: Case = getattr(self, f"_{subject}")(rng, folder, command)
        return case

    def _gguf(self, rng: Random, folder: Path, command: str) -> Case:
        made = gguf_mutator.mutate(rng.choice(self._ggufs), rng)
        _write(folder / "model.gguf", made)
        return Case(
            f"gguf {command}", (command, "model.gguf", *_options(command, rng)), made.mutations
        )

    def _split(self, rng: Random, folder: Path, command: str) -> Case:
        """A model in two parts, of which one, or both, are changed, missing or twice the same."""
        parts = [CORPUS / "split" / f"part-{i:05}-of-00002.gguf" for i in (1, 2)]
        datas = [part.read_bytes() for part in parts]
        changed = rng.choice(((0,), (1,), (0, 1), ()))
        mutations: tuple[str, ...] = ()
        if not changed:
            way = rng.choice(("one_part", "same_parts", "swapped_parts"))
            datas = {"one_part": datas[:1], "same_parts": datas[:1] * 2}.get(way, datas[::-1])
            mutations = (way,)
        for i, data in enumerate(datas):
            path = folder / f"model-{i + 1:05}-of-00002.gguf"
            if i in changed:
                mutated = gguf_mutator.mutate(data, rng, _TO_SPLITS)
                mutations += mutated.mutations
            else:
                mutated = gguf_mutator.whole(data)
            _write(path, mutated)
        first = "model-00001-of-00002.gguf"
        return Case(f"split {command}", (command, first, *_options(command, rng)), mutations)

    def _profile(self, rng: Random, folder: Path, command: str) -> Case:
        data, mutations = profile_mutator.mutate(rng.choice(self._profiles), rng)
        (folder / "p.slmprof").write_bytes(data)
        arguments = [command, "p.slmprof", *_options(command, rng)]
        if rng.random() < 0.1:
            (folder / "q.slmprof").write_bytes(rng.choice(self._profiles))
            arguments = [command, "q.slmprof", "p.slmprof"]
        return Case(f"profile {command}", tuple(arguments), mutations)

    def _config(self, rng: Random, folder: Path, command: str) -> Case:
        data, names = mutate_json(rng.choice(self._configs), rng, CONFIG_KEYS)
        (folder / "config.json").write_bytes(data)
        if command == "synth":
            arguments = ("synth", "config.json", "-o", "made.gguf")
            return Case("config synth", arguments, tuple(names), ("made.gguf",), _WRITTEN_BYTES)
        model = "config.json" + rng.choice(("", "", "@Q8_0", "@IQ2_M", "@F32"))
        return Case(f"config {command}", (command, model, *_options(command, rng)), tuple(names))


# How often there is a case of a kind.
_SHARES = (
    *["gguf memory"] * 8, *["gguf breakdown"] * 5, "split memory", "split breakdown",
    *["profile show"] * 6, *["config memory"] * 3, "config synth",
)  # fmt: skip
KINDS = tuple(dict.fromkeys(_SHARES))


# Whether parts belong to each other is told by their keys.
_TO_SPLITS = (
    *gguf_mutator.MUTATIONS,
    *[gguf_mutator.change_number, gguf_mutator.change_kind, gguf_mutator.drop_pair] * 4,
)


def _write(path: Path, made: gguf_mutator.MutatedFile) -> None:
    path.write_bytes(made.header)
    os.truncate(path, made.file_bytes)


def _options(command: str, rng: Random) -> list[str]:
    if command == "breakdown":
        few = ["--n-prompt", "4", "--n-gen", "2", "--repeats", "1", "--ceilings", "off"]
        # One thread: several wait for each other as long as another case has the other core.
        few += ["--n-ctx", "64", "--threads", "1"]
        return few + _some(_OF_BREAKDOWN, rng)
    return _some({"memory": _OF_MEMORY, "show": _OF_SHOW}[command], rng)


def _some(options: tuple[tuple[str, ...], ...], rng: Random) -> list[str]:
    """None of the options in most cases, else one or two of them."""
    if rng.random() < 0.6:
        return []
    chosen = rng.sample(options, rng.choice((1, 1, 2)))
    names = [option[0] for option in chosen]
    return [part for option in chosen for part in option] if len({*names}) == len(names) else []


_FORMATS = tuple(("--format", form) for form in ("json", "csv", "markdown"))
_OF_MEMORY: tuple[tuple[str, ...], ...] = (
    *_FORMATS,
    *(("--by", view) for view in ("total", "buffer", "layer", "tensor", "peak")),
    *(("--n-ctx", number) for number in ("1", "max", "512,1000", "1000000")),
    *(("--type-k", type_) for type_ in _TYPES),
    *(("--type-v", type_) for type_ in _TYPES),
    *(("--file-type", type_) for type_ in _FILE_TYPES),
    ("--fit", "1GiB"), ("--full",), ("--flash-attn", "on"), ("--n-seq-max", "3"),
    ("--n-ubatch", "1,64"), ("--no-mmap",), ("--repack", "off"), ("--swa-full", "on,off"),
    ("--override-tensor", "ffn_.*=CPU"), ("--device", "planned:cuda"),
)  # fmt: skip
_OF_BREAKDOWN: tuple[tuple[str, ...], ...] = (
    *_FORMATS,
    *(("--by", view) for view in ("block", "layer", "kernel", "op", "part", "tensor")),
    *(("--type-k", type_) for type_ in _TYPES),
    ("--events", "aggregate"), ("--full",), ("--flash-attn", "on"), ("--flash-attn", "off"),
    ("--no-mmap",), ("--repack", "off"), ("--n-depth", "0,8"), ("--n-ubatch", "2"),
)  # fmt: skip
_OF_SHOW: tuple[tuple[str, ...], ...] = (
    *_FORMATS, *_FORMATS,
    *(("--by", view) for view in (
        "block", "layer", "kernel", "op", "part", "tensor", "depth", "place", "energy"
    )),
    ("--full",), ("--full",), ("--phase", "decode"), ("--top", "3"), ("--join-again",),
    ("--n-depth", "0"), ("--bound", "memory"),
)  # fmt: skip
