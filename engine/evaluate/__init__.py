"""evaluate: measure an ensemble on spectra whose truth is known. See docs/evaluation.md."""

from engine.evaluate.before_after import compare, compared
from engine.evaluate.comparison import (
    COMPARED,
    MEAN,
    Change,
    Comparison,
    ComparisonError,
    Line,
    Sample,
    Turned,
    read_comparison,
    side_by_side,
    write_comparison,
)
from engine.evaluate.confusions import Confusion, Pair, confusions, mistaken, pairs
from engine.evaluate.document import document, write_json
from engine.evaluate.labels import LABELS, MOCK, POOLED, SUSPECTS, Labelled, distrust, labelled, pick, true_class
from engine.evaluate.measure import Evaluation, measure, mocks, of_group
from engine.evaluate.objects import Objects, collect
from engine.evaluate.tables import Number, Row, mean_over_classes, quality
from engine.evaluate.validation import Bin, Case, Quality, Report, judge, redshift_bins, summary, validate

__all__ = [
    "COMPARED",
    "LABELS",
    "MEAN",
    "MOCK",
    "POOLED",
    "SUSPECTS",
    "Bin",
    "Case",
    "Change",
    "Comparison",
    "ComparisonError",
    "Confusion",
    "Evaluation",
    "Labelled",
    "Line",
    "Number",
    "Objects",
    "Pair",
    "Quality",
    "Report",
    "Row",
    "Sample",
    "Turned",
    "collect",
    "compare",
    "compared",
    "confusions",
    "distrust",
    "document",
    "judge",
    "labelled",
    "mean_over_classes",
    "measure",
    "mistaken",
    "mocks",
    "of_group",
    "pairs",
    "pick",
    "quality",
    "read_comparison",
    "redshift_bins",
    "side_by_side",
    "summary",
    "true_class",
    "validate",
    "write_comparison",
    "write_json",
]
