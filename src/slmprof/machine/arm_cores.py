"""What Arm's processors are called: Linux tells their numbers only."""

from __future__ import annotations

# As the registers MIDR_EL1 hold them, where somebody runs models on them.
_IMPLEMENTERS = {
    0x41: "Arm",
    0x42: "Broadcom",
    0x43: "Cavium",
    0x46: "Fujitsu",
    0x48: "HiSilicon",
    0x4E: "NVIDIA",
    0x51: "Qualcomm",
    0x61: "Apple",
    0x6D: "Microsoft",
    0xC0: "Ampere",
}
_PARTS = {
    0x41: {
        0xD03: "Cortex-A53",
        0xD04: "Cortex-A35",
        0xD05: "Cortex-A55",
        0xD07: "Cortex-A57",
        0xD08: "Cortex-A72",
        0xD09: "Cortex-A73",
        0xD0A: "Cortex-A75",
        0xD0B: "Cortex-A76",
        0xD0C: "Neoverse-N1",
        0xD0D: "Cortex-A77",
        0xD40: "Neoverse-V1",
        0xD41: "Cortex-A78",
        0xD44: "Cortex-X1",
        0xD46: "Cortex-A510",
        0xD47: "Cortex-A710",
        0xD48: "Cortex-X2",
        0xD49: "Neoverse-N2",
        0xD4D: "Cortex-A715",
        0xD4E: "Cortex-X3",
        0xD4F: "Neoverse-V2",
        0xD80: "Cortex-A520",
        0xD81: "Cortex-A720",
        0xD82: "Cortex-X4",
        0xD84: "Neoverse-V3",
        0xD8E: "Neoverse-N3",
    },
    0xC0: {0xAC3: "Ampere-1", 0xAC4: "Ampere-1a"},
}


def arm_cores(cpuinfo: str) -> str:
    """The kinds of cores of an Arm processor, each once: `Arm Cortex-A55 + Arm Cortex-A76`.

    A core of an unknown number is called by it: `Arm 0xd99`. Empty where the text tells of none.

    Args:
        cpuinfo: what Linux has in `/proc/cpuinfo`.
    """
    kinds: dict[str, None] = {}
    implementer = None
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "CPU implementer":
            implementer = _number(value)
        elif name.strip() == "CPU part" and implementer is not None:
            part = _number(value)
            if part is not None:
                kinds[_name(implementer, part)] = None
    return " + ".join(kinds)


def _name(implementer: int, part: int) -> str:
    maker = _IMPLEMENTERS.get(implementer, f"implementer {implementer:#x}")
    return f"{maker} {_PARTS.get(implementer, {}).get(part, f'{part:#x}')}"


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None
