"""What is laid over the spectrum, each layer in the plot and in the closer look, with a button where it can be hidden:
the template fit, the single cameras, the sky's lines and bands, and the regions that a what-if answer does without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bokeh.core.properties import value
from bokeh.events import SelectionGeometry
from bokeh.models import BoxSelectTool, ColumnDataSource, CustomJS, GlyphRenderer, HoverTool, Toggle
from bokeh.plotting import figure

from engine import CrossCheck, SkyFeature, Spectrum
from gasnet_app import theme
from gasnet_app.spectrum.columns import NOTHING, arm_columns, model_columns

NARROWEST = 1.0  # A of a brushed region: less is a slip of the hand


def _toggle(label: str, width: int, renderers: Sequence[GlyphRenderer]) -> Toggle:
    """A button that hides renderers, in the browser alone."""
    button = Toggle(label=label, active=True, width=width, margin=(4, 4), name=label, stylesheets=[theme.CONTROL_CSS])
    hide = "for (const one of drawn) one.visible = cb_obj.active"
    button.js_on_change("active", CustomJS(args={"drawn": list(renderers)}, code=hide))
    return button


class Overlay:
    """The model of the template fit."""

    def __init__(self, plots: Sequence[figure]) -> None:
        self.source = ColumnDataSource({"wave": NOTHING, "flux": NOTHING}, name="model")
        self.drawn = [plot.line("wave", "flux", source=self.source, line_width=1.3, line_alpha=0.9) for plot in plots]
        self.button = _toggle("model", 58, self.drawn)

    def show(self, spectrum: Spectrum | None, check: CrossCheck | None) -> None:
        """Draw the model of a fit, or nothing."""
        known = spectrum is not None and check is not None and check.fit.model.size == spectrum.wave.size
        empty = {"wave": NOTHING, "flux": NOTHING}
        self.source.data = model_columns(spectrum, check) if known and spectrum and check else empty

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for line in self.drawn:
            line.glyph.line_color = palette.rival


class Arms:
    """The single cameras, faint behind the spectrum that was made of them; the button is there when they are."""

    def __init__(self, plots: Sequence[figure]) -> None:
        self.source = ColumnDataSource({"wave": NOTHING, "flux": NOTHING}, name="arms")
        self.drawn = [
            plot.step("wave", "flux", source=self.source, mode="center", line_alpha=0.45, line_width=1)
            for plot in plots
        ]  # fmt: skip
        self.button = _toggle("arms", 52, self.drawn)
        self.button.visible = False

    def show(self, spectrum: Spectrum | None, width: int) -> None:
        """Draw the cameras of a spectrum under the kernel of the spectrum, or nothing where there is one alone."""
        self.source.data = {"wave": NOTHING, "flux": NOTHING} if spectrum is None else arm_columns(spectrum, width)
        self.button.visible = spectrum is not None and len(spectrum.arms) > 1
        self.button.label = "+".join(arm.name for arm in spectrum.arms) if spectrum and self.button.visible else "arms"

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for step in self.drawn:
            step.glyph.line_color = palette.accent


class Sky:
    """Night-sky lines and telluric bands, faint and named, at their own wavelengths whatever z is."""

    def __init__(self, plots: Sequence[figure], features: Sequence[SkyFeature]) -> None:
        bands, lines = ([f for f in features if (f.low < f.high) is wide] for wide in (True, False))
        self.bands = ColumnDataSource(
            {"low": [f.low for f in bands], "high": [f.high for f in bands], "name": [f.label for f in bands]},
            name="telluric",
        )
        self.lines = ColumnDataSource({"wave": [f.low for f in lines], "name": [f.label for f in lines]}, name="sky")
        named = sorted(features, key=lambda f: f.low + f.high)
        self.names = ColumnDataSource(
            {"wave": [0.5 * (f.low + f.high) for f in named], "name": [f.label for f in named],
             "label": ["" for _ in named]}, name="sky names",
        )  # fmt: skip
        self.strips = [plot.vstrip("low", "high", source=self.bands, line_width=0, fill_alpha=0.13) for plot in plots]
        self.spans = [plot.vspan("wave", source=self.lines, line_dash="dotted", line_alpha=0.6) for plot in plots]
        self.texts = [
            plot.text("wave", 0.84, field, source=self.names, y_range_name="height", angle=1.5708, text_align="right",
                      text_baseline="middle", text_font_size=theme.SMALL, text_font=value(theme.FONT), text_alpha=0.75)
            for plot, field in zip(plots, ("label", "name"), strict=False)
        ]  # fmt: skip
        for plot, strip, span in zip(plots, self.strips, self.spans, strict=True):
            plot.add_tools(
                HoverTool(renderers=[strip, span], attachment="below", visible=False, tooltips=theme.tip("@name (sky)"))
            )
        self.button = _toggle("sky", 44, [*self.strips, *self.spans, *self.texts])

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for strip, span, text in zip(self.strips, self.spans, self.texts, strict=True):
            strip.glyph.fill_color = span.glyph.line_color = palette.band
            text.glyph.text_color = palette.quiet


class Hidden:
    """Regions that a what-if answer does without, hatched, and the brush that chooses them in the plot."""

    def __init__(self, plots: Sequence[figure], choose: Callable[[tuple[float, float]], None]) -> None:
        self.source = ColumnDataSource({"low": [], "high": []}, name="hidden")
        self.drawn = [
            plot.vstrip("low", "high", source=self.source, line_width=0, fill_alpha=0.18, hatch_pattern="/",
                        hatch_alpha=0.35, hatch_scale=8, level="underlay") for plot in plots
        ]  # fmt: skip
        self.brush = BoxSelectTool(dimensions="width", renderers=[], name="brush",
                                   description="Hide a region: the page Why answers without it")  # fmt: skip
        plots[0].add_tools(self.brush)
        self._choose = choose
        plots[0].on_event(SelectionGeometry, self._brushed)

    def _brushed(self, event: SelectionGeometry) -> None:
        """A region was dragged over; it counts at the end of the drag only."""
        ends = sorted(float(event.geometry[end]) for end in ("x0", "x1"))
        low, high = round(ends[0], 1), round(ends[1], 1)
        if event.final and high - low >= NARROWEST:
            self._choose((low, high))

    def show(self, regions: Sequence[tuple[float, float]]) -> None:
        """Draw these regions (low, high), A."""
        self.source.data = {"low": [low for low, _ in regions], "high": [high for _, high in regions]}

    def apply(self, palette: theme.Palette) -> None:
        """Draw in another theme's colours."""
        for strip in self.drawn:
            strip.glyph.fill_color = strip.glyph.hatch_color = palette.quiet
