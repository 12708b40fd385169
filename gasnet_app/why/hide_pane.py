"""Take a region away: a line that the answer rests on by a button, any region by its wavelengths, or the brush."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import panel as pn
from bokeh.layouts import row
from bokeh.models import Button, CheckboxButtonGroup, NumericInput

from engine import C_KMS, Line, pull, strongest
from gasnet_app import theme
from gasnet_app.state import Explorer
from gasnet_app.turn import later
from gasnet_app.why.what_if import WhatIf

KMS = 1500.0  # to either side of a line that a button hides
Region = tuple[float, float]


def around(wave: float) -> Region:
    """The region that a button hides (A)."""
    return round(wave * (1 - KMS / C_KMS), 1), round(wave * (1 + KMS / C_KMS), 1)


def features(explorer: Explorer, lines: Sequence[Line]) -> dict[str, Region]:
    """What the answer rests on, by name, with the region that holds it; empty before the saliency is there."""
    spectrum, found, saliency = explorer.spectrum, explorer.prediction, explorer.saliency
    if spectrum is None or found is None or saliency is None:
        return {}
    weight = pull(spectrum, saliency.wave, saliency.main)
    named = strongest(saliency.wave, weight, found.best_z, lines)
    return {name or f"{wave:.0f} Å": around(wave) for wave, name in named}


def regions_text(regions: Sequence[Region]) -> str:
    """Regions in words: 6540–6590 Å, 5000–5020 Å."""
    return ", ".join(f"{low:.0f}–{high:.0f} Å" for low, high in regions)


class HidePane:
    """Buttons, two wavelengths, and what is hidden now."""

    def __init__(self, what_if: WhatIf) -> None:
        self.what_if, self.explorer = what_if, what_if.explorer
        self._features: dict[str, Region] = {}
        style = {"stylesheets": [theme.CONTROL_CSS]}
        self.lines = CheckboxButtonGroup(labels=[], active=[], margin=(2, 0), name="hide lines", **style)
        self.low = NumericInput(
            mode="float", placeholder="from Å", width=68, margin=(2, 4, 2, 0), name="hide from", **style
        )
        self.high = NumericInput(mode="float", placeholder="to Å", width=68, margin=(2, 4), name="hide to", **style)
        self.hide = Button(label="hide", width=46, margin=(2, 4), name="hide", **style)
        self.show = Button(label="show all", width=64, margin=(2, 0), name="show all", **style)
        self.view = pn.Column(
            theme.heading("Without"), pn.pane.Bokeh(self.lines, height=32, sizing_mode="stretch_width"),
            pn.pane.Bokeh(row(self.low, self.high, self.hide, self.show), height=32),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip
        self.lines.on_change("active", self._choose)
        self.hide.on_click(self._hide)
        self.show.on_click(lambda: self.explorer.param.update(hidden=()))
        self.explorer.param.watch(later(self._show_features), ["saliency", "prediction"])
        self.explorer.param.watch(later(self._show), ["hidden"])
        self._show_features()

    def _choose(self, _attr: str, _old: Any, new: Sequence[int]) -> None:
        """A line's button was pressed: its region is hidden, or shown again. The others stay."""
        own = list(self._features.values())
        kept = [region for region in self.explorer.hidden if region not in own]
        self.explorer.hidden = (*kept, *(own[k] for k in new))

    def _hide(self) -> None:
        low, high = self.low.value, self.high.value
        if low is None or high is None or low == high:
            self.what_if.problem = "Give two wavelengths to hide what lies between: vacuum, observed frame, Å."
            return
        self.explorer.hidden = (*self.explorer.hidden, (min(low, high), max(low, high)))
        self.low.value = self.high.value = None

    def _show_features(self) -> None:
        self._features = features(self.explorer, self.what_if.lines)
        self.lines.update(active=[], labels=list(self._features))
        self._show()

    def _show(self) -> None:
        hidden = self.explorer.hidden
        active = [k for k, region in enumerate(self._features.values()) if region in hidden]
        if active != self.lines.active:
            self.lines.active = active
        self.show.visible = bool(hidden)

    def apply(self, palette: theme.Palette) -> None:
        """Everything here takes its colours from the page; nothing to do."""
