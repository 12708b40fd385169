"""Colours, type and space, for light and dark. Colour carries meaning only; classes look the same in every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import panel as pn

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


LIGHT = Palette(
    "#1b1f24", "#667079", "#d9dde1", "#ffffff", "#8c959f", "#0b62b8", "#b35900", "#b3261e", "#0b62b8", "#8a5a00"
)
DARK = Palette(
    "#e4e7ea", "#98a2ab", "#343b42", "#14181c", "#77828c", "#6cb2f5", "#f0a55a", "#ff8a80", "#6cb2f5", "#d9b36a"
)

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
    return hues([(c.name, c.spectype) for c in survey.classes])


def hues(classes: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Colour of each class from its name and spectral type, in the survey's order."""
    seen: dict[str, int] = {}
    colours = {}
    for name, spectype in classes:
        family = _HUES[spectype]
        colours[name] = family[seen.get(spectype, 0) % len(family)]
        seen[spectype] = seen.get(spectype, 0) + 1
    return colours


def material() -> dict[str, Any]:
    """Theme configuration of the page's shell, light and dark: system type, dense, flat."""
    return {mode: _material(palette(mode == "dark")) for mode in ("light", "dark")}


def _material(p: Palette) -> dict[str, Any]:
    return {
        "palette": {
            "primary": {"main": p.accent, "contrastText": p.ground},
            "background": {"default": p.ground, "paper": p.ground},
            "text": {"primary": p.ink, "secondary": p.quiet},
            "divider": p.hairline,
        },
        "typography": {"fontFamily": FONT, "fontSize": 13, "htmlFontSize": 16},
        "shape": {"borderRadius": 3},
        "chart_style": "standard",
    }


def html(text: str = "", **params: Any) -> pn.pane.HTML:
    """A piece of text in the page's type."""
    return pn.pane.HTML(text, **{"sizing_mode": "stretch_width", "margin": 0, "stylesheets": [TEXT_CSS], **params})


def tip(text: str) -> str:
    """What a plot says under the mouse, in the page's small type; @names are columns of what is under it."""
    return f'<span style="font:{SMALL} {FONT.replace(chr(39), "")};font-variant-numeric:tabular-nums">{text}</span>'


def heading(text: str) -> pn.pane.HTML:
    """The small title of a part of a column."""
    return html(f'<div class="heading">{text}</div>')


TEXT_CSS = f"""
:host {{ font: {BODY}/1.4 {FONT}; font-variant-numeric: tabular-nums; color: var(--panel-on-background-color); }}
.heading {{ font-size: {SMALL}; letter-spacing: .06em; text-transform: uppercase; opacity: .65; margin: 8px 0 2px; }}
.big {{ font-size: {LARGE}; font-weight: 600; }}
.quiet {{ opacity: .75; font-size: {SMALL}; }}
.small {{ font-size: {SMALL}; }}
.line {{ white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
.facts span {{ margin-left: 16px; opacity: .85; }}
.bad, .unstable {{ color: var(--danger-bg-color); }}
.badge {{ font-size: {SMALL}; font-weight: 400; color: var(--danger-bg-color); border: 1px solid; border-radius: 3px;
  padding: 0 4px; margin-left: 8px; vertical-align: 2px; white-space: nowrap; cursor: help; }}
ul {{ margin: 0; padding: 0; list-style: none; }}
ul.failures {{ font-size: {SMALL}; }}
ul.failures li {{ margin-bottom: 4px; overflow-wrap: anywhere; }}
td {{ padding: 2px 12px 2px 0; }}
kbd {{ font: inherit; font-weight: 600; }}
"""
CONTROL_CSS = f"""
:host {{ --input-min-height: 26px; }}
.bk-input, .bk-btn {{ font: {SMALL} {FONT}; font-variant-numeric: tabular-nums; padding: 2px 6px; min-height: 26px;
  height: 26px; color: var(--panel-on-background-color); background-color: var(--panel-background-color);
  border: 1px solid var(--border-color); border-radius: 3px; }}
/* Bokeh's own arrow is a dark picture, unseen on a dark ground. */
select:not([multiple]).bk-input {{ appearance: none; background-repeat: no-repeat; background-size: 4px 4px;
  background-image: linear-gradient(45deg, transparent 50%, currentColor 50%),
    linear-gradient(135deg, currentColor 50%, transparent 50%);
  background-position: calc(100% - 12px) 11px, calc(100% - 8px) 11px; }}
.noUi-target, .noUi-connects {{ background: color-mix(in srgb, var(--panel-on-background-color) 14%, transparent);
  border-color: var(--border-color); box-shadow: none; }}
.bk-btn.bk-active {{ background-color: color-mix(in srgb, var(--panel-primary-color) 22%, transparent); }}
"""
TABLE_CSS = f"""
:host .tabulator {{ font: {SMALL} {FONT}; font-variant-numeric: tabular-nums; border: 0; background: transparent; }}
:host .tabulator .tabulator-header, :host .tabulator .tabulator-header .tabulator-col {{
  font-size: {SMALL}; background: transparent !important; border: 0; font-weight: 400; color: inherit; min-height: 0; }}
:host .tabulator .tabulator-header .tabulator-col .tabulator-col-content {{ padding: 2px 4px !important; }}
:host .tabulator .tabulator-tableholder .tabulator-table {{ background: transparent; color: inherit; }}
:host .tabulator .tabulator-row {{ background: transparent !important; min-height: 22px !important; height: 22px;
  border: 0 !important;
  color: var(--panel-on-background-color) !important; cursor: pointer; }}
:host .tabulator .tabulator-row .tabulator-cell {{ padding: 2px 4px !important; height: 22px !important; border: 0;
  color: var(--panel-on-background-color) !important; }}
:host .tabulator .tabulator-row.tabulator-selected, :host .tabulator .tabulator-row:hover {{
  background: color-mix(in srgb, var(--panel-primary-color) 16%, transparent) !important; }}
"""
BAR_CSS = """
.bar { height: 3px; border-radius: 2px; background: color-mix(in srgb, currentColor 14%, transparent); }
.bar div { height: 3px; border-radius: 2px; background: var(--panel-primary-color); }
"""
DROPPER_CSS = f"""
.filepond--root {{ font: {SMALL} {FONT}; margin: 0; height: 52px !important; overflow: hidden; }}
.filepond--panel {{ display: none; }}
.filepond--drop-label {{ color: var(--panel-on-background-color); min-height: 50px; border-radius: 3px;
  border: 1px dashed var(--border-color); box-sizing: border-box; opacity: 1 !important; transform: none !important;
  visibility: visible !important; }}
.filepond--drop-label label {{ font-size: {BODY}; }}
.filepond--list-scroller, .filepond--list {{ display: none; }}
"""
# On a tablet the sides give way; held upright, it has the middle above and the sides below, next to each other.
TABLET_CSS = """
@media (max-width: 1100px) {
  .side { flex-basis: 250px !important; width: 250px !important; margin: 0 4px !important; }
  .side.inspect { flex-basis: 286px !important; width: 286px !important; }
  .side.why-page, .side.population-side { flex-basis: 330px !important; width: 330px !important; }
}
@media (max-width: 900px) {
  :host { flex-wrap: wrap; align-content: stretch; }
  .middle { order: -1; flex: 1 0 100% !important; height: 58% !important; }
  .side.side { flex: 1 1 0 !important; height: 42% !important; min-width: 0; overflow-y: auto; }
}
"""
CARD_CSS = """
h3 { font-size: 13px; font-weight: 600; margin: 18px 0 4px; }
h3:first-child { margin-top: 0; }
p { margin: 0 0 4px; max-width: 70ch; }
dl { display: grid; grid-template-columns: minmax(9em, max-content) 1fr; gap: 2px 16px; margin: 0; }
dt { opacity: .7; }
dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; margin-top: 6px; }
th { text-align: left; font-weight: 400; opacity: .7; padding: 2px 16px 2px 0; }
td { padding: 2px 16px 2px 0; overflow-wrap: anywhere; }
td:not(:first-child) { font-variant-numeric: tabular-nums; }
tbody tr { border-top: 1px solid color-mix(in srgb, currentColor 18%, transparent); }
"""
