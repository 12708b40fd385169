"""GaSNet Explorer: what every spectrum of a sky survey is, at what redshift, how sure, and why.

This is the engine's front door; names that need torch are loaded when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from engine.prediction import C_KMS, Prediction, ZWarn
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import Survey, SurveyError, assets_dir, load_survey, survey_names

if TYPE_CHECKING:
    from engine.archive import Ambiguous, ArchiveError, fetch
    from engine.calibration.scores import coverage
    from engine.card import Section, card_sections
    from engine.catalogue import CatalogueError, write_catalogue
    from engine.ensemble import Ensemble, load_ensemble
    from engine.evaluate import COMPARED, MEAN, Comparison, ComparisonError, Sample, Turned, compare, read_comparison
    from engine.exemplars import Exemplars, load_exemplars
    from engine.explain import Solution, confusion, pull, same_z, solutions, standing, strongest, why
    from engine.fingerprint import Neighbour, neighbours
    from engine.gradients import Saliency, mean_saliency, member_saliency, saliency
    from engine.identifiers import FORMS, IdentifierError, Ref, resolve
    from engine.lines import Line, SkyFeature, load_lines, load_sky
    from engine.members import MemberAnswer, agreement, member_answers
    from engine.naming import Naming, feature_at, namings
    from engine.population import Population, looks_like_catalogue, read_population
    from engine.readers import read
    from engine.registry import ModelError, model_names
    from engine.templatefit import CrossCheck, Fit, crosscheck
    from engine.versions import current_model, served_surveys
    from engine.whatif import Rung, changed, degrade, flips, noise_ladder, occlude, rungs

_LAZY = {
    "COMPARED": "engine.evaluate",
    "MEAN": "engine.evaluate",
    "Comparison": "engine.evaluate",
    "Sample": "engine.evaluate",
    "Turned": "engine.evaluate",
    "ComparisonError": "engine.evaluate",
    "compare": "engine.evaluate",
    "read_comparison": "engine.evaluate",
    "Exemplars": "engine.exemplars",
    "load_exemplars": "engine.exemplars",
    "Solution": "engine.explain",
    "solutions": "engine.explain",
    "Neighbour": "engine.fingerprint",
    "neighbours": "engine.fingerprint",
    "mean_saliency": "engine.gradients",
    "member_saliency": "engine.gradients",
    "SkyFeature": "engine.lines",
    "load_sky": "engine.lines",
    "MemberAnswer": "engine.members",
    "agreement": "engine.members",
    "member_answers": "engine.members",
    "Naming": "engine.naming",
    "feature_at": "engine.naming",
    "namings": "engine.naming",
    "Rung": "engine.whatif",
    "changed": "engine.whatif",
    "rungs": "engine.whatif",
    "degrade": "engine.whatif",
    "flips": "engine.whatif",
    "noise_ladder": "engine.whatif",
    "occlude": "engine.whatif",
    "Ambiguous": "engine.archive",
    "ArchiveError": "engine.archive",
    "fetch": "engine.archive",
    "FORMS": "engine.identifiers",
    "IdentifierError": "engine.identifiers",
    "Ref": "engine.identifiers",
    "resolve": "engine.identifiers",
    "CatalogueError": "engine.catalogue",
    "write_catalogue": "engine.catalogue",
    "Population": "engine.population",
    "coverage": "engine.calibration.scores",
    "looks_like_catalogue": "engine.population",
    "read_population": "engine.population",
    "CrossCheck": "engine.templatefit",
    "Fit": "engine.templatefit",
    "crosscheck": "engine.templatefit",
    "Section": "engine.card",
    "card_sections": "engine.card",
    "Ensemble": "engine.ensemble",
    "load_ensemble": "engine.ensemble",
    "Line": "engine.lines",
    "load_lines": "engine.lines",
    "read": "engine.readers",
    "ModelError": "engine.registry",
    "model_names": "engine.registry",
    "current_model": "engine.versions",
    "served_surveys": "engine.versions",
    "Saliency": "engine.gradients",
    "confusion": "engine.explain",
    "pull": "engine.explain",
    "same_z": "engine.explain",
    "standing": "engine.explain",
    "strongest": "engine.explain",
    "why": "engine.explain",
    "saliency": "engine.gradients",
}

__all__ = [
    "COMPARED",
    "C_KMS",
    "FORMS",
    "MEAN",
    "Ambiguous",
    "ArchiveError",
    "CatalogueError",
    "Comparison",
    "ComparisonError",
    "CrossCheck",
    "Ensemble",
    "Exemplars",
    "Fit",
    "IdentifierError",
    "Label",
    "Line",
    "MemberAnswer",
    "ModelError",
    "Naming",
    "Neighbour",
    "Population",
    "Prediction",
    "Ref",
    "Rung",
    "Saliency",
    "Sample",
    "Section",
    "SkyFeature",
    "Solution",
    "Spectrum",
    "SpectrumError",
    "Survey",
    "SurveyError",
    "Turned",
    "ZWarn",
    "agreement",
    "assets_dir",
    "card_sections",
    "changed",
    "compare",
    "confusion",
    "coverage",
    "crosscheck",
    "current_model",
    "degrade",
    "feature_at",
    "fetch",
    "flips",
    "load_ensemble",
    "load_exemplars",
    "load_lines",
    "load_sky",
    "load_survey",
    "looks_like_catalogue",
    "mean_saliency",
    "member_answers",
    "member_saliency",
    "model_names",
    "namings",
    "neighbours",
    "noise_ladder",
    "occlude",
    "pull",
    "read",
    "read_comparison",
    "read_population",
    "resolve",
    "rungs",
    "saliency",
    "same_z",
    "served_surveys",
    "solutions",
    "standing",
    "strongest",
    "survey_names",
    "why",
    "write_catalogue",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)
