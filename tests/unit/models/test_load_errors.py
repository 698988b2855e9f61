"""One line of why a model was not loaded, out of llama.cpp's log."""

from __future__ import annotations

from pathlib import Path

import pytest

from slmprof.models.load_errors import explain_load_failure

PATH = Path("m/a-00001-of-00002.gguf")
FIRST = "llama_model_load: error loading model: "


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [
                "gguf_init_from_file: failed to open GGUF file 'm/b' (No such file or directory)",
                FIRST + "llama_model_loader: failed to load GGUF split from m/a-2-of-2.gguf",
            ],
            "a-2-of-2.gguf, a part of the split model, is missing",
        ),
        (
            [
                "gguf_init_from_reader: failed to read magic",
                FIRST + "llama_model_loader: failed to load GGUF split from m/a-2-of-2.gguf",
            ],
            "a-2-of-2.gguf, a part of the split model, cannot be read: failed to read magic",
        ),
        (
            [
                "gguf_init_from_reader: key 7 is empty",
                "gguf_init_from_reader: failed to read key-value pairs",
                FIRST + "llama_model_loader: failed to load model from m/a",
            ],
            "its header is damaged or cut short: key 7 is empty",
        ),
        (
            ["gguf_init_from_reader: nothing to do with it", FIRST + "unknown architecture: 'x'"],
            "unknown architecture: 'x'",
        ),
    ],
)
def test_the_cause_is_told(lines: list[str], expected: str) -> None:
    answer = explain_load_failure(PATH, [*lines, "llama_model_load: failed"], "no reason")
    assert answer == f"{PATH}: llama.cpp cannot load it: {expected}"


def test_what_no_kernel_computes_is_told_in_slmprofs_own_words() -> None:
    message = "tensor 'x' is of type i32, with which no kernel computes MUL"
    log = [f"llama_init_from_model: failed to initialize the context: {message}"]
    assert explain_load_failure(PATH, log, message) == f"{PATH}: {message}"


def test_without_a_reason_the_message_stands() -> None:
    assert explain_load_failure(PATH, ["loading"], "no reason") == "no reason"
