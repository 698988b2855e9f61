"""What the models of a dossier are called."""

from __future__ import annotations

import pytest

from slmprof.quantization.records import QuantizationPlan, QuantizedModel, SchemeInfo
from slmprof.studies.dossier import names_of

MODEL = QuantizedModel("m", "m.gguf", "llama", "F16", 10, False)


@pytest.mark.parametrize(
    ("scheme", "against", "names"),
    [
        ("mine", ("Q8_0",), ["mine", "Q8_0", "F16"]),
        ("Q4_0", ("Q4_0",), ["custom:Q4_0", "Q4_0", "F16"]),
        ("q8_0", ("Q8_0", "F16"), ["custom:q8_0", "Q8_0", "F16", "reference"]),
        (None, ("Q4_K_M",), ["Q4_K_M recipe", "Q4_K_M", "F16"]),
    ],
)
def test_each_has_a_name_of_its_own(
    scheme: str | None, against: tuple[str, ...], names: list[str]
) -> None:
    info = SchemeInfo(scheme, "f.py:x", "0", "values", 4.0) if scheme else None
    recipe = {"file_type": None if scheme else "Q4_K_M"}
    assert names_of(QuantizationPlan(MODEL, recipe, (), scheme=info), against) == names
