"""evaluate: measure an ensemble on spectra whose truth is known. See docs/evaluation.md."""

from engine.evaluate.confusions import Confusion, Pair, confusions, mistaken, pairs
from engine.evaluate.labels import LABELS, MOCK, POOLED, SUSPECTS, Labelled, distrust, labelled, pick, true_class
from engine.evaluate.validation import Bin, Case, Quality, Report, judge, redshift_bins, summary, validate

__all__ = [
    "LABELS",
    "MOCK",
    "POOLED",
    "SUSPECTS",
    "Bin",
    "Case",
    "Confusion",
    "Labelled",
    "Pair",
    "Quality",
    "Report",
    "confusions",
    "distrust",
    "judge",
    "labelled",
    "mistaken",
    "pairs",
    "pick",
    "redshift_bins",
    "summary",
    "true_class",
    "validate",
]
