"""Kernel families: the field's names for what ggml's operators run (docs/measurement.md)."""

from __future__ import annotations

from .edges import PRODUCT_OPS

# A product with so few columns is bound by reading the matrix, and engines have own kernels for it.
MAX_VEC_COLUMNS = 8

COPIES = frozenset({"SET_ROWS", "CPY", "DUP", "CONT"})

UNRECORDED = "unrecorded"
# What it costs that a device runs its ops one by one.
SERIALIZATION = "serialization"
# What a device takes beside its ops: to be told, and to begin.
SPLIT_OVERHEAD = "split_overhead"
STRAY_KERNELS = "stray_kernels"
# Of time that no op has.
OF_NO_OP = frozenset({UNRECORDED, SERIALIZATION, SPLIT_OVERHEAD, STRAY_KERNELS})

_FAMILIES: dict[str, str] = {
    "FLASH_ATTN_EXT": "flash_attn",
    **dict.fromkeys(("ADD", "ADD1", "SUB", "MUL", "DIV", "REPEAT"), "bin_bcast"),
}


def kernel_name(
    op: str, source_type: str, type_name: str, n_columns: int, is_quantized: bool = False
) -> str:
    """The kernel family of an op; ggml's own name in lower case where the field has no other.

    Args:
        op: ggml's operator name.
        source_type: type of the first source (of the matrix, for a product); may be empty.
        type_name: type of the result.
        n_columns: for a product, the columns that one matrix is multiplied with.
        is_quantized: for a product, whether the matrix is.
    """
    if op in PRODUCT_OPS:
        size = "mul_mat_vec" if n_columns <= MAX_VEC_COLUMNS else "mul_mat"
        return f"{size}_q" if is_quantized else f"{size}_f"
    if op in COPIES:
        return f"cpy_{source_type.lower() or type_name.lower()}_{type_name.lower()}"
    return _FAMILIES.get(op, op.lower() or UNRECORDED)


def converted_type(code: str) -> str:
    """The type that a conversion of activations makes, by the name of the code that does it."""
    for prefix, ends in (("quantize_row_", ""), ("quantize_mat_", "_4x")):
        if code.startswith(prefix):
            name = code.removeprefix(prefix)
            return name.rpartition(ends)[0] if ends in name and ends else name
    return {"fp32_to_fp16": "f16", "fp32_to_bf16": "bf16", "to_fp32": "f32"}.get(code, code)


def conversion_kernel(source_type: str, type_name: str) -> str:
    """The kernel family of a conversion of activations: `quantize_q8`, or that of a copy."""
    if type_name.startswith("q8_"):
        return "quantize_q8"
    return kernel_name("CPY", source_type, type_name, 0)
