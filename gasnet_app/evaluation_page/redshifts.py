"""Figures of the redshifts: z-z, bias, t, sigma_z, robust and unstable (paper Figs 13-18, 21, 23, E1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from bokeh.layouts import column
from bokeh.models import CustomJSTickFormatter, Label, Model, Range1d
from bokeh.plotting import figure

from gasnet_app.evaluation_page.panels import (
    FLOOR,
    SNR_COLOURS,
    Cloud,
    Document,
    class_colours,
    hover,
    legend,
    level,
    panel_groups,
    plot,
    points,
    share,
    size_for,
)
from gasnet_app.theme import LIGHT

SHORT = "return tick && Math.abs(tick) < 0.01 ? tick.toExponential(0) : String(Number(tick.toPrecision(2)))"
T_SPAN = (1e-2, 1e3)


def redshifts(document: Document, point: bool = False) -> list[Model]:
    """z-z of every group under its binned residuals: of the members' mean, or of one member's point estimates."""
    cloud, colours = Cloud(document), class_colours(document)
    return [_redshift(group, cloud, colours[group["name"]], point) for group in panel_groups(document)]


def _redshift(group: Mapping[str, Any], cloud: Cloud, colour: str, point: bool) -> Model:
    mask, bins = cloud.of(group), group["bins"]
    headline = group["point" if point else "mean"]
    title = f"{group['name']}   n {group['n']}"
    quality = f"MAE {headline['mae']:.2g}\nΔz {headline['dz']:.2g}\nGF {headline['good']:.3f}"
    low, high = float(cloud.columns["z"][mask].min()), float(cloud.columns["z"][mask].max())
    pad = 0.03 * (high - low) + 1e-3
    span = Range1d(low - pad, high + pad)
    top = plot(title, "", "z′ − z", height=110, x_range=span)
    x = np.array([0.5 * (b["low"] + b["high"]) for b in bins])
    y, error = (
        np.array([b[key] for b in bins], dtype=float)
        for key in (("point_residual", "point_mae") if point else ("residual", "sigma"))
    )
    level(top, 0, dash="solid")
    top.segment(x, y - error, x, y + error, color=colour)
    top.scatter(x, y, color=colour, size=5)
    top.xaxis.visible = False
    top.yaxis.ticker.desired_num_ticks, top.yaxis.ticker.num_minor_ticks = 3, 0
    top.yaxis.formatter = CustomJSTickFormatter(code=SHORT)
    z_pred = cloud.columns["z_point" if point else "z_pred"].astype(float)
    zerr = cloud.columns["zerr"].astype(float)
    source = cloud.source(mask, y=z_pred, below=z_pred - zerr, above=z_pred + zerr)
    p = plot("", "true z", "z′", height=260, x_range=span)
    p.line([low, high], [low, high], color=LIGHT.quiet, line_width=1)
    if not point:
        p.segment("z", "below", "z", "above", source=source, color=colour, alpha=0.35)
    hover(p, [p.scatter("z", "y", source=source, color=colour, size=size_for(group["n"]), alpha=0.6)])
    p.add_layout(Label(x=10, y=190, x_units="screen", y_units="screen", text=quality, text_baseline="top",
                       text_font="system-ui", text_font_size="11px", text_color=LIGHT.ink))  # fmt: skip
    for panel in (top, p):
        panel.min_border_left = 70
    return column(top, p, sizing_mode="stretch_width", spacing=0)


def bias_by_snr(document: Document) -> list[Model]:
    """Bias against z in three groups of SNR, with the good fraction of each."""
    cloud = Cloud(document)
    return [_bias_by_snr(group, cloud) for group in panel_groups(document)]


def _log_panel(
    group: Mapping[str, Any], x: str, y: str, span: tuple[float, float] = (FLOOR / 2, 3.0), **options: Any
) -> figure:
    """A panel of one group; all groups have one range, so that they compare."""
    return plot(
        f"{group['name']}   n {group['n']}", x, y, height=300, y_axis_type="log", y_range=Range1d(*span), **options
    )


def _bias_by_snr(group: Mapping[str, Any], cloud: Cloud) -> Model:
    p, mask, snr = _log_panel(group, "true z", "bias"), cloud.of(group), cloud.columns["snr"]
    items, bias = [], np.maximum(cloud.columns["bias"], FLOOR)
    for part, colour in zip(group["by_snr"], SNR_COLOURS, strict=True):
        high = math.inf if part["high"] is None else part["high"]
        words = f"SNR ≥ {part['low']:g}" if part["high"] is None else f"SNR {part['low']:g}–{high:g}"
        source = cloud.source(mask & (snr >= part["low"]) & (snr < high), y=bias)
        glyph = p.scatter("z", "y", source=source, color=colour, size=size_for(group["n"]), alpha=0.7)
        items.append((f"{words}: GF {share(part['good'])} (n {part['n']})", [glyph]))
    hover(p, [glyph for _, glyphs in items for glyph in glyphs])
    level(p, group["window"])
    legend(p, items)
    return p


def t_values(document: Document) -> list[Model]:
    """t = |z' - z| / sigma_z against z, and the fraction up to 3."""
    cloud, colours, made = Cloud(document), class_colours(document), []
    for group in panel_groups(document):
        p, mask = _log_panel(group, "true z", "t", T_SPAN), cloud.of(group)
        source = cloud.source(mask & np.isfinite(cloud.columns["t"]), y=np.clip(cloud.columns["t"], *T_SPAN))
        glyph = p.scatter("z", "y", source=source, color=colours[group["name"]], size=size_for(group["n"]), alpha=0.6)
        hover(p, [glyph])
        level(p, 3)
        legend(p, [(f"t ≤ 3: {share(group['within_t'])}", [glyph])])
        made.append(p)
    return made


def sigma_by_snr(document: Document) -> list[Model]:
    """|z' - z| against SNR with the median sigma_z and the median error."""
    cloud, colours, made = Cloud(document), class_colours(document), []
    for group in panel_groups(document):
        p, mask = _log_panel(group, "median SNR per pixel", "|z′ − z|", x_axis_type="log"), cloud.of(group)
        source = cloud.source(mask & (cloud.columns["snr"] > 0), y=np.maximum(np.abs(cloud.columns["error"]), FLOOR))
        glyph = p.scatter(
            "snr", "y", source=source, color=colours[group["name"]], size=size_for(group["n"]), alpha=0.45
        )
        hover(p, [glyph])
        bins = group["sigma_by_snr"]
        x = [math.sqrt(b["low"] * b["high"]) for b in bins]
        sigma = p.line(x, [max(b["sigma"], FLOOR) for b in bins], color=LIGHT.ink, line_dash="dashed", line_width=2)
        error = p.line(x, [max(b["error"], FLOOR) for b in bins], color=LIGHT.danger, line_width=1.5)
        legend(p, [("median σz", [sigma]), ("median |z′ − z|", [error])], columns=2)
        made.append(p)
    return made


def robust(document: Document) -> list[Model]:
    """Bias against z of what the paper's rule calls robust and unstable."""
    cloud, made = Cloud(document), []
    for group in panel_groups(document):
        p, mask, told = _log_panel(group, "true z", "bias"), cloud.of(group), group["robust"]
        items, bias = [], np.maximum(cloud.columns["bias"], FLOOR)
        for name, colour, here in (
            ("robust", LIGHT.accent, cloud.columns["robust"]), ("unstable", LIGHT.danger, ~cloud.columns["robust"]),
        ):  # fmt: skip
            glyph = p.scatter(
                "z", "y", source=cloud.source(mask & here, y=bias), color=colour, size=size_for(group["n"]), alpha=0.6
            )
            items.append((f"{name}: GF {share(told[f'good_{name}'])} (n {told[name]})", [glyph]))
        hover(p, [glyph for _, glyphs in items for glyph in glyphs])
        level(p, group["window"])
        level(p, group["limit"], dash="dotted")
        legend(p, items)
        made.append(p)
    return made


def velocity_dispersion(document: Document) -> list[Model]:
    """sigma_z, and accuracy, against the velocity dispersion of galaxies."""
    colours, lines = class_colours(document), document["figures"]["velocity_dispersion"]
    if not lines:
        return []
    sigma = plot("", "velocity dispersion, km/s", "median σz", height=320, y_axis_type="log")
    accuracy = plot("", "velocity dispersion, km/s", "accuracy", height=320, y_range=Range1d(0, 1.03))
    cloud, drawn, items = Cloud(document), [], []
    vdisp = cloud.columns["vdisp"]
    for line in lines:
        colour = colours[line["name"]]
        mask = (cloud.columns["label"] == cloud.names.index(line["name"])) & (vdisp > 0) & (vdisp < 450)
        source = cloud.source(mask, y=np.maximum(cloud.columns["zerr"], FLOOR))
        cloudy = sigma.scatter("vdisp", "y", source=source, color=colour, size=3, alpha=0.3)
        x = [0.5 * (b["low"] + b["high"]) for b in line["sigma"]]
        median = sigma.line(x, [max(b["sigma"], FLOOR) for b in line["sigma"]], color=colour, line_width=2)
        drawn.append((line["name"], [cloudy, median]))
        items.append((line["name"], points(accuracy, line["accuracy"], "accuracy", colour)))
    legend(sigma, drawn, columns=2)
    legend(accuracy, items, columns=2)
    return [sigma, accuracy]
