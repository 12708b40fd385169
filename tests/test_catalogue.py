"""The catalogue file: every column, every missing value, in each of the four formats; never half a file."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from engine import catalogue
from engine.catalogue import CatalogueError, check_output, make_table, write_catalogue
from engine.survey import load_survey

SURVEY = load_survey("sdss")
QSO = {"class": "QSO", "p_QSO": 0.75, "z": 1.5, "zerr": 0.25, "robust": True, "zwarn": 4}
STAR = {"class": "STAR_A0", "z": 0.0, "zerr": float("nan"), "robust": False, "zwarn": 0}
ROWS = [
    {"path": "a.fits", "object_id": "-17", **QSO},
    {"path": "=1+1.fits", "object_id": "étoile", **STAR},
    {"path": 'c,"1".fits', "error": "truncated;\nfetch it again"},
]


@pytest.fixture
def table():
    return make_table(ROWS, SURVEY)


def test_the_columns_are_those_of_the_issue_in_their_order():
    names = list(catalogue.columns(SURVEY))
    assert names[:5] == ["path", "object_id", "survey", "class", "spectype"]
    assert names[5:18] == [f"p_{name}" for name in SURVEY.names]
    assert names[18:20] == ["z", "zerr"]
    assert names[20:24] == ["z_GALAXY", "zerr_GALAXY", "z_GALAXY_AGN", "zerr_GALAXY_AGN"]
    assert names[30:35] == ["z_QSO_BROADLINE", "zerr_QSO_BROADLINE", "robust", "zwarn", "snr"]
    assert names[35:] == ["z_low", "z_high", "confidence", "reliable", "ood", "ood_flag", "error"]


def test_an_empty_table_has_the_columns_too(tmp_path):
    table = make_table([], SURVEY)
    for ending in catalogue.ENDINGS:
        write_catalogue(table, tmp_path / f"empty{ending}")
    assert Table.read(tmp_path / "empty.ecsv").colnames == list(catalogue.columns(SURVEY))


def test_ecsv_keeps_types_and_missing_values(table, tmp_path):
    table.meta = {"model": "m"}
    write_catalogue(table, tmp_path / "out.ecsv")
    back = Table.read(tmp_path / "out.ecsv")
    assert back.meta["model"] == "m"
    assert back["z"].tolist() == [1.5, 0.0, None]
    assert back["zerr"].tolist() == [0.25, None, None]
    assert back["robust"].tolist() == [True, False, None]
    assert back["zwarn"].tolist() == [4, 0, None]
    assert back["path"].tolist() == ["a.fits", "=1+1.fits", 'c,"1".fits']
    assert back["object_id"][1] == "étoile"


def test_csv_has_empty_cells_for_missing_values_and_no_formula(table, tmp_path):
    write_catalogue(table, tmp_path / "out.csv")
    back = pd.read_csv(tmp_path / "out.csv")
    assert back["path"].tolist() == ["a.fits", "'=1+1.fits", 'c,"1".fits']
    assert back["object_id"].tolist()[:2] == ["-17", "étoile"]
    assert back["z"].isna().tolist() == [False, False, True]
    assert back["error"][2] == "truncated; fetch it again"
    assert (tmp_path / "out.csv").read_text().splitlines()[3].endswith(",,,,truncated; fetch it again")
    assert table["path"][1] == "=1+1.fits"


@pytest.mark.parametrize("text", ["=1", "+cmd", "-2+3", "@x", "\tx"])
def test_a_formula_is_neutralised(text):
    assert catalogue.no_formula(text) == "'" + text


@pytest.mark.parametrize("text", ["-17", "+1.5", "", "spec-1-2-3"])
def test_a_number_or_plain_text_is_left_alone(text):
    assert catalogue.no_formula(text) == text


def test_fits_has_nan_tnull_and_ascii(table, tmp_path):
    write_catalogue(table, tmp_path / "out.fits")
    with fits.open(tmp_path / "out.fits") as hdus:
        data, header = hdus[1].data, hdus[1].header
        assert np.isnan(data["zerr"]).tolist() == [False, True, True]
        assert data["robust"].tolist() == [True, False, False]
        assert data["object_id"][1] == "\\xe9toile"
        assert header["TNULL" + str(hdus[1].columns.names.index("zwarn") + 1)] == data["zwarn"][2] == -1
    assert Table.read(tmp_path / "out.fits")["zwarn"].tolist() == [4, 0, None]


def test_parquet_has_nulls(table, tmp_path):
    import pyarrow.parquet as pq

    write_catalogue(table, tmp_path / "out.parquet")
    back = pq.read_table(tmp_path / "out.parquet")
    assert back.column_names == table.colnames
    assert back["zerr"].to_pylist() == [0.25, None, None]
    assert back["robust"].to_pylist() == [True, False, None]
    assert back["zwarn"].to_pylist() == [4, 0, None]
    assert back["object_id"].to_pylist()[1] == "étoile"


@pytest.mark.parametrize("ending", catalogue.ENDINGS)
def test_a_file_name_that_is_no_utf8_is_escaped(ending, tmp_path):
    table = make_table([{"path": os.fsdecode(b"a\xff.fits")}], SURVEY)
    assert table["path"][0] == "a\\xff.fits"
    write_catalogue(table, tmp_path / f"out{ending}")


def test_an_unknown_ending_names_the_allowed_ones(table):
    with pytest.raises(
        CatalogueError, match=r"out\.xlsx: unknown ending '\.xlsx'; .* \.ecsv, \.csv, \.fits, \.parquet"
    ):
        write_catalogue(table, "out.xlsx")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(CatalogueError, match="nowhere does not exist"):
        check_output(tmp_path / "nowhere" / "out.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(CatalogueError, match="is a folder"):
        check_output(tmp_path / "folder.csv")


def test_a_failed_write_leaves_the_old_catalogue_and_no_debris(table, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    out.write_text("old")

    def full_disk(_table: Table, path: str) -> None:
        Path(path).write_text("half")
        raise OSError("No space left on device")

    monkeypatch.setitem(catalogue._WRITERS, ".csv", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_catalogue(table, out)
    assert [p.name for p in tmp_path.iterdir()] == ["out.csv"]
    assert out.read_text() == "old"


def test_a_catalogue_is_readable_as_any_new_file_is(table, tmp_path):
    write_catalogue(table, tmp_path / "out.csv")
    (tmp_path / "plain").touch()
    assert (tmp_path / "out.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode
