"""How large a model is, from its list of tensors."""

from __future__ import annotations

from slmprof.models.architectures import Dimensions, list_tensors


def count_parameters(d: Dimensions) -> int:
    """Elements of all tensors, as llama.cpp counts them: tied matrices once."""
    return sum(tensor.n_elements for tensor in list_tensors(d))
