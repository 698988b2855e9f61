"""Queries, keys and values as llama.cpp of 2024 took them out of a fused projection: by copying.

Today's graph reads them as views, so that the projection lives as long as the queries do. With
copies it goes as soon as all three are made, and each copy when its last reader is done.
"""

from __future__ import annotations

import numpy as np

from slmprof.analysis.memory.liveness import IN_PLACE_OPS, Lives
from slmprof.profiles.tables import TensorTable

_PARTS = ("Qcur-", "Kcur-", "Vcur-")
_VIEW_OPS = ("VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE")
_VALUE_BYTES = 4  # activations are float32


class FusedCopies:
    """The lives of a graph's storages, with copies in place of the views of fused projections."""

    def __init__(
        self, tensors: TensorTable, names: list[str], ops: list[str], lives: Lives
    ) -> None:
        self._tensors, self._names, self._ops, self._lives = tensors, names, ops, lives
        self._sources = tensors.sources()
        self._owner = {int(row): storage for storage, row in enumerate(lives.row)}

    def lives(self) -> Lives:
        lives = self._lives
        birth, death, place = lives.birth.copy(), lives.death.copy(), lives.place.tolist()
        added: list[tuple[int, int, int]] = []  # row of the view, last reader, bytes
        for root, views in self._projections().items():
            for view in views:
                last = self._last_reader(view)
                copied = self._owner.get(last, -1)
                if self._ops[last] == "CONT" and copied >= 0:
                    birth[copied] = view  # the copy that today's graph makes later
                    continue
                size = _VALUE_BYTES * int(
                    np.prod([int(getattr(self._tensors, f"ne{i}")[view]) for i in range(4)])
                )
                if self._in_place(view, last, size):
                    place[copied] = len(lives) + len(added)
                    last -= 1
                added.append((view, last, size))
            death[self._owner[root]] = max(views)
        rows, deaths, sizes = np.array(added, np.int64).reshape(-1, 3).T
        nowhere = np.full(len(rows), -1)
        death = np.concatenate([death, deaths]).astype(np.int32)
        return Lives(
            n_steps=lives.n_steps,
            row=np.concatenate([lives.row, rows]).astype(np.int32),
            buffer=np.concatenate([lives.buffer, nowhere]).astype(np.int32),
            offset_bytes=np.concatenate([lives.offset_bytes, nowhere]),
            size_bytes=np.concatenate([lives.size_bytes, sizes]),
            birth=np.concatenate([birth, rows]).astype(np.int32),
            death=death,
            last_use=death,
            place=np.concatenate([place, nowhere]).astype(np.int32),
        )

    def _projections(self) -> dict[int, list[int]]:
        """By the row of a fused projection its first views as queries, keys and values."""
        found: dict[int, dict[str, int]] = {}
        for row, name in enumerate(self._names):
            if self._ops[row] == "VIEW" and name.startswith(_PARTS) and "(" not in name:
                found.setdefault(int(self._tensors.view_src[row]), {}).setdefault(name, row)
        complete = {root: v for root, v in found.items() if len(v) == len(_PARTS)}
        return {root: list(v.values()) for root, v in complete.items() if root in self._owner}

    def _last_reader(self, view: int) -> int:
        shown, last = {view}, view
        for row in range(view + 1, self._lives.n_steps):
            if not shown.isdisjoint(self._sources[row].tolist()):
                if self._ops[row] in _VIEW_OPS:
                    shown.add(row)
                else:
                    last = row
        return last

    def _in_place(self, view: int, reader: int, size: int) -> bool:
        """Whether the reader would take over the copy's place."""
        storage = self._owner.get(reader, -1)
        return (
            storage >= 0
            and self._ops[reader] in IN_PLACE_OPS
            and view in self._sources[reader].tolist()
            and int(self._lives.place[storage]) < 0
            and int(self._lives.size_bytes[storage]) == size
        )
