"""What acts in the browser alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bokeh.models import CustomJS


def script(name: str, **args: Any) -> CustomJS:
    """One of the scripts of this folder with what it works on."""
    return CustomJS(args=args, code=(Path(__file__).parent / name).read_text())
