"""What may come in: upload names made safe, sizes held, bytes turned into spectra or into a reason in words."""

from __future__ import annotations

import io
import logging
import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine import Population, Spectrum, SpectrumError, assets_dir, looks_like_catalogue, read, read_population

log = logging.getLogger(__name__)

MAX_FILE_BYTES = 512 * 1024**2
MAX_FILE_TEXT = "512MB"
SPECTRUM_SUFFIXES = (".fits", ".fit", ".fits.gz", ".fit.gz", ".ecsv", ".csv", ".txt")


@dataclass(frozen=True)
class Upload:
    """One file as it came from the browser: the name the user knows it by and its bytes."""

    name: str
    data: bytes


def safe_name(name: str) -> str:
    """The last part of an uploaded name without control characters; never a path, never empty, at most 120 long."""
    last = unicodedata.normalize("NFC", name).replace("\\", "/").rsplit("/", 1)[-1]
    clean = "".join(c for c in last if c.isprintable() and c not in '<>:"|?*').strip(". ")
    return clean[-120:] or "unnamed"


def uploads(value: dict[str, bytes | str]) -> list[Upload]:
    """A FileDropper's value as uploads. It decodes text files to str; they are encoded back."""
    return [
        Upload(safe_name(name), data.encode() if isinstance(data, str) else bytes(data)) for name, data in value.items()
    ]


def open_upload(upload: Upload) -> list[Spectrum]:
    """The spectra of one upload. Raises SpectrumError with what is wrong and what to do, whatever the file holds."""
    if len(upload.data) > MAX_FILE_BYTES:
        raise SpectrumError(f"{upload.name}: larger than {MAX_FILE_TEXT}. Use `gasnet classify` for files of this size")
    return _read(io.BytesIO(upload.data), upload.name)


def open_path(path: Path) -> list[Spectrum]:
    """The spectra of one file on disk. Raises SpectrumError with what is wrong and what to do."""
    return _read(path, path.name)


def open_catalogue(source: Upload | Path) -> Population | None:
    """A catalogue of many objects; None for anything else. Raises CatalogueError for one that lacks columns."""
    stream = io.BytesIO(source.data) if isinstance(source, Upload) else source
    if not looks_like_catalogue(stream, source.name):
        return None
    return read_population(stream, source.name)


def first_catalogue() -> list[Path]:
    """The catalogue that every session opens with, if the variable GASNET_CATALOGUE names one."""
    path = os.environ.get("GASNET_CATALOGUE", "")
    return [Path(path)] if path else []


def _read(source: Path | io.BytesIO, name: str) -> list[Spectrum]:
    try:
        return read(source, name=name)
    except SpectrumError:
        raise
    except Exception as error:  # a fault of ours must not take the session down: log it whole, name it on the page
        log.exception("reading %s failed unexpectedly", name)
        raise SpectrumError(
            f"{name}: cannot be read ({type(error).__name__}: {error}). Please report this file to the maintainers"
        ) from error


def sample_paths() -> Sequence[Path]:
    """The sample spectra that ship with the application, by name."""
    return sorted(p for p in (assets_dir() / "spectra").iterdir() if p.name.lower().endswith(SPECTRUM_SUFFIXES))
