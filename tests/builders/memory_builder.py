"""The example profile with places of its tensors and observations of its memory, in round numbers.

The mapped file of 3 MiB holds 1 MiB that is used there and 2 MiB that are repacked. At its peak the
process has 15 MiB resident: 8 before loading, 5.75 of buffers (of compute half), and 1.25 beside.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from builders import Builder, example_profile
from meta_builder import example_meta

from slmprof.profiles.records.meta import Meta
from slmprof.profiles.tables import PlaceTable
from slmprof.views import Profile

KIB, MIB = 2**10, 2**20
N_CTX, N_PAST = 64, 18

# kind, buffer type, bytes allocated, bytes resident, bytes of originals.
BUFFERS: list[tuple[str, str, int, int, int]] = [
    ("weights", "CPU_Mapped", 3 * MIB, 3 * MIB, 2 * MIB),
    ("weights", "CPU_REPACK", 2 * MIB, 2 * MIB, 0),
    ("kv_cache", "CPU", MIB // 2, MIB // 2, 0),
    ("compute", "CPU", MIB // 2, MIB // 4, 0),
]
# name, type, kind, buffer number, shape, bytes, offset, place in the file, cells, window, cache.
PLACES: list[tuple[str, str, str, int, list[int], int, int, int, int, int, int]] = [
    ("token_embd.weight", "q4_K", "weights", 0, [1024, 2048], MIB, 0, 4096, 0, 0, -1),
    ("blk.0.attn_q.weight", "q4_K", "weights", 1, [2048, 2048], 2 * MIB, 0, 4096 + MIB, 0, 0, -1),
    ("cache_k_l0", "f16", "kv_cache", 2, [2048, 64], MIB // 4, 0, -1, N_CTX, 0, 0),
    ("cache_v_l0", "f16", "kv_cache", 2, [2048, 64], MIB // 4, MIB // 4, -1, N_CTX, 0, 0),
]


def observation(point: str, rss_mib: float, **changes: Any) -> dict[str, Any]:
    """The process at one point, with 256 KiB of heap since the start."""
    is_start = point == "start"
    values = {
        "point": point,
        "n_past": 0 if is_start else N_PAST,
        "rss_bytes": int(rss_mib * MIB),
        "pss_bytes": int(rss_mib * MIB) - 1024,
        "anonymous_bytes": 4 * MIB,
        "file_bytes": int(rss_mib * MIB) - 4 * MIB,
        "rss_peak_bytes": int(rss_mib * MIB),
        "library_bytes": 3 * MIB if is_start else 3 * MIB + 128 * KIB,
        "heap_bytes": 2 * MIB if is_start else 2 * MIB + 256 * KIB,
        "minor_faults": 100 if is_start else 900,
        "major_faults": 0,
        "recorder_bytes": 0 if is_start else MIB // 2,
        "recorder_resident_bytes": 0 if is_start else MIB // 4,
        "buffers": []
        if is_start
        else [
            {
                "buffer": number if number < 3 else -1,
                "device": "CPU",
                "buffer_type": buffer_type,
                "kind": kind,
                "size_bytes": size,
                "resident_bytes": resident,
                "original_bytes": originals,
                "original_resident_bytes": originals,
            }
            for number, (kind, buffer_type, size, resident, originals) in enumerate(BUFFERS)
        ],
    }
    return {**values, **changes}


def example_memory() -> dict[str, Any]:
    """What `meta` says of memory."""
    buffers = [
        {"device": "CPU", "buffer_type": buffer_type, "kind": kind, "size_bytes": size}
        for kind, buffer_type, size, _, _ in BUFFERS
    ]
    return {
        "buffers": buffers,
        "predicted": buffers,
        "observations": [
            observation("start", 8.0),
            observation("load", 13.0, n_past=0),
            observation("prefill", 14.5, n_past=16),
            observation("decode", 15.0),
        ],
        "rss_peak_bytes": int(15.5 * MIB),
    }


def place_columns(builder: Builder) -> PlaceTable:
    for name, type_, kind, buffer, shape, size, offset, in_file, cells, window, cache in PLACES:
        sizes = [*shape, 1, 1][:4]
        builder.places.add(
            name=builder.text(name),
            type=builder.text(type_),
            kind=builder.text(kind),
            device=builder.text("CPU"),
            buffer_type=builder.text(BUFFERS[buffer][1]),
            layer=0 if "0" in name else -1,
            **{f"ne{i}": n for i, n in enumerate(sizes)},
            size_bytes=size,
            buffer=buffer,
            offset_bytes=offset,
            file=0 if in_file >= 0 else -1,
            file_offset_bytes=in_file,
            n_cells=cells,
            n_streams=1 if cells else 0,
            n_swa=window,
            cache=cache,
        )
    made: PlaceTable = builder.places.build()
    return made


def with_memory(profile: Profile | None = None, **memory: Any) -> Profile:
    """The example, or another profile, with its memory; keys of `meta.memory` may be exchanged."""
    profile = profile or example_profile()
    builder = Builder()
    builder.text.texts.extend(profile.strings)
    places = place_columns(builder)
    parts = {**profile.meta.to_json(), "memory": {**example_memory(), **memory}}
    return replace(
        profile,
        meta=Meta.from_json(parts),
        strings=tuple(builder.text.texts),
        places=places,
    )


def meta_with(**memory: Any) -> Meta:
    """The example's meta data with this said of memory."""
    return Meta.from_json({**example_meta(), "memory": memory})
