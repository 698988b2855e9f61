"""Scripts that `cuda-tests join` plays: captures, updates, replays, and what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from slmprof.profiles.vocabulary import NODE_KINDS

KERNEL, COPY, CHILD = (NODE_KINDS.index(kind) for kind in ("kernel", "copy", "child"))
GRAPH, OTHER, EXEC, OTHER_EXEC = 4, 6, 5, 8
# A node of ggml and the names of its kernels.
Groups = list[tuple[int, list[int]]]
GROUPS: Groups = [(0, [10]), (1, [20, 21]), (3, [30])]
MOVED: Groups = [(5, [10]), (6, [20, 21]), (8, [30])]


@dataclass
class Script:
    """The lines of a script, and the nodes of its captures."""

    lines: list[str] = field(default_factory=list)
    captured: dict[int, list[int]] = field(default_factory=dict)

    def add(self, word: str, *numbers: int) -> Script:
        self.lines.append(" ".join([word, *(str(int(number)) for number in numbers)]))
        return self

    def run(self, device: int = 0, *, abandoned: bool = False) -> Script:
        return self.add("run", 9, device, abandoned)

    def direct(self, node: int, names: list[int], n_fused: int = 0) -> Script:
        self.add("direct", node, n_fused)
        for name in names:
            self.add("kernel", name, 0, 0, 0, 0, 0)
        return self

    def capture(
        self, graph: int, groups: Groups, *, names: bool = True, n_fused: int = 0
    ) -> Script:
        self.captured[graph] = []
        for node, kernels in groups:
            self.add("issue", node)
            for name in kernels:
                if names:
                    self.add("named", name)
                self.add("node", graph, len(self.captured[graph]), KERNEL)
                self.captured[graph].append(name)
            self.add("end", n_fused)
        return self

    def clones(self, exec_: int, graph: int) -> Script:
        for local in range(len(self.captured[graph])):
            self.add("clone", exec_, local, graph, local, KERNEL)
        return self

    def instantiate(self, exec_: int, graph: int, *, seen: bool = True) -> Script:
        if seen:
            self.clones(exec_, graph)
        return self.add("exec", exec_, graph)

    def replay(
        self, exec_: int, graph: int, *, sources: bool = False, halves: bool = False,
        beyond: int = 0, without: int = -1,
    ) -> Script:  # fmt: skip
        self.add("replay", exec_, graph)
        for local, name in enumerate(self.captured[graph]):
            if local != without:
                source = (graph, local) if sources else (0, 0)
                self.add("kernel", name, exec_, 0 if halves else exec_, local + beyond, *source)
        return self

    def __str__(self) -> str:
        return "\n".join([*self.lines, "collect", ""])


def captured(**how: Any) -> Script:
    """A run that captures a graph and makes an executable one of it."""
    return Script().run().capture(GRAPH, GROUPS).instantiate(EXEC, GRAPH, **how)


def child() -> Script:
    """A graph that a library puts into the captured one, whose nodes are copied for that."""
    script = Script().run().capture(GRAPH, [(0, [10])])
    script.add("issue", 1).add("node", 90, 0, KERNEL).add("node", 90, 1, COPY)
    script.add("node", GRAPH, 1, CHILD)
    script.add("clone", 91, 0, 90, 0, KERNEL).add("clone", 91, 1, 90, 1, COPY).add("end", 2)
    script.add("clone", 92, 0, 91, 0, KERNEL).clones(EXEC, GRAPH).add("exec", EXEC, GRAPH)
    script.add("replay", EXEC, GRAPH).add("kernel", 10, EXEC, EXEC, 0, 0, 0)
    script.add("kernel", 50, EXEC, 92, 0, 0, 0)
    # By the id of what the library had made, too.
    script.run().add("replay", EXEC, 0).add("kernel", 10, EXEC, EXEC, 0, 0, 0)
    return script.add("kernel", 50, EXEC, 90, 0, 90, 0)


def other_shape() -> Script:
    """An update whose capture has a copy in a kernel's place."""
    script = captured().replay(EXEC, GRAPH).run().add("issue", 7)
    for local, kind in enumerate((KERNEL, COPY, KERNEL, KERNEL)):
        script.add("node", OTHER, local, kind)
    script.add("end", 0).captured[OTHER] = [10, 20, 21, 30]
    return script.replay(EXEC, OTHER)


def again_used() -> Script:
    """Ids that a later capture has, too, in a collection of its own."""
    script = captured().replay(EXEC, GRAPH).add("remove_graph", GRAPH).add("remove_exec", EXEC)
    script.add("collect").run().capture(GRAPH, MOVED).instantiate(EXEC, GRAPH)
    return script.replay(EXEC, GRAPH).add("collect").run().replay(EXEC, GRAPH)


def failed_update() -> Script:
    script = captured().replay(EXEC, GRAPH).run().capture(OTHER, [(0, [40]), (2, [41])])
    script.add("remove_exec", EXEC).instantiate(OTHER_EXEC, OTHER)
    return script.replay(OTHER_EXEC, OTHER)


def updated() -> Script:
    script = captured().replay(EXEC, GRAPH).run().capture(OTHER, MOVED, n_fused=1)
    script.add("remove_graph", GRAPH).replay(EXEC, OTHER).add("collect").run()
    return script.replay(EXEC, OTHER)


def swapped() -> Script:
    """Two kernels whose times are in another order than their ids."""
    script = captured().replay(EXEC, GRAPH, without=3).add("kernel", 30, EXEC, EXEC, 3, 0, 0)
    return script.add("at", 1, 2)


def two_devices() -> Script:
    script = captured().replay(EXEC, GRAPH).run(1).capture(OTHER, [(2, [40]), (4, [41])])
    script.instantiate(OTHER_EXEC, OTHER).replay(OTHER_EXEC, OTHER).run(0).replay(EXEC, GRAPH)
    return script.run(1).replay(OTHER_EXEC, OTHER)


def abandoned() -> Script:
    script = captured().run(abandoned=True).direct(2, [10]).replay(EXEC, GRAPH).run()
    return script.direct(4, [10, 11], 2).replay(EXEC, GRAPH)


def two_streams() -> Script:
    script = captured(seen=False).replay(EXEC, GRAPH, beyond=50, without=3)
    return script.add("stream", 8).add("kernel", 30, EXEC, EXEC, 53, 0, 0)


def strays() -> Script:
    script = Script().run().direct(0, [10, 10]).add("unknown_call")
    for name in (77, 78, 77):
        script.add("kernel", name, 0, 0, 0, 0, 0)
    return script.add("at", 100, 103)


def lost_call() -> Script:
    script = captured().replay(EXEC, GRAPH).add("unknown_call")
    return script.add("kernel", 10, EXEC, EXEC, 0, 0, 0).direct(1, [4])


def misnamed() -> Script:
    """One that ids join, and one that then keeps the order from being believed."""
    script = captured().replay(EXEC, GRAPH, without=3).add("kernel", 99, EXEC, EXEC, 3, 0, 0)
    script.run().replay(EXEC, GRAPH, beyond=50, without=3)
    return script.add("kernel", 99, EXEC, EXEC, 3, 0, 0)


SCRIPTS = {
    "direct": Script().run().direct(0, [10]).direct(1, [20, 21]).direct(3, [30], 2),
    "replays": captured().replay(EXEC, GRAPH).run().replay(EXEC, GRAPH),
    "replayed later": captured().add("collect").run().replay(EXEC, GRAPH),
    "sources": captured().replay(EXEC, GRAPH, sources=True, beyond=100),
    "own ids": captured().add("replay", EXEC, GRAPH).add("kernel", 21, EXEC, GRAPH, 2, 0, 0),
    "unseen clones": captured(seen=False).replay(EXEC, GRAPH),
    "halves of ids": captured().replay(EXEC, GRAPH, halves=True),
    "order": captured(seen=False).replay(EXEC, GRAPH, beyond=50),
    "order on two streams": two_streams(),
    "order without a record": captured(seen=False).replay(EXEC, GRAPH, beyond=50, without=1),
    "dropped records": captured().replay(EXEC, GRAPH, without=1),
    "untimed": captured(seen=False).replay(EXEC, GRAPH, beyond=50).add("at", 0, 0),
    "no names": Script().run().capture(GRAPH, GROUPS, names=False).instantiate(EXEC, GRAPH)
    .replay(EXEC, GRAPH),
    "swapped": swapped(),
    "misnamed": misnamed(),
    "updated": updated(),
    "updated from something unseen": captured().add("replay", EXEC, 77)
    .add("kernel", 10, EXEC, EXEC, 0, 0, 0),
    "updated to another shape": other_shape(),
    "never captured": Script().run().direct(0, [1]).add("replay", 70, 71)
    .add("kernel", 10, 70, 70, 0, 0, 0),
    "failed update": failed_update(),
    "child graph": child(),
    "ids that are used again": again_used(),
    "several devices": two_devices(),
    "abandoned": abandoned(),
    "strays": strays(),
    "lost call": lost_call(),
}  # fmt: skip


def random_script(seed: int) -> Script:
    """Few ids, so that they meet: captures, updates, clones and records in any order."""
    rng = random.Random(seed)
    script = Script()
    script.run().direct(1, [3])
    graphs, execs = (2, 3, 4), (6, 7)
    for _ in range(rng.randint(5, 60)):
        word = rng.choice(
            ("run", "capture", "capture", "exec", "exec", "clones", "clone", "replay", "replay",
             "replay", "whole", "kernels", "direct", "collect", "remove", "cloned_graph")
        )  # fmt: skip
        graph, exec_ = rng.choice(graphs), rng.choice(execs)
        if word == "run":
            script.run(rng.randint(0, 1), abandoned=rng.random() < 0.1)
        elif word == "capture":
            script.run()
            _capture(rng, script, graph)
        elif word == "exec":
            script.add(rng.choice(("exec", "update")), exec_, graph)
        elif word == "clones":
            for local in range(rng.randint(1, 4)):
                script.add("clone", exec_, local, graph, local + rng.choice((0, 0, 0, 1)), KERNEL)
        elif word == "clone":
            script.add("clone", *_node(rng, graphs, execs), *_node(rng, graphs, execs), KERNEL)
        elif word == "replay":
            script.run().add("replay", exec_, rng.choice((0, graph)))
            _kernels(rng, script, exec_, rng.choice((exec_, exec_, 0, 9)))
        elif word == "whole":
            groups = [(node, [rng.randint(0, 3)]) for node in range(rng.randint(1, 3))]
            script.run().capture(graph, groups, names=rng.random() < 0.7)
            script.instantiate(exec_, graph, seen=rng.random() < 0.3)
            without = rng.choice((-1, -1, -1, 0))
            script.replay(exec_, graph, beyond=rng.choice((0, 50)), without=without)
        elif word == "kernels":
            script.add("unknown_call")
            _kernels(rng, script, rng.choice((0, exec_)), exec_)
        elif word == "direct":
            script.run().direct(rng.randint(0, 5), [rng.randint(0, 3)], rng.randint(0, 2))
        elif word == "collect":
            script.add("collect").run()
        elif word == "remove":
            script.add(*rng.choice((("remove_graph", graph), ("remove_exec", exec_))))
        else:
            script.add("cloned_graph", rng.choice((90, exec_)), graph)
    return script.run().direct(2, [3])


def _node(rng: random.Random, graphs: tuple[int, ...], execs: tuple[int, ...]) -> tuple[int, int]:
    return rng.choice((*graphs, *execs, 90)), rng.randint(0, 3)


def _capture(rng: random.Random, script: Script, graph: int) -> None:
    local = 0
    for _ in range(rng.randint(1, 3)):
        script.add("issue", rng.randint(0, 5))
        for _ in range(rng.randint(0, 2)):
            if rng.random() < 0.7:
                script.add("named", rng.randint(0, 3))
            kind = rng.choice((KERNEL, KERNEL, KERNEL, COPY, CHILD))
            script.add("node", graph, local, kind)
            if kind == CHILD and rng.random() < 0.5:
                script.add("node", 90, local, KERNEL).add("clone", 91, local, 90, local, KERNEL)
            local += 1
        script.add("end", rng.randint(0, 2))


def _kernels(rng: random.Random, script: Script, exec_: int, graph: int) -> None:
    for local in range(rng.randint(1, 4)):
        source = rng.choice(((0, 0), (0, 0), (0, 0), (2, local), (3, local)))
        node = rng.choice(((graph, local), (graph, local), (graph, local), (90, 0), (91, local)))
        if rng.random() < 0.05:
            script.add("stream", rng.randint(7, 8))
        script.add("kernel", rng.randint(0, 3), exec_, *node, *source)
        if rng.random() < 0.05:
            script.add("at", *rng.choice(((0, 0), (5, 9))))
