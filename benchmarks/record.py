"""Where measured numbers are kept, and what they were measured on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

RESULTS = Path(__file__).resolve().parent / "results"


def machine() -> dict[str, Any]:
    """What was measured, on what."""
    git = ["git", "-C", str(RESULTS.parent), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    return {
        "commit": commit or "unknown",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "load average at the end": round(os.getloadavg()[0], 1),
    }


def write(path: Path, report: Mapping[str, Any]) -> None:
    """Write a report as JSON, atomically: a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(part, path)


def console() -> Console:
    """The terminal; 120 columns wide where there is none."""
    return Console(width=None if sys.stdout.isatty() else 120)


def read(path: Path) -> dict[str, Any]:
    """A report written earlier. Raises ValueError naming a file that is not one."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: not a readable report: {error}") from error
