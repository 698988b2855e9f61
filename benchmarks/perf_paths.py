"""From a call stack to the path that slmprof would name, by the functions' names alone."""

from __future__ import annotations

import re

WAIT = "(waiting)"
"""Spinning at a barrier, or for work."""

SHARED = "(shared)"
"""Code that several paths run: the loop over the graph, the body of a product around its kernel."""

GENERIC = "generic"

_BARRIERS = frozenset({"ggml_barrier", "ggml_graph_compute_secondary_thread"})
_FORWARD = re.compile(r"ggml_compute_forward_\w+")
# Some kernels fill the part of the stack that perf copies: nothing is seen of their callers.
_PRODUCT = re.compile(
    r"ggml_compute_forward_mul_mat|tensor_traits<|llamafile_sgemm|tinyBLAS|tiled_|ggml_gem[mv]_"
    r"|ggml_quantize_mat_"
)
_NOT_A_PATH = r"(?:_generic|_ref)?$"
_VEC_DOT = re.compile(rf"ggml_vec_dot_(\w+?){_NOT_A_PATH}")
_REPACK = re.compile(rf"ggml_(gem[mv]_\w+?_\d+x\d+_\w+?){_NOT_A_PATH}")
_QUANTIZE_ROW = re.compile(rf"quantize_row_(\w+?){_NOT_A_PATH}")
_QUANTIZE_MAT = re.compile(rf"ggml_quantize_mat_(\w+?)_(\d)x(\d){_NOT_A_PATH}")
_QUANTIZE_MAT_T = re.compile(r"ggml_quantize_mat_t<(\d)l?, \(ggml_type\)(\d+)>")
_TO_FLOAT = re.compile(r"ggml_cpu_(fp32_to_\w+)$")
_TYPES = {"8": "q8_0", "15": "q8_K"}  # of ggml_type, those that activations are converted to


def path_of_stack(stack: tuple[str, ...]) -> str:
    """The path that the innermost telling function belongs to.

    Args:
        stack: function names as perf prints them, innermost first.
    """
    names = [plain_name(name) for name in stack]
    if any(name in _BARRIERS for name in names):
        return WAIT
    if any("flash_attn_ext" in name for name in names):
        return _attention(names)
    if any(_PRODUCT.search(name) for name in names):
        return _product(names)
    forward = [name for name in names if _FORWARD.match(name)]
    if not forward:
        return SHARED
    return "fwht" if forward[-1] == "ggml_compute_forward_fwht" else GENERIC


def path_of_impl(impl: str) -> str:
    """slmprof's `impl`, with what no function's name tells apart made one."""
    # Both run the same function, on other pieces of the work.
    return "flash_attn_vec" if impl == "flash_attn_split_kv" else impl


def plain_name(name: str) -> str:
    """A function's name without its return type, arguments and what the compiler added."""
    name = re.sub(r" \[clone .*|\.(?:constprop|isra|part|cold)\b.*", "", name)
    return re.sub(r"^void |\((?!ggml_type|anonymous).*", "", name)


def _attention(names: list[str]) -> str:
    if any("flash_attn_ext_tiled" in name for name in names):
        return "flash_attn_tiled"
    if any("flash_attn_ext_f16_one_chunk" in name for name in names):
        return "flash_attn_vec"
    return SHARED


def _product(names: list[str]) -> str:
    for name in names:
        if found := _QUANTIZE_ROW.match(name):
            return f"quantize_row_{found[1]}"
        if found := _QUANTIZE_MAT.match(name):
            return f"quantize_mat_{found[1]}_{found[2]}x{found[3]}"
        if found := _QUANTIZE_MAT_T.match(name):
            return f"quantize_mat_{_TYPES.get(found[2], found[2])}_4x{found[1]}"
        if found := _TO_FLOAT.match(name):
            return found[1]
        if found := _VEC_DOT.match(name):
            kind = found[1]
            return f"vec_dot_{kind}_{kind}" if kind in ("f32", "f16", "bf16") else f"vec_dot_{kind}"
        if found := _REPACK.match(name):
            return f"repack {found[1]}"
        if "tinyBLAS" in name or name.startswith("llamafile_sgemm"):
            return "llamafile_sgemm"
        # The driver converts the activations too: which of the two it is at, only time tells.
        if "tiled" in name and "tiled_driver" not in name:
            return "tiled"
    return SHARED
