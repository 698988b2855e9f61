"""slmprof: where do the milliseconds and the bytes of a small language model go?

The public names load when first used, so that `import slmprof` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import quant as quant
    from .analysis.comparison.comparison import Comparison as Comparison
    from .capture.comparison import compare as compare
    from .capture.process import profile as profile
    from .capture.session import Session as Session
    from .errors import CaptureError as CaptureError
    from .errors import EngineError as EngineError
    from .errors import ModelError as ModelError
    from .errors import ProfileFormatError as ProfileFormatError
    from .errors import SchemeError as SchemeError
    from .errors import SlmprofError as SlmprofError
    from .errors import SlmprofWarning as SlmprofWarning
    from .errors import UsageError as UsageError
    from .machine.doctor.examination import doctor as doctor
    from .models.synthesis import synthesize as synthesize
    from .planning.process import memory as memory
    from .views import Profile as Profile
    from .views import load as load

    __version__: str

# Public name -> module that holds it. The package of the data model is called `profiles`, because
# importing a module `profile` would hide the function of that name.
_PUBLIC: dict[str, str] = {
    "CaptureError": ".errors",
    "Comparison": ".analysis.comparison.comparison",
    "EngineError": ".errors",
    "ModelError": ".errors",
    "Profile": ".views",
    "ProfileFormatError": ".errors",
    "SchemeError": ".errors",
    "Session": ".capture.session",
    "SlmprofError": ".errors",
    "SlmprofWarning": ".errors",
    "UsageError": ".errors",
    "compare": ".capture.comparison",
    "doctor": ".machine.doctor.examination",
    "load": ".views",
    "memory": ".planning.process",
    "profile": ".capture.process",
    "synthesize": ".models.synthesis",
}

# Public modules, which load when first used as well.
_MODULES = ("quant",)

__all__ = ["__version__", *_PUBLIC, *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from .version import find_version

        value: Any = find_version()
    elif name in _MODULES:
        value = importlib.import_module(f".{name}", __name__)
    elif name in _PUBLIC:
        value = getattr(importlib.import_module(_PUBLIC[name], __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
