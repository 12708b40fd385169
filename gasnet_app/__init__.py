"""The screen of GaSNet Explorer: `panel serve gasnet_app`, or `from gasnet_app import explore` in a notebook.

It knows the engine by its front door alone.
"""

from __future__ import annotations

from typing import Any

__all__ = ["explore"]


def __getattr__(name: str) -> Any:
    """`explore` when it is asked for: whoever needs one module of the package should not wait for all."""
    if name == "explore":
        from gasnet_app.notebook import explore

        return explore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
