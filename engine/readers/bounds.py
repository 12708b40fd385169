"""Bounds on text tables, held before astropy's parsers see them: they trust that a file means well."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import takewhile
from typing import Any

from engine.readers.source import Source
from engine.spectrum import SpectrumError

MAX_YAML = 200_000  # bytes; headers of a hundred columns have about 10,000


def check_text(source: Source) -> None:
    """Raises SpectrumError for text that astropy would need minutes or gigabytes for: a long header, as its parser of
    YAML is slow, or one long line among many short ones, as every cell of a column gets the room of the longest.
    """
    lines = source.text.split("\n")
    header = sum(len(line) for line in takewhile(lambda line: line.startswith("#"), lines))
    if header > MAX_YAML:
        raise SpectrumError(
            f"{source.name}: {header:,} bytes of header; at most {MAX_YAML:,} are read. Shorten its meta"
        )
    names = next((len(line) for line in lines if line and not line.startswith("#")), 0)
    if names > MAX_YAML:
        raise SpectrumError(f"{source.name}: {names:,} characters of column names; at most {MAX_YAML:,} are read")
    longest = max(map(len, lines))
    if longest * len(lines) > 2**25 + 4 * len(source.text):
        raise SpectrumError(
            f"{source.name}: one of its {len(lines):,} lines has {longest:,} characters. Check the file"
        )


def scalars(meta: Mapping[Any, Any]) -> dict[str, Any]:
    """The plain values of an ECSV file's meta: a nest of YAML aliases grows without bound once it is printed."""
    return {str(key): value for key, value in meta.items() if isinstance(value, str | int | float)}
