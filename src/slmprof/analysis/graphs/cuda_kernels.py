"""What people call a CUDA kernel, and the family that it belongs to, both read from its full name.

The families are the CPU's (`kernel_names`), so that one table holds both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

LIBRARY = "cublas"
"""The family of a product by cuBLAS or CUTLASS, whose kernels are named after their tiles."""

_TYPES = {
    "float": "f32",
    "double": "f64",
    "half": "f16",
    "__half": "f16",
    "nv_bfloat16": "bf16",
    "__nv_bfloat16": "bf16",
    "signed char": "i8",
    "int": "i32",
    "long": "i64",
    "long long": "i64",
}
_TENSOR_TYPE = re.compile(r"\(ggml_type\)\s*(\d+)")
_CAST = re.compile(r"^\([\w:\s]+\)\s*(-?\w+)$")  # (ggml_glu_op)2
_INTEGER = re.compile(r"^(-?\d+)[uUlL]*$")
_RETURN_TYPE = re.compile(r"^(?:void|int|static)\s+")
_QUANTIZED = re.compile(
    r"(?<![a-z0-9])((?:q\d|iq\d|tq\d|mxfp\d|nvfp\d)(?:_(?:\d|k|xxs|xs|s|m|nl))*)", re.I
)
_LIBRARY = re.compile(
    r"cutlass|cublas|xmma|gemm|gemv|splitKreduce|nvjet|^sm\d\d_|^(?:ampere|turing|volta)_"
)

# By how the name begins once `k_` is off; the longest that fits counts.
_FAMILIES = {
    "mul_mat_vec_q": "mul_mat_vec_q",
    "mul_mat_vec_f": "mul_mat_vec_f",
    "mul_mat_q": "mul_mat_q",
    "mul_mat_f": "mul_mat_f",
    "mm_ids_helper": "mul_mat_q",
    "quantize_q8_1": "quantize_q8",
    "quantize_mmq": "quantize_q8",
    "flash_attn": "flash_attn",
    "bin_bcast": "bin_bcast",
    "repeat": "bin_bcast",
    "get_rows": "get_rows",
    "soft_max": "soft_max",
    "rms_norm": "rms_norm",
    "rope": "rope",
    "argsort": "argsort",
    "topk_moe": "topk_moe",
    "top_k": "top_k",
    "ssm_conv": "ssm_conv",
    "ssm_scan": "ssm_scan",
    "ssm_ssd": "ssm_scan",
    "concat": "concat",
    "dequantize": "dequantize",
    "unary_gated_op": "glu",
    "swiglu": "glu",
    "unary_op": "unary",
    "reduce_rows": "sum_rows",
    "upscale": "upscale",
    "compute_batched_ptrs": LIBRARY,
}
_COPIES = ("cpy_", "set_rows", "convert_unary")
# What says only how a kernel is written.
_ENDINGS = ("_kernel", "_cuda", "_cont", "_non", "_f32", "_f16")


class _Name(NamedTuple):
    """A function's name without namespaces, and the arguments of its template."""

    base: str
    arguments: tuple[str, ...]


def _split(text: str) -> list[str]:
    """The arguments of a template, at its own commas only."""
    parts, depth, begin = [], 0, 0
    for place, character in enumerate(text):
        if character in "<([{":
            depth += 1
        elif character in ">)]}":
            depth -= 1
        elif character == "," and depth == 0:
            parts.append(text[begin:place])
            begin = place + 1
    return [part.strip() for part in [*parts, text[begin:]] if part.strip()]


def _parse(full: str) -> _Name:
    text = full.replace("(anonymous namespace)::", "")
    text = _RETURN_TYPE.sub("", text.strip())
    depth, begin, template = 0, 0, ""
    base = ""
    for place, character in enumerate(text):
        if character == "<":
            if depth == 0:
                base, begin = text[:place], place + 1
            depth += 1
        elif character == ">":
            depth -= 1
            if depth == 0:
                template = text[begin:place]
                break
        elif character == "(" and depth == 0:
            base = text[:place]
            break
    else:
        base = base or text
    return _Name(base.strip().rpartition("::")[2], tuple(_split(template)))


def _shown(argument: str, type_names: Mapping[int, str]) -> str:
    tensor_type = _TENSOR_TYPE.fullmatch(argument)
    if tensor_type:
        number = int(tensor_type[1])
        return type_names[number].upper() if number in type_names else f"type {number}"
    if argument.startswith("&"):  # a function: &(op_add(float, float))
        function = argument[1:].strip()
        if function.startswith("(") and function.endswith(")"):
            function = function[1:-1]
        return short_name(function, type_names)
    for value in (_CAST.match(argument), _INTEGER.match(argument)):
        if value:
            return value[1]
    return _TYPES.get(argument, argument)


def short_name(full: str, type_names: Mapping[int, str] | None = None) -> str:
    """A kernel's name as people say it: `mul_mat_vec_q<Q4_K, 1>`.

    Without return type, namespaces and parameters; with the arguments of its template, but for
    those at the end that are false. Of a CUTLASS kernel, the name of what it instantiates.

    Args:
        full: the demangled name, as the profile has it.
        type_names: ggml's names of its tensor types by their numbers, which template arguments are.
    """
    name = _parse(full)
    if "cutlass" in full and name.arguments:
        return _parse(name.arguments[0]).base or name.arguments[0]
    arguments = [_shown(argument, type_names or {}) for argument in name.arguments]
    while arguments and arguments[-1] in ("false", "0"):
        arguments.pop()
    return f"{name.base}<{', '.join(arguments)}>" if arguments else name.base


def _element_types(texts: Iterable[str]) -> list[str]:
    """The types of elements that template arguments name, in their order."""
    found = []
    for text in texts:
        for word in re.findall(r"[A-Za-z_]\w*", text):
            quantized = _QUANTIZED.search(word.removeprefix("block_"))
            if word in _TYPES and word not in ("long", "int"):
                found.append(_TYPES[word])
            elif quantized:
                found.append(quantized[1].lower())
    return found


def _copy_family(name: _Name) -> str:
    """`cpy_f32_f16`: what is read and what is written, as far as the kernel's name tells."""
    if name.base == "cpy_f32_q":
        types = ["f32", *_element_types(name.arguments)[:1]]
    elif name.base == "cpy_q_f32":
        types = [*_element_types(name.arguments)[:1], "f32"]
    elif name.base.endswith("set_rows_quant"):
        types = ["f32", *_element_types(name.arguments)[:1]]
    else:
        types = _element_types(name.arguments)[:2]
        types += types[:1] * (len(types) == 1)  # a transposition keeps its type
    return "_".join(["cpy", *types])


def kernel_family(full: str) -> str:
    """The family of a CUDA kernel in the vocabulary of `kernel_names`; `cublas` for that library's.

    What is in no list is called after the kernel itself.
    """
    name = _parse(full)
    if _LIBRARY.search(full.split("(")[0]) and "implicit_gemm" not in name.base:
        return LIBRARY
    base = name.base.removeprefix("k_")
    if base.startswith(_COPIES):
        return _copy_family(name)
    fitting = [prefix for prefix in _FAMILIES if base.startswith(prefix)]
    if fitting:
        return _FAMILIES[max(fitting, key=len)]
    shortened = True
    while shortened:
        shortened = False
        for ending in _ENDINGS:
            if base.endswith(ending) and base != ending:
                base, shortened = base.removesuffix(ending), True
    return base or full
