"""classify: from paths on disk to a catalogue, one row per spectrum. A bad file becomes a row with its error."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from astropy.table import Table, vstack

from engine import templatefit
from engine.catalogue import CatalogueError, Row, answer_row, fit_row, make_table
from engine.ensemble import Ensemble
from engine.prediction import Prediction, ZWarn
from engine.processes import spread
from engine.readers import read
from engine.spectrum import Spectrum, SpectrumError

EXTENSIONS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz", ".csv", ".ecsv")

SHARD = 64  # files that a worker process answers before it hands over their rows
FEW = 256  # files for which a second process is not worth its start of some seconds

Progress = Callable[[int, int], None]


def find_files(paths: Iterable[str | Path]) -> list[tuple[str, str]]:
    """(path, error) of every file to classify, sorted within each directory; error is "" for a file to be read.

    A directory is walked for files whose name ends in one of EXTENSIONS (in any case), without following links to
    directories; a file named outright is taken whatever its ending. A path that does not exist, a directory that
    cannot be entered or holds no such file is an entry with an error, so that no argument goes unanswered.
    """
    found: list[tuple[str, str]] = []
    for path in map(str, paths):
        if os.path.isdir(path):
            found += _walk(path)
        elif not os.path.exists(path):
            found.append((path, "no such file or directory; check the spelling"))
        else:
            found.append((path, _irregular(path)))
    return found


def _walk(top: str) -> list[tuple[str, str]]:
    refused: list[tuple[str, str]] = []

    def refuse(error: OSError) -> None:
        refused.append((str(error.filename), f"directory cannot be read: {error.strerror}; check its permissions"))

    files = []
    for folder, _, names in os.walk(top, onerror=refuse):
        inside = os.path.relpath(folder, top)
        given = top if inside == os.curdir else os.path.join(top, inside)
        files += [os.path.join(given, name) for name in names if name.lower().endswith(EXTENSIONS)]
    found = sorted(refused + [(path, _irregular(path)) for path in files])
    return found or [(top, f"no file ending in {', '.join(EXTENSIONS)} in this directory; name the files themselves")]


def _irregular(path: str) -> str:
    # Opening a pipe or a socket would wait for ever.
    if os.path.isfile(path):
        return ""
    return "broken link" if os.path.islink(path) else "not a regular file"


def classify(
    paths: Iterable[str | Path], ensemble: Ensemble, batch_size: int = 128, progress: Progress | None = None,
    crosscheck: bool = False, workers: int = 1,
) -> Table:  # fmt: skip
    """Classify every spectrum of the given files and directories; see `find_files` and `classify_files`."""
    return classify_files(find_files(paths), ensemble, batch_size, progress, crosscheck, workers)


def classify_files(
    files: Sequence[tuple[str, str]], ensemble: Ensemble, batch_size: int = 128, progress: Progress | None = None,
    crosscheck: bool = False, workers: int = 1,
) -> Table:  # fmt: skip
    """Classify the files that `find_files` found: one row per spectrum, in their order.

    The columns are those of engine.catalogue.columns; `error` is empty for a good row. crosscheck adds the
    columns of the template fit (engine/templatefit.py). progress is called with (files read, files in all). Memory: one
    batch of spectra at a time, and the rows, 1 kB each. workers : processes that read and answer side by side, for
    FEW files and more; the rows and their order are the same. Raises ProcessError when one of them is killed.
    """
    survey = ensemble.survey
    if workers > 1 and len(files) >= FEW:
        tables = _spread(files, ensemble, batch_size, progress, crosscheck, workers)
    else:
        batches = classify_rows(files, ensemble, batch_size, progress, crosscheck)
        tables = (make_table(rows, survey, crosscheck) for rows in batches)
    parts = list(tables)
    table = vstack(parts, join_type="exact") if parts else make_table([], survey, crosscheck)
    table.meta = {"model": ensemble.name, "survey": survey.name, "wave": "vacuum", "zerr": "Zhong et al. 2024, eq. 8"}
    return table


def _spread(
    files: Sequence[tuple[str, str]], ensemble: Ensemble, batch_size: int, progress: Progress | None,
    crosscheck: bool, workers: int,
) -> Iterator[Table]:  # fmt: skip
    shards = [files[start : start + SHARD] for start in range(0, len(files), SHARD)]
    done = 0
    for shard, table in zip(shards, spread(_shard, (ensemble, batch_size, crosscheck), shards, workers), strict=True):
        done += len(shard)
        if progress:
            progress(done, len(files))
        yield table


def _shard(shared: tuple[Ensemble, int, bool], files: Sequence[tuple[str, str]]) -> Table:
    ensemble, batch_size, crosscheck = shared
    batches = classify_rows(files, ensemble, batch_size, None, crosscheck)
    return make_table((row for rows in batches for row in rows), ensemble.survey, crosscheck)


def classify_rows(
    files: Sequence[tuple[str, str]], ensemble: Ensemble, batch_size: int = 128, progress: Progress | None = None,
    crosscheck: bool = False,
) -> Iterator[list[Row]]:  # fmt: skip
    """The rows of files from `find_files`, in order, a batch at a time. Batches run across files."""
    pending: list[Row | tuple[str, Spectrum]] = []
    n_spectra = 0
    for k, (path, error) in enumerate(files):
        spectra, error = ([], error) if error else read_file(path)
        if error:
            pending.append({"path": path, "error": error})
        for spectrum in spectra:
            pending.append((path, spectrum))
            n_spectra += 1
            if n_spectra == batch_size:
                yield _answer(pending, ensemble, batch_size, crosscheck)
                pending, n_spectra = [], 0
        if progress:
            progress(k + 1, len(files))
    if pending:
        yield _answer(pending, ensemble, batch_size, crosscheck)


def read_file(path: str, catalogue: bool = False) -> tuple[Sequence[Spectrum], str]:
    """(spectra, error in one line) of one file; catalogue: with what the survey's pipeline said of them."""
    try:
        spectra = read(path, catalogue=catalogue)
    except (SpectrumError, OSError) as error:
        return [], _reason(error, path)
    # A library below the readers may stumble over a broken file in ways nobody foresaw; a night's run must not end
    # there, and the row says what happened.
    except Exception as error:
        return [], f"{type(error).__name__}: {_reason(error, path)}; the file is damaged or of an unknown kind"
    return spectra, "" if spectra else "no spectrum in this file"


def _reason(error: Exception, path: str) -> str:
    """The error in one line, without the path that the row names already."""
    return " ".join(str(error).split()).removeprefix(f"{path}: ") or type(error).__name__


def _answer(
    pending: Sequence[Row | tuple[str, Spectrum]], ensemble: Ensemble, batch_size: int, crosscheck: bool
) -> list[Row]:
    spectra = [item[1] for item in pending if isinstance(item, tuple)]
    # The template fit tries the rivals of other classes too; a row of the catalogue needs the best class alone.
    best_only = not crosscheck
    predictions = iter(ensemble.predict(spectra, batch_size=batch_size, keep_members=False, best_only=best_only))
    return [_row(*item, next(predictions), crosscheck) if isinstance(item, tuple) else item for item in pending]


def _row(path: str, spectrum: Spectrum, prediction: Prediction, crosscheck: bool) -> Row:
    row = {"path": path, "object_id": spectrum.object_id, "snr": spectrum.snr}
    if error := refusal(prediction):
        return {**row, "zwarn": int(prediction.zwarn), "error": error}
    answered = answer_row(path, spectrum, prediction)
    return {**answered, **fit_row(templatefit.crosscheck(spectrum, prediction))} if crosscheck else answered


def refusal(prediction: Prediction) -> str:
    """Why a prediction is no answer, and what to check; empty when it is one."""
    if ZWarn.NODATA in prediction.zwarn:
        low, high = prediction.survey.wave_range
        words = f"no usable pixel between {low:.0f} and {high:.0f} A, where survey {prediction.survey.name} looks"
        return f"{words}; check the wavelength unit"
    if not prediction.p.sum() > 0.5:  # NaN, from fluxes beyond float32
        return "the fluxes are too large for the network; check the flux unit and the bad pixels"
    return ""


def check_separate(output: Path, files: Sequence[tuple[str, str]]) -> None:
    """Raises CatalogueError when the output would overwrite a file that is to be classified."""
    if output.exists() and any(not error and os.path.samefile(path, output) for path, error in files):
        raise CatalogueError(f"{output}: is one of the files to classify; write the catalogue elsewhere, or remove it")
