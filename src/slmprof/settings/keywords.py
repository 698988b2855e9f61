"""The settings as keyword arguments of the public functions, for type checkers.

A type checker cannot read the table of settings, so they are written out once more; a test holds
the two together. Only type checkers import this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypedDict


class LlamaKeywords(TypedDict, total=False):
    """What a run and a plan both take as one value."""

    threads: int | None
    override_tensor: str | Sequence[str]
    device: str
    n_gpu_layers: int | Literal["all"] | None
    split_mode: str
    tensor_split: Sequence[float]
    cuda_graphs: bool


class RunKeywords(LlamaKeywords, total=False):
    """Of a run in one process: of `slmprof.Session`, and of each process that others start."""

    n_prompt: int
    n_gen: int
    n_depth: int | Sequence[int]
    n_ctx: int | None
    n_batch: int
    n_ubatch: int
    flash_attn: str
    type_k: str
    type_v: str
    mmap: bool
    repack: bool
    repeats: int
    seed: int
    prompt_file: str | os.PathLike[str] | None
    events: str
    clock: str
    timeout: float | None
    ceilings: str | os.PathLike[str]
    force: bool


class ProcessKeywords(RunKeywords, total=False):
    """Of runs in several processes: of `slmprof.compare`."""

    processes: int


class ProfileKeywords(ProcessKeywords, total=False):
    """Of `slmprof.profile`."""

    scaling: bool
    energy: bool
    energy_window: float


class PlanKeywords(LlamaKeywords, total=False):
    """Of `slmprof.memory`; of most settings one value or several."""

    file_type: str | Sequence[str] | None
    n_ctx: int | Literal["max"] | Sequence[int | Literal["max"]]
    n_batch: int | Sequence[int]
    n_ubatch: int | Sequence[int]
    flash_attn: str | Sequence[str]
    type_k: str | Sequence[str]
    type_v: str | Sequence[str]
    mmap: bool | Sequence[bool]
    repack: bool | Sequence[bool]
    n_seq_max: int | Sequence[int]
    n_outputs_max: int | Sequence[int]
    swa_full: bool | Sequence[bool]
    fit_bytes: int | None
    fit_for: str
    n_prompt: int
    timeout: float | None


class TextKeywords(TypedDict, total=False):
    """How a text goes through a model."""

    n_ctx: int
    chunks: int | None
    threads: int | None
    force: bool


class ImatrixKeywords(TextKeywords, total=False):
    """Of `slmprof.quant.imatrix`."""

    head: bool


class QualityKeywords(TextKeywords, total=False):
    """Of `slmprof.quant.quality`."""

    both_halves: bool
    compatible: bool
    costs: bool
    cost_chunks: int


class StudyKeywords(TextKeywords, total=False):
    """How the models of a study are scored and timed."""

    n_prompt: int
    n_gen: int
    repeats: int
    processes: int
    cost_chunks: int


class DossierKeywords(StudyKeywords, total=False):
    """Of `slmprof.quant.dossier`."""

    against: str | Sequence[str]
    costs: bool


class AdviceKeywords(StudyKeywords, total=False):
    """Of `slmprof.quant.advise`."""

    types: str | Sequence[str]
    scheme: str | type | Callable[..., Any] | None
    imatrix: str | os.PathLike[str] | None
    fit_bytes: int | None
    decode_ms: float | None
    max_kld: float | None


class RecipeKeywords(TypedDict, total=False):
    """Of `slmprof.quant`'s recipes."""

    file_type: str | None
    tensor_type: str | Sequence[str]
    tensor_type_file: str | os.PathLike[str] | None
    output_tensor_type: str | None
    token_embedding_type: str | None
    leave_output_tensor: bool
    pure: bool
    imatrix: str | os.PathLike[str] | None
    allow_requantize: bool
    scheme: str | type | Callable[..., Any] | None
    scheme_tensors: str | None
    fake_quant: bool
