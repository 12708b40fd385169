"""GaSNet Explorer: what every spectrum of a sky survey is, at what redshift, how sure, and why.

This is the engine's front door; names that need torch are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.prediction import Prediction, ZWarn
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import Survey, SurveyError, assets_dir, load_survey, survey_names

if TYPE_CHECKING:
    from engine.ensemble import Ensemble, load_ensemble
    from engine.lines import Line, load_lines
    from engine.readers import read
    from engine.registry import ModelError, model_names
    from engine.gradients import Saliency, saliency

_LAZY = {
    "Ensemble": "engine.ensemble",
    "load_ensemble": "engine.ensemble",
    "Line": "engine.lines",
    "load_lines": "engine.lines",
    "read": "engine.readers",
    "ModelError": "engine.registry",
    "model_names": "engine.registry",
    "Saliency": "engine.gradients",
    "saliency": "engine.gradients",
}

__all__ = [
    "Ensemble",
    "Label",
    "Line",
    "ModelError",
    "Prediction",
    "Saliency",
    "Spectrum",
    "SpectrumError",
    "Survey",
    "SurveyError",
    "ZWarn",
    "assets_dir",
    "load_ensemble",
    "load_lines",
    "load_survey",
    "model_names",
    "read",
    "saliency",
    "survey_names",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
