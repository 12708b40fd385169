"""The form of a training run, generated from TrainConfig: a line for each setting, with its bounds and its help."""

from __future__ import annotations

import json
import os
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import panel as pn
import panel_material_ui as pmui

from engine import current_model, load_survey, model_names, survey_names
from engine.jobs import NETWORKS, TrainConfig
from gasnet_app import theme

LABEL, INPUT = 84, 132
FROM_NOTHING = "nothing"
MANY = 1_000_000  # a bound above this is no help
# What most runs set, in this order; the rest is below a line.
FIRST = (
    "survey", "network", "start_from", "members", "spectra", "minutes", "rate_scale", "device", "processes",
    "templates", "own_data.spectra", "own_data.catalog", "own_data.mix",
)  # fmt: skip
CSS = f"""
.setting {{ font-size: {theme.SMALL}; line-height: 26px; }}
.help {{ font-size: 10px; line-height: 13px; opacity: .7; max-height: 26px; overflow: hidden; }}
"""
# Bokeh leaves room above a field for a label, which stands beside it here.
INPUT_CSS = (
    theme.CONTROL_CSS
    + ".bk-input-group { padding-top: 0 !important; } select.bk-input { padding: 0 20px 0 6px !important; }"
)


class Setting:
    """One field: its widget, and how its value is read."""

    def __init__(self, name: str, kind: Any, known: Any, choices: Mapping[str, Any] | None) -> None:
        self.name, self.kind, self.optional = name, *_bare(kind)
        self.low, self.high = known.metadata.get("low"), known.metadata.get("high")
        default = known.default
        css: dict[str, Any] = {"stylesheets": [INPUT_CSS], "width": INPUT, "height": 26, "margin": (2, 0),
                               "css_classes": ["setting-" + name.replace(".", "-").replace("_", "-")]}  # fmt: skip
        if choices is not None:
            value = default if default in choices.values() else next(iter(choices.values()))
            self.widget: Any = pn.widgets.Select(options=dict(choices), value=value, **css)
        elif self.kind is int:
            self.widget = pn.widgets.IntInput(value=default, start=self.low, end=self.high, **css)
        elif self.kind is float:
            self.widget = pn.widgets.FloatInput(value=default, start=self.low, end=self.high, step=0.1, **css)
        else:
            self.widget = pn.widgets.TextInput(value=default or "", **css)
        words = known.metadata.get("words", "")
        told = pn.util.escape(words + self._bounds())
        label = name.replace("own_data.", "own ").replace("_", " ")
        self.view = pn.Row(
            theme.html(f'<div class="setting line">{label}</div>', width=LABEL, sizing_mode=None, margin=(2, 4, 2, 8),
                       stylesheets=[theme.TEXT_CSS, CSS]),
            self.widget,
            theme.html(f'<div class="help" title="{told}">{told}</div>', margin=(2, 4, 2, 8), align="center",
                       styles={"min-width": "0"}, stylesheets=[theme.TEXT_CSS, CSS]),
            sizing_mode="stretch_width", margin=0,
        )  # fmt: skip

    def _bounds(self) -> str:
        if self.low is None or self.high is None:
            return ""
        return f"; {self.low:g} to {self.high:g}" if self.high < MANY else f"; at least {self.low:g}"

    def value(self) -> Any:
        """What is set, as the configuration wants it. Raises ValueError naming the setting."""
        given = self.widget.value
        if isinstance(given, str):
            given = given.strip() or None
        if given is None and not self.optional:
            raise ValueError(f"{self.name}: nothing is given")
        if given is None or self.kind in (int, float, str):
            return given
        if self.kind is bool:
            return bool(given)
        if self.kind is list:
            return [part.strip() for part in given.split(",") if part.strip()]
        try:
            return dict(json.loads(given))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.name}: no JSON object ({error})") from error


class Form:
    """A line for each setting of TrainConfig, those of its own_data among them. changed : called at every change."""

    def __init__(self, changed: Callable[[], None]) -> None:
        choices = _choices()
        self.settings: dict[str, Setting] = {}
        for name, kind, known in _all_fields(TrainConfig):
            self.settings[name] = Setting(name, kind, known, choices.get(name))
            self.settings[name].widget.param.watch(lambda *_: changed(), "value")
        if templates := os.environ.get("GASNET_TEMPLATES"):
            self.settings["templates"].widget.value = templates
        self.settings["survey"].widget.param.watch(lambda *_: self._offer(), "value")
        self._offer()
        first = [self.settings[name].view for name in FIRST if name in self.settings]
        rest = [setting.view for name, setting in self.settings.items() if name not in FIRST]
        self.rest = pn.Column(*rest, sizing_mode="stretch_width", margin=0, visible=False)
        self.more = pmui.Button(label="More settings", variant="text", size="small", margin=(2, 4),
                                css_classes=["more"], sx={"textTransform": "none"})  # fmt: skip
        self.more.on_click(self._show_more)
        self.view = pn.Column(*first, self.more, self.rest, sizing_mode="stretch_width", margin=0)

    def _show_more(self, _: Any) -> None:
        self.rest.visible = not self.rest.visible
        self.more.label = "Fewer settings" if self.rest.visible else "More settings"

    def _offer(self) -> None:
        """What a member may start from: the survey's current model first."""
        survey = self.settings["survey"].widget.value
        current, there = current_model(load_survey(survey)), model_names()
        names = [current, *(name for name in there if name != current)] if current in there else list(there)
        options = {f"{name} (current)" if name == current else name: name for name in names} | {FROM_NOTHING: None}
        self.settings["start_from"].widget.param.update(options=options, value=next(iter(options.values())))

    def config(self) -> TrainConfig:
        """What is set. Raises ValueError naming the setting that is wrong."""
        given: dict[str, Any] = {}
        nested: dict[str, dict[str, Any]] = {}
        for name, setting in self.settings.items():
            outer, _, inner = name.rpartition(".")
            (nested.setdefault(outer, {}) if outer else given)[inner] = setting.value()
        if given.get("minutes") is not None:
            given["spectra"] = None
        for outer, facts in nested.items():  # a part whose first field is empty is not asked for
            given[outer] = facts if next(iter(facts.values())) else None
        return TrainConfig.of(given)


def _all_fields(kind: Any) -> list[tuple[str, Any, Any]]:
    """(name, type, field) of a dataclass, those of its parts with a dot."""
    found: list[tuple[str, Any, Any]] = []
    hints = typing.get_type_hints(kind)
    for known in fields(kind):
        bare, _ = _bare(hints[known.name])
        if is_dataclass(bare):
            for k, (name, inner, part) in enumerate(_all_fields(bare)):
                found.append((f"{known.name}.{name}", inner if k else inner | None, part))
        else:
            found.append((known.name, hints[known.name], known))
    return found


def _bare(kind: Any) -> tuple[Any, bool]:
    """A type without None and parameters, and whether None was one of it."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        parts = typing.get_args(kind)
        inner = next(part for part in parts if part is not types.NoneType)
        return typing.get_origin(inner) or inner, types.NoneType in parts
    return typing.get_origin(kind) or kind, False


def _choices() -> dict[str, dict[str, Any]]:
    surveys = {name: name for name in survey_names()}
    return {
        "survey": surveys,
        "network": {name: name for name in NETWORKS},
        "start_from": {FROM_NOTHING: None},
        "device": {name: name for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:1")},
    }
