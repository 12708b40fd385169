"""redrock (desihub, from PyPI) through its Python API: a spectrum in, its best fits out. Needs the extra `peers`.

Every spectrum is put on GRID, so that the templates are rebinned once for all, as a survey does. No resolution matrix
is given: the templates are of SDSS's resolution or close to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pca import Basis
from engine.grid import LogGrid, regrid
from engine.spectrum import Spectrum

# The pixels of SDSS over what redrock's rrboss fits, 3500-10000 A, as far as the templates reach: 3547 A at z = 7.
GRID = LogGrid.covering((3551.0, 9999.0), multiple=1)


@dataclass(frozen=True)
class Fit:
    """The best fit of one type: chi2 over all pixels; deltachi2 to the next best fit of any type; redrock's zwarn."""

    spectype: str
    subtype: str
    z: float
    zerr: float
    chi2: float
    deltachi2: float
    zwarn: int


@dataclass(frozen=True)
class Answer:
    """What the fitter says of one spectrum: fits, one per type, the best first; core_seconds of processor time."""

    name: str
    fits: tuple[Fit, ...]
    core_seconds: float

    def of(self, spectype: str) -> Fit | None:
        """The best fit of a type, if there is one."""
        return next((fit for fit in self.fits if fit.spectype == spectype), None)


def fingerprint(spectrum: Spectrum) -> str:
    """A digest of a spectrum's arrays: an answer is valid for these only."""
    digest = hashlib.sha256()
    for values in (spectrum.wave, spectrum.flux, spectrum.ivar):
        digest.update(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return digest.hexdigest()[:20]


class Redrock:
    """redrock with given templates. setup_seconds: processor time of rebinning them to all redshifts, once.

    Raises ModuleNotFoundError saying how to install redrock.
    """

    def __init__(self, bases: Sequence[Basis]) -> None:
        try:
            from redrock.templates import DistTemplate, Template
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error}. redrock is optional: pip install 'gasnet-explorer[peers]'") from error
        self.version = version("redrock")
        began = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            self.templates = [
                DistTemplate(
                    Template(
                        spectype=b.row.spectype, subtype=b.row.subtype, redshifts=b.redshifts, wave=b.wave,
                        flux=b.vectors, igm_model=b.row.igm, method="PCA", version="npz",
                    ),
                    {"sdss": GRID.wave},
                )
                for b in bases
            ]  # fmt: skip
        self.setup_seconds = time.process_time() - began
        self._warm = False

    def answer(self, spectrum: Spectrum) -> Answer:
        """Fit one spectrum. The first call fits twice: numba compiles in the first."""
        if not self._warm:
            self._warm = True
            self.answer(spectrum)
        from redrock.targets import DistTargetsCopy, Target
        from redrock.targets import Spectrum as Seen
        from redrock.zfind import zfind
        from scipy.sparse import identity

        began = time.process_time()
        flux, ivar = (values.astype(np.float64) for values in regrid(spectrum, GRID))
        seen = Seen(GRID.wave, flux, ivar, identity(GRID.n, format="dia"), identity(GRID.n, format="csr"), band="sdss")
        with contextlib.redirect_stdout(io.StringIO()):
            _, found = zfind(DistTargetsCopy([Target(1, [seen])]), self.templates)
        seconds = time.process_time() - began
        fits: dict[str, Fit] = {}
        for row in found:  # sorted, the best first
            kind = str(row["spectype"])
            numbers = {key: float(row[key]) for key in ("z", "zerr", "chi2", "deltachi2")}
            fits.setdefault(kind, Fit(kind, str(row["subtype"]), **numbers, zwarn=int(row["zwarn"])))
        return Answer(spectrum.object_id, tuple(fits.values()), seconds)


class Remembered:
    """Answers kept in a file of JSON lines, one for each spectrum, added as they come: a kill loses one at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.answers: dict[str, Answer] = {}
        for line in path.read_text().splitlines() if path.is_file() else ():
            try:
                row = json.loads(line)
            except ValueError:  # the line that a kill cut short
                continue
            self.answers[row.pop("fingerprint")] = _answer(row)

    def get(self, spectrum: Spectrum) -> Answer | None:
        """The answer for a spectrum with exactly these arrays, or None."""
        return self.answers.get(fingerprint(spectrum))

    def add(self, spectrum: Spectrum, answer: Answer) -> None:
        """Keep an answer, in memory and on disk."""
        key = fingerprint(spectrum)
        self.answers[key] = answer
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a+b") as file:
            file.seek(0, io.SEEK_END)
            if file.tell():
                file.seek(-1, io.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")
            file.write((json.dumps({"fingerprint": key, **asdict(answer)}) + "\n").encode())


def _answer(row: dict[str, Any]) -> Answer:
    return Answer(row["name"], tuple(Fit(**fit) for fit in row["fits"]), row["core_seconds"])
