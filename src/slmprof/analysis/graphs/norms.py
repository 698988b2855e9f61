"""Norms belong to the block that they feed, or to the one that they end: the rules, in order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .edges import NORM_OPS
from .placing import Placing, Region
from .weight_roles import OUTER_BLOCKS, WeightRole


@dataclass(frozen=True)
class Norm:
    """A norm with the multiplication by its weight and the addition of its bias.

    Attributes:
        chain: its rows.
        role: what its weight's name says.
        producer: where what it norms comes from.
        fed: where the first op that reads it is, residual additions aside.
        carried: whether a residual addition reads it too: it is the stream from there on.
        only_added: whether additions alone read it.
    """

    chain: tuple[int, ...]
    role: WeightRole | None
    producer: Region | None
    fed: Region | None
    carried: bool
    only_added: bool

    @property
    def named(self) -> Region | None:
        """Where its name places it."""
        return (self.role.layer, self.role.block) if self.role and self.role.block else None


NormRule = Callable[[Norm], Region | None]


def place_norms(placing: Placing) -> None:
    """Each norm goes where the first of `NORM_RULES` that has an answer says."""
    edges = placing.edges
    chains = [
        _chain(placing, row)
        for row in placing.executed()
        if edges.op[row] in NORM_OPS and row not in placing.region
    ]
    taken = {row for chain in chains for row in chain}
    readers = [row for row, role in placing.roles.items() if role.kind == "norm"]
    chains += [(row,) for row in readers if row not in taken]
    placed: dict[int, Region] = {}
    for norm in (_norm(placing, chain) for chain in sorted(chains)):
        region = next((r for rule in NORM_RULES if (r := rule(norm))), None)
        if region is not None:
            placed.update(dict.fromkeys(norm.chain, region))
    placing.region.update(placed)


def named_and_read_by_no_block(norm: Norm) -> Region | None:
    """A norm that feeds nothing stands where its name says, unless the stream goes on from it."""
    named = norm.named
    if norm.fed is None and named and (named[1] in OUTER_BLOCKS or not norm.carried):
        return named
    return None


def read_by_no_block(norm: Norm) -> Region | None:
    """Else a norm that feeds nothing ends the block that it comes from."""
    return norm.producer or norm.named if norm.fed is None else None


def read_by_additions_alone(norm: Norm) -> Region | None:
    """A norm whose output goes into additions alone ends the block that it comes from."""
    return norm.producer if norm.only_added else None


def carried_but_named_for_what_it_feeds(norm: Norm) -> Region | None:
    """A norm of the stream itself begins a block if its name is that of the block it feeds."""
    role, fed = norm.role, norm.fed
    if not norm.carried or fed is None or role is None or role.layer != fed[0]:
        return None
    # A recurrent mixer bears attention's names in some models.
    alike = role.block == fed[1] or {role.block, fed[1]} == {"attention", "recurrent"}
    return fed if alike else None


def carried_on(norm: Norm) -> Region | None:
    """Else a norm of the stream itself, as in BERT, ends the block that it comes from."""
    return norm.producer if norm.carried else None


def before_its_block(norm: Norm) -> Region | None:
    """A norm belongs to the block that it feeds, whatever it is called."""
    return norm.fed


NORM_RULES: tuple[NormRule, ...] = (
    named_and_read_by_no_block,
    read_by_no_block,
    read_by_additions_alone,
    carried_but_named_for_what_it_feeds,
    carried_on,
    before_its_block,
)


def _chain(placing: Placing, norm: int) -> tuple[int, ...]:
    edges = placing.edges
    chain = [norm]
    while True:
        readers = edges.readers(chain[-1])
        if len(readers) != 1 or edges.op[readers[0]] not in ("MUL", "ADD"):
            return tuple(chain)
        row = readers[0]
        role = placing.roles.get(row)
        if row in placing.region or role is None or role.kind != "norm":
            return tuple(chain)
        chain.append(row)


def _norm(placing: Placing, chain: tuple[int, ...]) -> Norm:
    role = next((placing.roles[row] for row in chain if row in placing.roles), None)
    fed, carried = _fed_by(placing, chain[-1])
    edges, ends = placing.edges, placing.edges.ends(chain[-1])
    only_added = bool(ends) and all(
        edges.op[row] == "ADD" and all(edges.weight[s] < 0 for s in edges.sources[row])
        for row in ends
    )
    return Norm(chain, role, placing.before(chain[0]), fed, carried, only_added)


def _fed_by(placing: Placing, end: int) -> tuple[Region | None, bool]:
    """Where the first placed row that reads a norm is, not through a residual addition, and
    whether a residual addition reads the norm too."""
    edges = placing.edges
    first = edges.n_rows
    joined: list[int] = []
    # With each row: whether it is still the norm's output, only scaled or with rows chosen.
    queue = [(end, True)]
    seen = {end}
    while queue:
        row, straight = queue.pop()
        for reader in edges.consumers[row]:
            if reader in seen:
                continue
            seen.add(reader)
            if reader in edges.residuals:
                if straight:
                    joined.append(reader)
            elif reader in placing.region:
                first = min(first, reader)
            else:
                queue.append((reader, straight and edges.carries(reader)))
    fed = placing.region.get(first)
    return fed, any(placing.after(row) != fed or fed is None for row in joined)
