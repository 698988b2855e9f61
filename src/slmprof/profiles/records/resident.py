"""Memory that is expected to be resident while a model runs, line by line."""

from __future__ import annotations

from collections.abc import Iterable

from .decoding import Json, Record, Whole

# Lines that are no buffers of llama.cpp; the buffers' lines are called like their kinds.
ORIGINALS, HEAP, PROCESS, RECORDER = "originals", "heap", "process", "recorder"


class ResidentLine(Record, frozen=True):
    """What one kind of memory has resident.

    Attributes:
        kind: `weights`, `kv_cache`, … as those of buffers (`work` of the threads' work buffer);
            `originals` of weights that are used as repacked copies, `heap` of llama.cpp's own
            notes, `process` of the program and its libraries, `recorder` of a run with hooks on.
        is_evictable: the system can drop it, and read it again from the file.
        is_needed: the run touches it again once the model is loaded.
    """

    kind: str
    size_bytes: Whole
    is_evictable: bool = False
    is_needed: bool = True

    @property
    def is_profiling(self) -> bool:
        """Whether it is there only while slmprof records: `profiled_bytes` has it, no other sum."""
        return self.kind == RECORDER

    def to_json(self) -> Json:
        """The fields, with `is_profiling`."""
        return {**super().to_json(), "is_profiling": self.is_profiling}


class Resident(Record, frozen=True):
    """What a process would have resident that runs a prompt and then generates.

    Attributes:
        n_prompt: tokens of the prompt, of which the last one gives logits.
    """

    n_prompt: Whole
    lines: tuple[ResidentLine, ...]

    @property
    def expected_bytes(self) -> int:
        """All of it, as the process's resident size shows it, but for slmprof's recorder."""
        return _sum(line for line in self.lines if not line.is_profiling)

    @property
    def profiled_bytes(self) -> int:
        """All of it, with slmprof's recorder."""
        return _sum(self.lines)

    @property
    def needed_bytes(self) -> int:
        """What must fit into memory: all but what is never touched again and can be dropped."""
        return _sum(line for line in self.lines if line.is_needed and not line.is_profiling)

    @property
    def evictable_bytes(self) -> int:
        """The part that the system can drop when memory runs short."""
        return _sum(line for line in self.lines if line.is_evictable)

    @property
    def unplanned_bytes(self) -> int:
        """The part that lies in no buffer of llama.cpp: its heap, and the process itself."""
        return self.of_kind(HEAP) + self.of_kind(PROCESS)

    def to_json(self) -> Json:
        """The fields, each line with `is_profiling`."""
        return {**super().to_json(), "lines": [line.to_json() for line in self.lines]}

    def with_line(self, kind: str, size_bytes: int) -> Resident:
        """The same with one more line."""
        return self.replace(lines=(*self.lines, ResidentLine(kind, size_bytes)))

    def of_kind(self, kind: str) -> int:
        """Bytes of one kind."""
        return _sum(line for line in self.lines if line.kind == kind)


def _sum(lines: Iterable[ResidentLine]) -> int:
    return sum(line.size_bytes for line in lines)
