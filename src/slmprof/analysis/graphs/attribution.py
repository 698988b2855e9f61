"""Which layer, block and part every executed op of a graph belongs to.

The ops that read a weight are known first, by the weight; everything else follows from who feeds
it and who reads it. docs/attribution.md has the rules and their reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .anchors import recurrent_mixers, repeated_layers, weights_by_name, weights_by_use
from .edges import GraphEdges
from .inner_ops import place_inner_ops, place_lone_ops
from .norms import place_norms
from .parts import assign_parts
from .placing import OTHER, Placing

if TYPE_CHECKING:
    import numpy.typing as npt

RULES: tuple[Callable[[Placing], None], ...] = (
    weights_by_name,
    weights_by_use,
    recurrent_mixers,
    repeated_layers,
    place_norms,
    place_inner_ops,
    place_lone_ops,
)
"""From the surest to the least sure: each places rows, and sees what those before it placed."""


@dataclass(frozen=True, eq=False)
class Attribution:
    """Where each row of a graph belongs; arrays are aligned with the graph's tensor rows.

    Attributes:
        layer: int32, -1 outside the layers and for rows that are not executed.
        block: text, "" for rows that are not executed.
        part: text, "" for rows that are not executed.
    """

    layer: npt.NDArray[np.int32]
    block: npt.NDArray[np.str_]
    part: npt.NDArray[np.str_]


def attribute(edges: GraphEdges) -> Attribution:
    """Attributes every executed op of one graph to a layer, a block and a part."""
    placing = Placing(edges)
    for rule in RULES:
        placing.look_around()
        rule(placing)
    parts = assign_parts(edges, placing.region, placing.roles)
    layer = np.full(edges.n_rows, -1, np.int32)
    block = [""] * edges.n_rows
    part = [""] * edges.n_rows
    for row in placing.executed():
        layer[row], block[row] = placing.region.get(row, OTHER)
        part[row] = parts[row]
    width = "U16"
    return Attribution(layer, np.array(block, width), np.array(part, width))
