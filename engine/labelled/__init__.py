"""Labelled real spectra as training data: a catalogue and a folder of spectra in, batches out (docs/own-data.md)."""

from engine.labelled.catalog import KINDS, CatalogError, Entry, read_catalog
from engine.labelled.pairing import gather
from engine.labelled.source import InTurn, LabelledSource, Source, check_numbers
from engine.labelled.store import LabelledSet, open_set, split_of

__all__ = [
    "KINDS",
    "CatalogError",
    "Entry",
    "InTurn",
    "LabelledSet",
    "LabelledSource",
    "Source",
    "check_numbers",
    "gather",
    "open_set",
    "read_catalog",
    "split_of",
]
