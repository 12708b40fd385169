"""The members one by one: what each says, whether it stands apart, and which wavelengths it looks at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import panel as pn

from engine import MemberAnswer, agreement
from gasnet_app import theme
from gasnet_app.turn import later
from gasnet_app.why.what_if import BINS, Looks, WhatIf
from gasnet_app.words import short_class


def curve_svg(looks: Looks) -> str:
    """A member's curve as a small filled picture, as wide as its cell, in the colour of the text."""
    points = " ".join(f"{x},{20 - 19 * y:.1f}" for x, y in enumerate(np.round(looks.curve, 3)))
    shape = f'<polygon points="0,20 {points} {BINS - 1},20"/>'
    return f'<svg viewBox="0 0 {BINS - 1} 20" preserveAspectRatio="none">{shape}</svg>'


def members_html(members: Sequence[MemberAnswer], looks: Sequence[Looks]) -> str:
    """One row per member; what stands apart is marked by colour and by weight."""
    if not members:
        return ""
    rows = []
    for k, member in enumerate(members):
        name = _marked(short_class(member.class_name), member.other_class)
        z = _marked("" if np.isnan(member.z) else f"{member.z:.4f}", member.other_z)
        rests = pn.util.escape(", ".join(member.rests_on))
        picture = curve_svg(looks[k]) if k < len(looks) else ""
        rows.append(
            f"<tr><td>{member.number}</td><td>{name}</td><td>{member.p:.2f}</td><td>{z}</td>"
            f'<td class="picture" title="{rests}">{picture}</td><td class="rests" title="{rests}">{rests}</td></tr>'
        )
    reach = f"{looks[0].wave_min:.0f}–{looks[0].wave_max:.0f} Å" if looks else ""
    head = f"<tr><th></th><th>class</th><th>p</th><th>z</th><th>{reach}</th><th>rests on</th></tr>"
    return f'<table class="members">{head}{"".join(rows)}</table>'


def _marked(text: str, apart: bool) -> str:
    text = pn.util.escape(text)
    return f'<span class="apart">{text}</span>' if apart else text


class MembersPane:
    """A sentence and a table."""

    def __init__(self, what_if: WhatIf) -> None:
        self.what_if = what_if
        self.words = theme.html(css_classes=["agreement"])
        self.table = theme.html(css_classes=["members"])
        self.view = pn.Column(theme.heading("Members"), self.words, self.table, sizing_mode="stretch_width", margin=0)
        what_if.param.watch(later(self._show), ["members", "looks"])
        self.apply(theme.palette(False))
        self._show()

    def _show(self) -> None:
        members = self.what_if.members
        self.words.object = f"<div>{agreement(members)}</div>" if members else '<div class="quiet">No answer yet.</div>'
        self.table.object = members_html(members, self.what_if.looks)

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        self.table.stylesheets = [theme.TEXT_CSS, _css(palette)]


def _css(palette: theme.Palette) -> str:
    return f"""
:host {{ font-size: {theme.SMALL}; }}
table {{ border-collapse: collapse; width: 100%; table-layout: fixed; }}
th {{ text-align: left; font-weight: 400; opacity: .75; }}
th, td {{ padding: 0 6px 0 0; line-height: 17px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }}
th:nth-child(1) {{ width: 23px; }}
th:nth-child(2) {{ width: 94px; }}
th:nth-child(3) {{ width: 34px; }}
th:nth-child(4) {{ width: 52px; }}
th:nth-child(6) {{ width: 86px; }}
tr + tr {{ border-top: 1px solid {palette.hairline}; }}
svg {{ display: block; width: 100%; height: 15px; fill: {palette.accent}; }}
.apart {{ color: {palette.rival}; font-weight: 600; }}
"""
