"""Plain words out of what strangers wrote: files put anything into names, headers and so into errors."""

from __future__ import annotations

MOST = 1000  # characters of an error; a damaged header read as one line of text has many more


def plain(text: str, most: int = MOST) -> str:
    """Text on one line that no terminal obeys: control characters are shown as escapes, a long middle is left out."""
    shown = text if text.isprintable() else "".join(map(_shown, text))
    return shown if len(shown) <= most else f"{shown[: most // 2]} ... {shown[5 - most + most // 2 :]}"


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else character.encode("unicode_escape").decode()


class PlainError(ValueError):
    """An error whose message may hold what a file said, and is shown to people: see `plain`."""

    def __init__(self, message: str) -> None:
        super().__init__(plain(message))
