"""Kernels that stand as native functions in a Python class: of numba's `@cfunc`, or of ctypes."""

from __future__ import annotations

import _ctypes
import ctypes
from typing import TYPE_CHECKING, Any

from ...errors import SchemeError
from ..records import SchemeInfo

if TYPE_CHECKING:
    from ... import _core

_NAMES = ("dot", "gemv", "gemm", "arrange", "pack", "unpack")
_FEWEST = "dot"


def kernels_of(info: SchemeInfo, implementation: type) -> _core.KernelScheme | None:
    """The functions of slmprof_scheme.h that a class has as attributes; None without a `dot`.

    Raises:
        SchemeError: one of them is no native function, or they do not go together.
    """
    given = {
        name: getattr(implementation, name) for name in _NAMES if hasattr(implementation, name)
    }
    if _FEWEST not in given:
        return None
    from ... import _core

    assert info.block_size and info.type_size
    try:
        return _core.KernelScheme(
            info.name,
            info.digest,
            block_size=info.block_size,
            type_size=info.type_size,
            activations=str(getattr(implementation, "activations", "")),
            group_rows=int(getattr(implementation, "group_rows", 0)),
            addresses={name: _address(info.name, name, given[name]) for name in given},
        )
    except _core.NativeSchemeError as error:
        raise SchemeError(f"{info.name}: {error}") from None


def _address(scheme: str, name: str, function: Any) -> int:
    address = getattr(function, "address", None)  # numba's
    if isinstance(address, int):
        return address
    if isinstance(function, _ctypes.CFuncPtr):
        return ctypes.cast(function, ctypes.c_void_p).value or 0
    raise SchemeError(
        f"{scheme}: {name} is no native function: give one of numba's @cfunc or of ctypes"
    )
