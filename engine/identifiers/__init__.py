"""Identifiers: what astronomers type to name a spectrum, and which spectrum that is. Pure: no file, no network."""

from __future__ import annotations

from engine.identifiers.grammar import parse
from engine.identifiers.numbers import from_specobjid
from engine.identifiers.refs import (
    FORMS,
    WORKS,
    DesiRef,
    FourmostRef,
    IdentifierError,
    PathRef,
    Ref,
    SdssRef,
    SdssVRef,
    specobjid,
)

__all__ = [
    "FORMS",
    "DesiRef",
    "FourmostRef",
    "IdentifierError",
    "PathRef",
    "Ref",
    "SdssRef",
    "SdssVRef",
    "from_specobjid",
    "resolve",
    "specobjid",
]

MOST_IDS, MOST_TEXT = 10_000, 1_000_000


def resolve(text: str) -> tuple[Ref, ...]:
    """Every spectrum that a text names, in order, each once.

    text : one ID, or a list parted by newlines, commas, semicolons, spaces or tabs. A path with spaces goes in
        quotes

    Raises IdentifierError, and nothing else, for what is malformed (naming the forms that work) or ambiguous (naming
    both meanings).
    """
    if len(text) > MOST_TEXT:
        raise IdentifierError(f"{len(text):,} characters; at most {MOST_TEXT:,} are read. Give the list in parts")
    found, wrong = parse(text)
    if wrong:
        raise _refusal(wrong, len(found) + len(wrong))
    if not found:
        raise IdentifierError(f"no ID was given. {WORKS}")
    if len(found) > MOST_IDS:
        raise IdentifierError(f"{len(found):,} IDs; at most {MOST_IDS:,} at a time. Give the list in parts")
    return tuple(dict.fromkeys(found))


def _refusal(wrong: list[IdentifierError], n: int) -> IdentifierError:
    head = f"{len(wrong)} of {n} are no IDs: " if n > 1 else ""
    more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
    listed = "; ".join(str(error) for error in wrong[:3])
    choices = wrong[0].choices if n == 1 else ()
    return IdentifierError(f"{head}{listed}{more}. {WORKS}", choices)
