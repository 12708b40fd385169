"""The catalogue: one row per spectrum, and its way into a file (.ecsv, .csv, .fits, .parquet).

A value that does not exist is masked in the table: an empty cell in CSV and ECSV, null in Parquet, NaN or TNULL in
FITS, whose logical column has no null and says False.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import MaskedColumn, Table

from engine.plain import PlainError
from engine.prediction import Prediction
from engine.spectrum import Spectrum
from engine.survey import Survey
from engine.templatefit import CrossCheck

ENDINGS = (".ecsv", ".csv", ".fits", ".parquet")
Row = Mapping[str, Any]
# The template fit beside the network: its redshift and formal error, chi2 per degree of freedom counted apart, how much
# worse the best rival fits (negative: better), and the verdict in words.
FIT_COLUMNS: Mapping[str, type] = {
    "z_fit": float, "zerr_fit": float, "chi2_fit": float, "dof_fit": int, "dchi2_fit": float, "fit": str,
}  # fmt: skip


class CatalogueError(PlainError):
    """A catalogue cannot be written as asked. The message names the file and the remedy."""


def columns(survey: Survey, crosscheck: bool = False) -> dict[str, type]:
    """Column names in order, with the type of their values; crosscheck: with those of the template fit."""
    extragalactic = [survey.names[i] for i in survey.extragalactic]
    return {
        **dict.fromkeys(("path", "object_id", "survey", "class", "spectype"), str),
        **{f"p_{name}": float for name in survey.names},
        **{"z": float, "zerr": float},
        **{f"{key}_{name}": float for name in extragalactic for key in ("z", "zerr")},
        **{"robust": bool, "zwarn": int, "snr": float},
        **{"z_low": float, "z_high": float, "confidence": float, "reliable": bool, "ood": float, "ood_flag": bool},
        **(FIT_COLUMNS if crosscheck else {}),
        "error": str,
    }


def answer_row(path: str, spectrum: Spectrum, prediction: Prediction) -> Row:
    """The row of a classified spectrum; path is the file as the user gave it. A star's zerr does not exist, nor does
    what only a calibrated model knows (confidence, reliable) or one with an outlier score (ood, ood_flag).

    z : as reported (Prediction.best_z); z_CLASS, zerr_CLASS : mean and deviation of the members (paper eqs 7, 8)
    z_low, z_high : 68 % credible interval of z
    """
    survey, best = prediction.survey, prediction.row(prediction.best)
    z_low, z_high = (None, None) if best is None else prediction.credible_interval(best)
    has_ood = prediction.ood == prediction.ood
    row: dict[str, Any] = {
        "path": path,
        "object_id": spectrum.object_id,
        "class": prediction.class_name,
        "spectype": prediction.spectype,
        **{f"p_{name}": p for name, p in zip(survey.names, prediction.p, strict=True)},
        "z": prediction.best_z,
        "zerr": prediction.best_zerr,
        "z_low": z_low,
        "z_high": z_high,
        "robust": prediction.robust,
        "confidence": prediction.confidence if prediction.calibrated else None,
        "reliable": prediction.reliable if prediction.calibrated else None,
        "ood": prediction.ood,
        "ood_flag": prediction.ood_flag if has_ood else None,
        "zwarn": int(prediction.zwarn),
        "snr": prediction.snr,
    }
    for k, i in enumerate(prediction.z_classes):
        row[f"z_{survey.names[i]}"], row[f"zerr_{survey.names[i]}"] = prediction.z[k], prediction.zerr[k]
    return row


def fit_row(check: CrossCheck) -> Row:
    """The columns of the template fit; what does not exist is masked."""
    fit = check.fit
    return {
        "z_fit": fit.z, "zerr_fit": fit.zerr, "chi2_fit": fit.chi2, "dof_fit": fit.dof or None,
        "dchi2_fit": check.delta_chi2, "fit": check.verdict,
    }  # fmt: skip


def make_table(rows: Iterable[Row], survey: Survey, crosscheck: bool = False) -> Table:
    """Rows as a table with the columns of `columns`, always in that order; what a row lacks, or is NaN, is masked.

    Column survey is the one whose classes answered, bad rows included.
    """
    rows = [{**row, "survey": survey.name} for row in rows]
    table = Table()
    for name, kind in columns(survey, crosscheck).items():
        values = [row.get(name) for row in rows]
        if kind is str:
            table[name] = np.array([_printable(value or "") for value in values], dtype=str)
            continue
        missing = [value is None or value != value for value in values]
        filled = [kind(0) if gone else kind(value) for value, gone in zip(values, missing, strict=True)]
        table[name] = MaskedColumn(np.array(filled, dtype=kind), mask=missing, fill_value=_FILL[kind])
    return table


_FILL: Mapping[type, Any] = {float: np.nan, int: -1, bool: False}


def check_output(path: str | Path) -> Path:
    """The output path, if a catalogue can be written there. Raises CatalogueError on an unknown ending or no folder."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise CatalogueError(f"{path}: unknown ending {path.suffix!r}; a catalogue ends in one of {', '.join(ENDINGS)}")
    if not path.parent.is_dir():
        raise CatalogueError(f"{path}: folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise CatalogueError(f"{path}: is a folder; name a file")
    return path


def write_catalogue(table: Table, path: str | Path) -> None:
    """Write a table in the format of the path's ending, under a temporary name first: never half a catalogue.

    An existing file is replaced. In CSV a text that a spreadsheet would run as a formula gets a leading apostrophe.
    Raises CatalogueError on an unknown ending or a missing folder, OSError when the disk refuses.
    """
    path = check_output(path)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix.lower())
    os.close(handle)
    try:
        _WRITERS[path.suffix.lower()](table, part)
        os.chmod(part, 0o666 & ~_umask())  # mkstemp makes private files
        os.replace(part, path)
    finally:
        Path(part).unlink(missing_ok=True)


def _write_ecsv(table: Table, path: str) -> None:
    table.write(path, format="ascii.ecsv", overwrite=True)


def _write_csv(table: Table, path: str) -> None:
    safe = table.copy(copy_data=False)
    for name in table.colnames:
        if table[name].dtype.kind in "USO":
            safe[name] = [no_formula(_as_text(value)) for value in table[name].tolist()]
        if (shown := no_formula(name)) != name:  # an uploaded catalogue names its columns as it likes
            safe.rename_column(name, shown)
    safe.write(path, format="ascii.csv", overwrite=True)


def _write_fits(table: Table, path: str) -> None:
    safe = table.copy(copy_data=False)
    for name in _text_columns(table):  # FITS text is ASCII
        safe[name] = [value.encode("ascii", "backslashreplace") for value in table[name].tolist()]
    for name in table.colnames:
        if table[name].dtype.kind == "b":
            safe[name] = table[name].filled(False) if hasattr(table[name], "filled") else table[name]
    safe.write(path, format="fits", overwrite=True)


def _write_parquet(table: Table, path: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name in table.colnames:
        column = table[name]
        if column.dtype.kind == "U":
            arrays[name] = pa.array(column.tolist(), type=pa.string())
        else:
            arrays[name] = pa.array(np.asarray(column), mask=np.broadcast_to(np.ma.getmaskarray(column), column.shape))
    meta = {str(key): str(value) for key, value in table.meta.items()}
    pq.write_table(pa.table(arrays, metadata=meta), path)


_WRITERS = {".ecsv": _write_ecsv, ".csv": _write_csv, ".fits": _write_fits, ".parquet": _write_parquet}


def _text_columns(table: Table) -> list[str]:
    return [name for name in table.colnames if table[name].dtype.kind == "U"]


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)


def no_formula(text: str) -> str:
    """Text that a spreadsheet shows as it is. Numbers stay: a negative TARGETID is no formula."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return "'" + text
    return text


def _printable(text: str) -> str:
    """Text on one line; bytes of a file name that are no UTF-8 become \\x.. escapes."""
    return " ".join(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").splitlines())


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
