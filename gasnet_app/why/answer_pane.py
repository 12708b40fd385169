"""The answer as observed and the answer as asked, one under the other, and what changed in words."""

from __future__ import annotations

import panel as pn

from engine import Prediction, changed
from gasnet_app import theme
from gasnet_app.turn import later
from gasnet_app.why.hide_pane import regions_text
from gasnet_app.why.what_if import WhatIf
from gasnet_app.words import short_class


def answer_html(observed: Prediction, altered: Prediction | None) -> str:
    """Both answers as a table; dashes where nothing is altered."""
    rows = [("as observed", _cells(observed)), ("what if", _cells(altered) if altered else '<td colspan="5">—</td>')]
    body = "".join(f"<tr><th>{name}</th>{cells}</tr>" for name, cells in rows)
    return f'<table class="answers">{body}</table>'


def _cells(answer: Prediction) -> str:
    z = "0" if answer.spectype == "STAR" else f"{answer.best_z:.4f}"
    flag = "robust" if answer.robust else "unstable"
    name, p = pn.util.escape(short_class(answer.class_name)), answer.p[answer.best]
    return f'<td>{name}</td><td>{p:.2f}</td><td>z {z}</td><td class="{flag}">{flag}</td><td>SNR {answer.snr:.1f}</td>'


def question(what_if: WhatIf) -> str:
    """What is asked, in words: without 6540–6590 Å, with 2.0 times the noise."""
    hidden, factor = what_if.explorer.hidden, what_if.factor
    asked = [f"without {regions_text(hidden)}"] if hidden else []
    asked += [f"with {factor:.1f} times the noise"] if factor != 1.0 else []
    return ", ".join(asked)


class AnswerPane:
    """A table of two rows and a sentence."""

    def __init__(self, what_if: WhatIf) -> None:
        self.what_if, self.explorer = what_if, what_if.explorer
        self.table = theme.html(stylesheets=[theme.TEXT_CSS, CSS], min_height=40, css_classes=["what-if"])
        self.words = theme.html(stylesheets=[theme.TEXT_CSS, CSS], min_height=32, css_classes=["changed"])
        self.view = pn.Column(theme.heading("What if"), self.table, self.words, sizing_mode="stretch_width", margin=0)
        what_if.param.watch(later(self._show), ["altered", "problem"])
        self.explorer.param.watch(later(self._show), ["prediction", "prediction_stage"])
        self._show()

    def _show(self) -> None:
        found, altered = self.explorer.prediction, self.what_if.altered
        if found is None:
            stage = self.explorer.prediction_stage
            self.table.object = f'<div class="quiet">{pn.util.escape(stage.words)}</div>'
            self.words.object = ""
            return
        self.table.object = answer_html(found, altered)
        if self.what_if.problem:
            self.words.object = f'<div class="bad">{pn.util.escape(self.what_if.problem)}</div>'
        elif altered is None:
            self.words.object = '<div class="quiet">Hide a line or a region, or add noise: the answer follows.</div>'
        else:
            asked = question(self.what_if)
            self.words.object = f"<div>{asked[:1].upper()}{asked[1:]}: {pn.util.escape(changed(found, altered))}.</div>"

    def apply(self, palette: theme.Palette) -> None:
        """Everything here takes its colours from the page; nothing to do."""


CSS = f"""
:host {{ font-size: {theme.SMALL}; }}
table.answers {{ border-collapse: collapse; width: 100%; }}
table.answers th {{ text-align: left; font-weight: 400; opacity: .75; padding: 1px 8px 1px 0; white-space: nowrap; }}
table.answers td {{ padding: 1px 8px 1px 0; white-space: nowrap; }}
table.answers tr + tr td {{ font-weight: 600; }}
"""
