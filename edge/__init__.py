"""The device runtime of seld-edge: microphones in, sound events with class and direction out.

`edge.open_model` opens a model for samples of your own; `docs/api.md` shows how. What is exported here is imported when
it is first used, so that `import edge` alone stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.api import Model, open_model
    from edge.types import Event, EventUpdate, FrameRow

__version__ = "0.1.0"
__all__ = ["Event", "EventUpdate", "FrameRow", "Model", "__version__", "open_model"]


def __getattr__(name: str) -> Any:
    """Import an exported name (PEP 562)."""
    if name == "__version__" or name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from edge import api

    return getattr(api, name)


def __dir__() -> list[str]:
    """List the exported names besides those that are there already."""
    return sorted({*globals(), *__all__})
