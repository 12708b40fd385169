"""Silence for third-party parsers that warn of files which read well; what fails raises, and is reported."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOCK = threading.RLock()  # warnings.catch_warnings changes the whole process, so one thread at a time


@contextmanager
def quietly() -> Iterator[None]:
    """No warning leaves this block. Used only where astropy's or specutils' own parsers run."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
