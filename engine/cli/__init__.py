"""The `gasnet` command. Each command is a thin face of one verb; what needs torch is imported when a command runs."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from engine.cli import (  # noqa: F401 - commands register here
    answers,
    bases,
    calibration,
    finding,
    inspecting,
    measures,
    mocks,
    serving,
    sharing,
    shelf,
    training,
)
from engine.cli.terminal import app, say


def _fail(message: str) -> NoReturn:
    say(message)
    sys.exit(1)


def main() -> None:
    """Run the command line. Errors end in one line on stderr and exit code 1 (2 for wrong usage), never a traceback.

    GASNET_DEBUG=1 shows the traceback of an error nobody foresaw.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads leave the cores to others; read by torch
    try:
        app()
    except (ValueError, OSError) as error:  # SpectrumError, SurveyError, ModelError, CatalogueError are ValueErrors
        if os.environ.get("GASNET_DEBUG"):
            raise
        _fail(str(error))
    except Exception as error:
        if os.environ.get("GASNET_DEBUG"):
            raise
        _fail(f"internal error, {type(error).__name__}: {error}. GASNET_DEBUG=1 shows where; please report it")
