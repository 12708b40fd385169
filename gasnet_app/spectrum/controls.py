"""The controls under the spectrum: z, lines and smoothing in one row; what is looked at now and then in another."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bokeh.layouts import row
from bokeh.models import (
    Button,
    CustomJS,
    NumericInput,
    RadioButtonGroup,
    Select,
    Slider,
    TextInput,
    Toggle,
    UIElement,
)

from gasnet_app import theme
from gasnet_app.state import SMOOTHING, Explorer

STEPS = ("1e-3", "1e-4", "1e-5")
LOWEST_Z, HIGHEST_Z = -0.01, 20.0  # of a typed redshift; the slider ends where the classes do
LINE_SETS = [("major", "major lines"), ("all", "all lines"), ("none", "no lines")]
ROW = 36  # pixels


class Controls:
    """Widgets that act in the browser where they can. Python hears of z when the slider is let go."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        reach = math.log1p(self.farthest())
        self.slider = Slider(start=math.log1p(LOWEST_Z), end=reach, step=1e-5, value=0.0, show_value=False, title=None,
                             sizing_mode="stretch_width", min_width=60, name="z slider", margin=(10, 12))  # fmt: skip
        self.typed = NumericInput(value=None, mode="float", low=LOWEST_Z, high=HIGHEST_Z, placeholder="z", width=80,
                                  name="typed z", format="0.000000", margin=(4, 4, 4, 8))  # fmt: skip
        self.back = Button(label="−", width=28, margin=(4, 2))
        self.forth = Button(label="+", width=28, margin=(4, 2))
        self.step = RadioButtonGroup(labels=list(STEPS), active=1, margin=(4, 4), name="step")
        self.line_choice = Select(options=LINE_SETS, value="major", width=96, margin=(4, 4))
        kernels = [("1", "no smoothing")] + [(str(n), f"box {n} px") for n in SMOOTHING[1:]]
        self.kernel_choice = Select(options=kernels, value="1", width=104, margin=(4, 4))
        self.more = Toggle(label="more", active=False, width=52, margin=(4, 4), name="more")
        self.own = TextInput(placeholder="own lines: CN 3883, 4182 (rest, vacuum Å)", sizing_mode="stretch_width",
                             min_width=110, max_width=280, margin=(4, 4, 4, 8), name="own lines")  # fmt: skip
        for widget in (self.typed, self.back, self.forth, self.step, self.slider, self.line_choice, self.kernel_choice,
                       self.more, self.own):  # fmt: skip
            widget.stylesheets = [theme.CONTROL_CSS]
        self._wire()

    def rows(self, *extras: UIElement) -> tuple[UIElement, UIElement]:
        """The row that is always there, and the one that the button `more` opens: own lines and the extras."""
        first = (self.typed, self.back, self.forth, self.step, self.slider, self.line_choice, self.kernel_choice)
        wrapped = {"flex-wrap": "wrap"}  # on a narrow screen
        always = row(*first, self.more, sizing_mode="stretch_width", styles=wrapped)
        folded = row(self.own, *extras, sizing_mode="stretch_width", styles=wrapped, visible=False, name="folded")
        self.more.js_on_change("active", CustomJS(args={"folded": folded}, code="folded.visible = cb_obj.active"))
        return always, folded

    def farthest(self) -> float:
        """The largest redshift of the survey's classes."""
        return max(c.z_range[1] for c in self.explorer.worker.survey.classes if c.z_range)

    def reach(self) -> None:
        """End the slider where the classes end, or at the z shown if that lies farther."""
        self.slider.end = math.log1p(max(self.farthest(), self.explorer.z or 0.0))

    def follow(self, place: CustomJS, on_z: Callable[[float], None], on_own: Callable[[str], None]) -> None:
        """Move the lines by `place` while the slider moves; tell Python of z when it is let go, and of own lines."""
        self.slider.js_on_change("value", place)
        self.slider.on_change("value_throttled", lambda _attr, _old, new: on_z(round(math.expm1(new), 9)))
        self.own.on_change("value", lambda _attr, _old, new: on_own(new))

    def _wire(self) -> None:
        commit = "slider.value_throttled = slider.value"  # Python hears of it
        into_slider = f"""
            const z = cb_obj.value
            if (z == null || Math.abs(z - Math.expm1(slider.value)) < 5e-7) return
            const at = Math.log1p(z)
            if (at > slider.end) slider.end = at  // beyond the classes: the reader's business
            slider.value = at; {commit}"""
        self.typed.js_on_change("value", CustomJS(args={"slider": self.slider}, code=into_slider))
        for button, sign in ((self.back, -1), (self.forth, 1)):
            button.js_on_click(CustomJS(args={"slider": self.slider, "step": self.step}, name=f"nudge {sign}", code=f"""
                const z = Math.expm1(slider.value) + {sign} * Number(step.labels[step.active])
                slider.value = Math.min(Math.max(Math.log1p(z), slider.start), slider.end); {commit}"""))  # fmt: skip
        update = self.explorer.param.update
        self.line_choice.on_change("value", lambda _a, _o, new: update(lines=new))
        self.kernel_choice.on_change("value", lambda _a, _o, new: update(smoothing=int(new)))

    def show(self) -> None:
        """Show what the session holds, after a key or an address changed it."""
        values: Sequence[tuple[Any, str]] = (
            (self.line_choice, self.explorer.lines), (self.kernel_choice, str(self.explorer.smoothing)),
        )  # fmt: skip
        for widget, chosen in values:
            if widget.value != chosen:
                widget.value = chosen
