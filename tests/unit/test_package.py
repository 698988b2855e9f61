"""The public names, and what importing them loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders import example_profile

import slmprof
from slmprof import errors
from slmprof.profiles.data import ProfileData
from slmprof.profiles.storage import file

SOURCE = Path(__file__).resolve().parents[2] / "src"
HEAVY = ("numpy", "pandas", "rich", "slmprof._core")


def loaded_by(code: str) -> set[str]:
    """Heavy modules that a fresh interpreter has loaded after the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = set(done.stdout.splitlines()[-1].split())
    return {name for name in HEAVY if name in modules}


@pytest.mark.parametrize(
    "code",
    [
        "import slmprof",
        "import slmprof; slmprof.__version__; slmprof.SlmprofError; dir(slmprof)",
        "from slmprof.commands.main import main; main(['--help'])",
        "from slmprof.commands.main import main; main(['breakdown', '--help'])",
        "from slmprof.commands.main import main; main(['sweep', '--help'])",
        "from slmprof.commands.main import main; main(['compare', '--help'])",
        "from slmprof.commands.main import main; main(['doctor', '--help'])",
    ],
)
def test_nothing_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code) == set()


def test_public_names() -> None:
    for name in ("SlmprofError", "ModelError", "EngineError", "UsageError", "CaptureError"):
        assert getattr(slmprof, name) is getattr(errors, name)
    assert slmprof.Profile is type(example_profile())
    assert set(slmprof.__all__) <= set(dir(slmprof))
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = slmprof.nonsense


def test_the_public_profile_stands_above_its_data(tmp_path: Path) -> None:
    profile = example_profile()
    for view in ("phases", "blocks", "layers", "kernels", "ops", "waits", "memory"):
        assert callable(getattr(slmprof.Profile, view)) and not hasattr(ProfileData, view)
    profile.save(tmp_path / "p")
    loaded = slmprof.load(tmp_path / "p")
    assert type(loaded) is slmprof.Profile and type(file.load(tmp_path / "p")) is ProfileData
    assert type(loaded.at_depth(loaded.depths[0])) is slmprof.Profile
    assert loaded.op_rows is loaded.op_rows
    assert loaded.phase_summaries is loaded.phase_summaries


def test_no_module_hides_the_function_profile() -> None:
    import slmprof.capture.process
    import slmprof.profiles.data

    assert slmprof.profile is slmprof.capture.process.profile
    assert callable(slmprof.profile)


def test_exit_codes_of_errors() -> None:
    codes = {
        errors.SlmprofError: 1,
        errors.EngineError: 1,
        errors.CaptureError: 1,
        errors.ModelError: 2,
        errors.ProfileFormatError: 2,
        errors.UsageError: 2,
    }
    for kind, code in codes.items():
        assert issubclass(kind, errors.SlmprofError) and kind.exit_code == code
    error = errors.EngineError("why", ("a", "b"))
    assert (str(error), error.log_lines, error.profile) == ("why", ("a", "b"), None)
