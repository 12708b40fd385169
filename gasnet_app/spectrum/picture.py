"""A picture of the spectrum for a paper or a log: PNG or SVG, with what it shows in its title."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bokeh.models import Button, ColumnDataSource, CustomAction
from bokeh.plotting import figure

from gasnet_app import theme
from gasnet_app.javascript import script
from gasnet_app.state import Explorer
from gasnet_app.words import headline, z_text

UNSAFE = re.compile(r"[^\w.+-]+")


def title_words(explorer: Explorer) -> tuple[str, str]:
    """The title in two lines: the object; what was answered, by which model, with which flags."""
    record, found = explorer.record, explorer.prediction
    if record is None:
        return "", ""
    about = " · ".join(headline(record.spectrum)) if record.spectrum else record.file
    if found is None:
        return about, "no answer"
    flags = "; ".join(found.words()) or "no flags"
    z = z_text(found.best_z, found.best_zerr)
    p = float(found.p[found.best])
    return about, f"{found.class_name} (p {p:.2f}) · z = {z} · {found.model} · zwarn {int(found.zwarn)}: {flags}"


def file_stem(explorer: Explorer) -> str:
    """Name of a picture's file before the z of the lines and its ending: object and class."""
    record, found = explorer.record, explorer.prediction
    words = [record.key if record else "spectrum"] + ([found.class_name] if found is not None else [])
    return UNSAFE.sub("-", "_".join(words)).strip("-.")[:120] or "spectrum"


class Picture:
    """Saves the figures, one under the other, on the theme's ground. The browser draws it, and adds the z of the lines
    where they stand elsewhere than at the answer's."""

    def __init__(self, explorer: Explorer, figures: Sequence[figure], z_slider: object) -> None:
        self.explorer = explorer
        self.title = ColumnDataSource({k: [] for k in ("about", "answer", "z", "file", "ink", "ground")}, name="title")
        args = {"title": self.title, "figures": list(figures), "slider": z_slider, "font": theme.FONT}
        scripts = {kind: script("picture.js", kind=kind, **args) for kind in ("png", "svg")}
        self.tool = CustomAction(icon="save", description="Save a picture (PNG)", callback=scripts["png"])
        self.buttons = [Button(label=kind.upper(), width=44, margin=(4, 4), name=f"save {kind}",
                               stylesheets=[theme.CONTROL_CSS]) for kind in scripts]  # fmt: skip
        for button, save in zip(self.buttons, scripts.values(), strict=True):
            button.js_on_click(save)

    def show(self, palette: theme.Palette) -> None:
        """Keep the title at what the session holds."""
        about, answer = title_words(self.explorer)
        found = self.explorer.prediction
        self.title.data = {
            "about": [about], "answer": [answer], "z": [found.best_z if found is not None else None],
            "file": [file_stem(self.explorer)], "ink": [palette.ink], "ground": [palette.ground],
        }  # fmt: skip
