"""Tokens as a caller gives them: ids, or how many random ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..settings.arguments import check_value
from ..settings.kinds import Whole, shown

Tokens = NDArray[np.int32]


def token_ids(
    tokens: int | Sequence[int] | Tokens, n_ctx: int, random_tokens: Callable[[int], Tokens]
) -> Tokens:
    """int32 [n_tokens].

    Args:
        tokens: token ids, or how many random ones.
        n_ctx: no more of those than the context has room for.
        random_tokens: makes so many.

    Raises:
        UsageError: neither a number of tokens nor a sequence of ids.
    """
    if isinstance(tokens, (int, np.integer)) and not isinstance(tokens, bool):
        # Before they are made: a number may mean gigabytes of them.
        known = Whole(1, n_ctx, "the size of the context")
        return random_tokens(check_value("tokens", known, tokens))
    try:
        ids = np.asarray(tokens)
    except (ValueError, TypeError, OverflowError):
        ids = np.empty(0, object)
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(
            f"tokens: {shown(tokens)} is no number of tokens and no sequence of token ids"
        )
    if ids.size and not (ids.min() >= 0 and ids.max() < 2**31):
        raise UsageError("tokens: token ids must be between 0 and the size of the vocabulary")
    return ids.astype(np.int32)
