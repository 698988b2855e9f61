"""Schemes in Python files: how they are found, and what they must stand."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scheme_files import MINE, variant, write_scheme

from slmprof.errors import SchemeError, UsageError
from slmprof.quantization.records import BLOCKS, VALUES
from slmprof.quantization.schemes.loading import load_scheme, wrap
from slmprof.quantization.schemes.scheme import Scheme
from slmprof.quantization.schemes.trial import try_scheme

NOISE = np.random.default_rng(0).standard_normal((3, 64)).astype(np.float32)


def loaded(tmp_path: Path, text: str, name: str = "Mine") -> Any:
    return load_scheme(f"{write_scheme(tmp_path, text)}:{name}")


def test_a_class_by_the_decorator(tmp_path: Path) -> None:
    scheme = loaded(tmp_path, MINE)
    info = scheme.info
    assert (info.name, info.source, info.kind) == ("mine", "mine.py:Mine", BLOCKS)
    assert (info.block_size, info.type_size, info.bits_per_weight) == (32, 18, 4.5)
    assert (info.type, len(info.digest)) == ("custom:mine", 64)
    assert (scheme.holds(96), scheme.holds(80), scheme.packed_bytes(64)) == (True, False, 36)
    try_scheme(scheme, 96)
    found = scheme.give_back(NOISE.copy())
    assert found.shape == NOISE.shape
    assert 0 < np.abs(found - NOISE).max() < 0.5
    assert scheme.unpack(scheme.pack(NOISE)).reshape(NOISE.shape).tolist() == found.tolist()


def test_functions_declare_their_size(tmp_path: Path) -> None:
    rows = loaded(tmp_path, MINE, "halves")
    assert (rows.info.kind, rows.info.bits_per_weight, rows.info.block_size) == (VALUES, 2.5, None)
    assert rows.holds(37) and not rows.whole_tensors and rows.packed_bytes(32) == 10
    try_scheme(rows, 37)
    assert set(rows.give_back(NOISE.copy()).ravel() * 2 % 1) == {0.0}
    whole = loaded(tmp_path, MINE, "signs")
    assert whole.whole_tensors
    try_scheme(whole, 37)


@pytest.mark.parametrize("name", ["BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "TQ1_0", "TQ2_0"])
def test_classes_of_gguf_as_they_are(name: str) -> None:
    scheme = load_scheme(f"gguf.quants:{name}")
    assert (scheme.info.name, scheme.info.source) == (name, f"gguf.quants:{name}")
    try_scheme(scheme, 512)


def test_a_tensor_of_torch_is_taken_and_returned(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    text = """
import torch
from slmprof.quant import Scheme

@Scheme(bits_per_weight=8)
def scaled(values: torch.Tensor) -> torch.Tensor:
    scale = values.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127
    return (values / scale).round() * scale
"""
    scheme = loaded(tmp_path, text, "scaled")
    try_scheme(scheme, 64)
    assert np.abs(scheme.give_back(NOISE.copy()) - NOISE).max() < 0.02


def test_a_function_with_a_second_parameter_gets_importances(tmp_path: Path) -> None:
    text = variant("def halves(values):", "def halves(values, importance):")
    text = text.replace(
        "np.round(values * 2) / 2", "values * (2 if importance is None else importance)"
    )
    scheme = loaded(tmp_path, text, "halves")
    columns = np.arange(64, dtype=np.float32)
    assert np.array_equal(scheme.give_back(NOISE.copy(), columns), NOISE * columns)
    assert np.array_equal(scheme.give_back(NOISE.copy()), NOISE * 2)
    with pytest.raises(SchemeError, match="it takes nothing"):
        loaded(tmp_path, variant("def halves(values):", "def halves():"), "halves")


def test_importances_reach_the_blocks_they_belong_to() -> None:
    seen = []

    @Scheme(block_size=4, type_size=16)
    class Kept:
        def calibrate(self, importance: Any) -> None:
            seen.append(importance)

        def quantize_blocks(self, blocks: Any) -> Any:
            return blocks.view(np.uint8)

        def dequantize_blocks(self, blocks: Any) -> Any:
            return blocks.view(np.float32)

    scheme = wrap(Kept, "here", "")
    columns = np.arange(8, dtype=np.float32)
    scheme.give_back(np.ones((3, 8), np.float32), columns)
    scheme.give_back(np.ones((3, 8), np.float32))
    assert seen[1] is None
    assert seen[0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]] * 3


def test_each_thread_has_an_instance_of_its_own() -> None:
    made = []

    class Mine:
        block_size, type_size = 1, 4

        def __init__(self) -> None:
            made.append(threading.get_ident())

        def quantize_blocks(self, blocks: Any) -> Any:
            return blocks.view(np.uint8)

        def dequantize_blocks(self, blocks: Any) -> Any:
            return blocks.view(np.float32)

    scheme = wrap(Mine, "here", "")
    for _ in range(2):
        thread = threading.Thread(target=scheme.give_back, args=(NOISE,))
        thread.start()
        thread.join()
        scheme.give_back(NOISE)
    assert len(made) == 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("numbers - 8) * scale", "numbers - 8) * np.float32('nan')", "not finite of noise (row 0)"),
        ("return (numbers", "return 3 * (numbers", "does not give back what it was given"),
        ("(numbers - 8) * scale", "(numbers - 8).astype('f8') * scale", "returned float64, not"),
        ("(numbers - 8) * scale", "((numbers - 8) * scale)[:, :5]", "the shape [15, 5], not [15"),
        ("return (numbers", "return [numbers]; (numbers", "returned list, not an array"),
        ("np.round(blocks * inverse)", "np.round(blocks * inverse + np.random.rand())", "twice"),
        ("np.abs(blocks).max(axis=1, keepdims=True)", "np.abs(blocks).max() + 0 * blocks[:, :1]",
         "other values of a block alone"),
        ("wide = scale", "wide = scales", "raised NameError at mine.py:9: name 'scales'"),
        ("wide = scale.astype(np.float32)", "exit(3)", "quantize_blocks raised SystemExit at"),
        ("type_size=18", "type_size=17", "returned the shape [15, 18], not [15, 17]"),
        ("type_size=18", "type_size=0", "type_size is 0, not a whole number above 0"),
        ("block_size=32, ", "", "block_size is None"),
        ("    def dequantize_blocks", "    def unpack", "has no dequantize_blocks"),
        ("class Mine:\n", "class Mine:\n    def __init__(self, x): ...\n", "constructor raised"),
        ('name="mine"', 'name="\\x1b[2J"', "cannot be a scheme's name"),
        ("import numpy as np", "import numpy as np, nowhere", "imports nowhere, which is not"),
        ("import numpy as np", "import numpy as np\n1 / 0", "it raised ZeroDivisionError at mine"),
        ("import numpy as np", "import", "mine.py:2: "),
    ],
)  # fmt: skip
def test_what_breaks_the_contract(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SchemeError) as raised:
        try_scheme(loaded(tmp_path, variant(old, new)), 96)
    assert told in str(raised.value)


ENDS = ["KeyboardInterrupt", "GeneratorExit", "type('Stop', (BaseException,), {})"]
PLACES = [
    ("import numpy as np", "import numpy as np\nraise {}", "cannot be run: it raised"),
    ("class Mine:\n", "class Mine:\n    def __init__(self):\n        raise {}\n", "constructor"),
    ("wide = scale.astype(np.float32)", "raise {}", "mine: quantize_blocks raised"),
]


@pytest.mark.parametrize(("old", "new", "told"), PLACES)
@pytest.mark.parametrize("end", ENDS)
def test_what_would_end_the_process(
    tmp_path: Path, end: str, old: str, new: str, told: str
) -> None:
    """In one that dies of a SIGINT, as workers do, it comes from nobody but the scheme."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with pytest.raises(SchemeError, match=rf"{told}.* at mine.py:\d+") as raised:
            try_scheme(loaded(tmp_path, variant(old, new.format(end))), 96)
    finally:
        signal.signal(signal.SIGINT, before)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("old", "new", "told"), PLACES)
def test_a_ctrl_c_is_the_users(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = variant(old, new.replace("raise {}", "__import__('signal').raise_signal(2)"))
    assert told and "raise_signal" in text
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            try_scheme(loaded(tmp_path, text), 96)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("end", ["KeyboardInterrupt", "SystemExit", "RuntimeError"])
def test_a_package_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    (tmp_path / f"of_{end}").mkdir()
    (tmp_path / f"of_{end}" / "__init__.py").write_text(f"raise {end}")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with pytest.raises(SchemeError, match=f"cannot be run: it raised {end} at __init__.py:1"):
            load_scheme(f"of_{end}.inner:Mine")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("decorated", "told"),
    [
        ("@Scheme()", "a function declares its size"),
        ("@Scheme(bits_per_weight=0)", "it is 0"),
        ("@Scheme(bits_per_weight='4')", "it is '4'"),
    ],
)
def test_functions_that_do_not(tmp_path: Path, decorated: str, told: str) -> None:
    with pytest.raises(SchemeError, match=told):
        loaded(tmp_path, variant("@Scheme(bits_per_weight=2.5)", decorated), "halves")


def test_a_function_of_whole_matrices_says_so(tmp_path: Path) -> None:
    scheme = loaded(tmp_path, variant(", whole_tensors=True", ""), "signs")
    with pytest.raises(SchemeError, match=r"a row alone .*whole_tensors=True"):
        try_scheme(scheme, 64)


def test_what_is_not_there(tmp_path: Path) -> None:
    path = write_scheme(tmp_path)
    for place, told in (
        (f"{path}:Other", "has no Other; it has Mine, halves, signs"),
        (f"{tmp_path / 'none.py'}:Mine", "cannot read"),
        (f"{tmp_path}.py:Mine", "cannot read"),
        ("no.such.module:Mine", "there is no module no.such.module; a file ends in .py"),
        ("gguf.quants:Nothing", "gguf.quants has no Nothing"),
    ):
        with pytest.raises(UsageError) as raised:
            load_scheme(place)
        assert told in str(raised.value)
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(UsageError, match="not a regular file"):
        load_scheme(f"{tmp_path / 'folder.py'}:Mine")


ODD = """
import functools, json
from slmprof.quant import Scheme

class Slots:
    __slots__ = ("__name__",)
    def __init__(self):
        self.__name__ = "slots"
    def __call__(self, values):
        return values

class Named:
    __name__ = 5
    def __call__(self, values):
        return values

class Lying:
    @property
    def __class__(self):
        raise OSError("no class")
    @property
    def __name__(self):
        raise OSError("no name")
    def __call__(self, values):
        return values

class Raising(type):
    def __getattribute__(cls, name):
        raise ValueError(f"no {name}")

class Raises(metaclass=Raising):
    pass

class SomeRaise(type):
    @property
    def block_size(cls):
        exit("no size")

class Sized(metaclass=SomeRaise):
    def quantize_blocks(self, blocks): ...
    def dequantize_blocks(self, blocks): ...

class Declared:
    __slmprof_scheme__ = 5

class Grouped:
    block_size, type_size = 32, 18
    quantize_blocks = dequantize_blocks = dot = print
    group_rows = "many"

@Scheme(bits_per_weight=4)
def kept(values):
    return values

partial, slots, named, lying, empty = functools.partial(print), Slots(), Named(), Lying(), None

def __getattr__(name):
    raise LookupError(f"never heard of {name}")
"""
NEITHER = "neither a class nor a function written in Python"


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("math:pi", NEITHER),
        ("gguf.quants:GGML_QUANT_SIZES", NEITHER),
        ("os:system", NEITHER),
        ("builtins:len", NEITHER),
        ("builtins:None", "has no None"),
        ("os:path", NEITHER),
        ("builtins:int", "has no quantize_blocks and no dequantize_blocks"),
        ("builtins:type", "has no quantize_blocks and no dequantize_blocks"),
        ("json:loads", "a function declares its size"),
        ("odd:json", NEITHER),
        ("odd:partial", NEITHER),
        ("odd:slots", NEITHER),
        ("odd:named", "5 cannot be a scheme's name"),
        ("odd:lying", "OSError at odd.py"),
        ("odd:Raises", "ValueError at odd.py"),
        ("odd:Sized", "SystemExit at "),
        ("odd:Declared", "has no quantize_blocks"),
        ("odd:Grouped", "cannot be a scheme: it raised ValueError"),
        ("odd:nothing", "LookupError at odd.py"),
        ("odd:empty", "odd.py has no empty; it has kept"),
    ],
)
def test_what_is_no_scheme(tmp_path: Path, place: str, told: str) -> None:
    path = write_scheme(tmp_path, ODD, "odd.py")
    with pytest.raises((SchemeError, UsageError)) as raised:
        load_scheme(place.replace("odd:", f"{path}:"))
    assert told in str(raised.value)
