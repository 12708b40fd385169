"""Colours, type and space, for light and dark. Colour carries meaning only; classes look the same in every view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import Survey

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif"
SMALL, BODY, LARGE = "11px", "13px", "17px"


@dataclass(frozen=True)
class Palette:
    """One theme's colours. accent: the current solution; rival: another one; danger: what must be looked at."""

    ink: str
    quiet: str
    hairline: str
    ground: str
    band: str
    accent: str
    rival: str
    danger: str
    emission: str
    absorption: str


LIGHT = Palette("#1b1f24", "#667079", "#d9dde1", "#ffffff", "#8c959f", "#0b62b8", "#b35900", "#b3261e", "#0b62b8", "#8a5a00")
DARK = Palette("#e4e7ea", "#98a2ab", "#343b42", "#14181c", "#77828c", "#6cb2f5", "#f0a55a", "#ff8a80", "#6cb2f5", "#d9b36a")

# Okabe & Ito's qualitative set, which colour-blind readers tell apart; a family of hues per spectral type.
_HUES = {
    "STAR": ("#E69F00",),
    "GALAXY": ("#0072B2", "#CC79A7", "#56B4E9", "#009E73"),
    "QSO": ("#A8530A", "#D55E00"),
}


def palette(dark: bool) -> Palette:
    """The colours of a theme."""
    return DARK if dark else LIGHT


def class_colours(survey: Survey) -> dict[str, str]:
    """Colour of each class, the same wherever it is drawn."""
    seen: dict[str, int] = {}
    colours = {}
    for c in survey.classes:
        hues = _HUES[c.spectype]
        colours[c.name] = hues[seen.get(c.spectype, 0) % len(hues)]
        seen[c.spectype] = seen.get(c.spectype, 0) + 1
    return colours


def material(dark: bool = False) -> dict[str, Any]:
    """Theme configuration of the page's shell: system type, dense, flat."""
    p = palette(dark)
    return {
        "palette": {
            "primary": {"main": p.accent},
            "background": {"default": p.ground, "paper": p.ground},
            "text": {"primary": p.ink, "secondary": p.quiet},
            "divider": p.hairline,
        },
        "typography": {"fontFamily": FONT, "fontSize": 13, "htmlFontSize": 16},
        "shape": {"borderRadius": 3},
    }
