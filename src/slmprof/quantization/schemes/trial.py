"""What every scheme must stand before it is let near a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import SchemeError
from .loaded import LoadedScheme, PackingScheme

if TYPE_CHECKING:
    import numpy as np

    from .loaded import Values

_N_ROWS = 5
# Of noise: what is as far from the weights as zeros are is no quantization of them.
_MOST_ERROR = 1.0


def try_scheme(scheme: LoadedScheme, n_per_row: int) -> None:
    """Quantizes rows of noise, of zeros, of one value and of extremes.

    Raises:
        SchemeError: what comes back has another shape or dtype, is not finite, is not the same a
            second time, depends on the blocks beside (or the rows, of a function), or has nothing
            to do with what went in.
    """
    import numpy as np

    noise = np.random.default_rng(1).standard_normal((_N_ROWS, n_per_row)).astype(np.float32)
    found = _finite(scheme, noise, "of noise").copy()
    if not np.array_equal(found, _finite(scheme, noise, "of noise")):
        raise SchemeError(
            f"{scheme.info.name} is not deterministic: the same values, twice, differ"
        )
    _try_alone(scheme, noise, found)
    error = float(np.sqrt(np.mean((found - noise) ** 2)))
    if error > _MOST_ERROR:
        raise SchemeError(
            f"{scheme.info.name} does not give back what it was given: of noise whose deviation is "
            f"1, it is {error:.3g} off"
        )
    outlier = noise * np.float32(1e-3)
    outlier[:, 0] = 30.0
    for what, values in (
        ("of zeros", np.zeros_like(noise)),
        ("where all are 1", np.ones_like(noise)),
        ("of large values", noise * np.float32(1e4)),
        ("of tiny values", noise * np.float32(1e-12)),
        ("with an outlier", outlier),
        ("of negative values", -np.abs(noise)),
    ):
        _finite(scheme, values, what)


def _finite(scheme: LoadedScheme, values: Values, what: str) -> Values:
    import numpy as np

    found = scheme.give_back(values.copy())
    if not np.isfinite(found).all():
        bad = int(np.argmin(np.isfinite(found).all(axis=1)))
        raise SchemeError(f"{scheme.info.name} gives back what is not finite {what} (row {bad})")
    return found


def _try_alone(scheme: LoadedScheme, noise: Values, found: np.ndarray) -> None:
    """Blocks go to the scheme in slabs, cut anywhere: each must count for itself."""
    import numpy as np

    if scheme.whole_tensors:
        return
    parts = noise.reshape(-1, scheme.info.block_size or noise.shape[1])
    alone = np.concatenate(
        [scheme.give_back(part[None, :].copy()) for part in parts[:: len(parts) - 1]]
    )
    first_and_last = found.reshape(parts.shape)[:: len(parts) - 1]
    if not np.array_equal(alone, first_and_last):
        what = "block" if isinstance(scheme, PackingScheme) else "row"
        hint = "" if what == "block" else "; declare it with @Scheme(whole_tensors=True)"
        raise SchemeError(
            f"{scheme.info.name} gives back other values of a {what} alone than of the same one "
            f"among others{hint}"
        )
