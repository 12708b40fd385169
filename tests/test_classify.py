"""classify: every file found gets a row, in order; a bad one gets its reason, and the rest is complete."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine import classify as verb
from engine.catalogue import CatalogueError, columns
from engine.classify import check_separate, classify, find_files
from engine.ensemble import Ensemble
from engine.prediction import ZWarn
from engine.spectrum import Spectrum, SpectrumError
from engine.survey import load_survey
from tests.makers import galaxy, make_sdss

RNG = np.random.default_rng(1)


def good_file(path: Path) -> Path:
    """A file that can be classified, in a folder made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return make_sdss(path, *galaxy())


@pytest.fixture(scope="module")
def ensemble():
    return Ensemble.untrained("matched", load_survey("sdss"))


@pytest.fixture
def night(tmp_path, monkeypatch):
    """A folder as users have it: good files, a truncated one, text, notes. The working directory is its parent."""
    good_file(tmp_path / "night" / "b.fits")
    good_file(tmp_path / "night" / "sub" / "c.FITS")
    whole = good_file(tmp_path / "night" / "a.fits").read_bytes()
    (tmp_path / "night" / "a.fits").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "night" / "z.csv").write_text("this is no table\n")
    (tmp_path / "night" / "notes.txt").write_text("seeing 1.2")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "night"


def test_a_directory_is_walked_in_order_and_the_path_is_as_given(night):
    assert [path for path, _ in find_files(["night"])] == [
        "night/a.fits",
        "night/b.fits",
        "night/sub/c.FITS",
        "night/z.csv",
    ]
    assert find_files(["./night/"])[0][0] == "./night/a.fits"
    assert find_files([night / "b.fits"]) == [(f"{night}/b.fits", "")]


def test_a_file_named_outright_is_taken_whatever_its_ending(night):
    assert find_files(["night/notes.txt"]) == [("night/notes.txt", "")]


def test_no_argument_goes_unanswered(night):
    (night / "empty").mkdir()
    os.mkfifo(night / "pipe.fits")
    (night / "gone.fits").symlink_to("nowhere.fits")
    errors = dict(find_files(["missing.fits", "night/empty", "night/pipe.fits", "night"]))
    assert "no such file" in errors["missing.fits"]
    assert "no file ending in .fits, " in errors["night/empty"]
    assert errors["night/pipe.fits"] == "not a regular file"
    assert errors["night/gone.fits"] == "broken link"
    assert errors["night/b.fits"] == ""


def test_a_directory_that_cannot_be_entered_is_said(night, monkeypatch):
    def walk(top: str, onerror):
        onerror(PermissionError(13, "Permission denied", f"{top}/secret"))
        return iter([(top, [], ["b.fits"])])

    monkeypatch.setattr(verb.os, "walk", walk)
    assert find_files(["night"]) == [
        ("night/b.fits", ""),
        ("night/secret", "directory cannot be read: Permission denied; check its permissions"),
    ]


def test_a_bad_file_becomes_a_row_with_its_error_and_the_rest_is_complete(night, ensemble):
    table = classify(["night", "missing.fits"], ensemble)
    assert table.colnames == list(columns(ensemble.survey))
    assert table["path"].tolist() == ["night/a.fits", "night/b.fits", "night/sub/c.FITS", "night/z.csv", "missing.fits"]
    bad = table["error"] != ""
    assert bad.tolist() == [True, False, False, True, True]
    assert all("\n" not in error and "night/" not in error for error in table["error"])
    for name in ("z", "zwarn", "robust", "snr", "p_QSO", "z_QSO", "zerr_QSO"):
        assert table[name].mask.tolist() == bad.tolist()
    assert set(table["class"][~bad]) <= set(ensemble.survey.names)
    assert set(table["survey"]) == {"sdss"}
    assert set(table["class"][bad]) == {""}
    total = sum(table[f"p_{name}"][~bad] for name in ensemble.survey.names)
    np.testing.assert_allclose(total.filled(np.nan), 1, rtol=1e-5)


def test_the_row_is_what_the_ensemble_predicts(night, ensemble):
    from engine.readers import read

    row = classify(["night/b.fits"], ensemble)[0]
    spectrum = read("night/b.fits")[0]
    prediction = ensemble.predict([spectrum])[0]
    assert row["object_id"] == spectrum.object_id
    assert row["class"] == prediction.class_name
    assert row["spectype"] == prediction.spectype
    assert row["z"] == prediction.best_z
    assert row["zwarn"] == prediction.zwarn
    assert row["snr"] == spectrum.snr
    assert row["p_QSO"] == prediction.p[11]
    assert (row["z_QSO"], row["zerr_QSO"]) == (prediction.z[4], prediction.zerr[4])


def fake_read(objects: dict[str, int]):
    """A reader that finds so many spectra in each file, their ids telling file and number."""
    wave = np.linspace(4000, 9000, 500)

    def read(path: str, catalogue: bool) -> list[Spectrum]:
        flux = np.ones(500) + RNG.normal(0, 0.1, 500)
        return [Spectrum(wave, flux, np.ones(500), f"{path}:{k}") for k in range(objects[path])]

    return read


def test_batches_run_across_files_and_keep_the_order(tmp_path, monkeypatch, ensemble):
    monkeypatch.chdir(tmp_path)
    objects = {"a.fits": 3, "b.fits": 5, "c.fits": 0, "d.fits": 1}
    for name in objects:
        Path(name).touch()
    monkeypatch.setattr(verb, "read", fake_read(objects))
    sizes, predict = [], ensemble.predict

    def counted(spectra, **options):
        sizes.append(len(spectra))
        return predict(spectra, **options)

    monkeypatch.setattr(ensemble, "predict", counted)
    steps = []
    table = classify(["a.fits", "b.fits", "c.fits", "d.fits"], ensemble, 4, lambda *step: steps.append(step))
    ids = [f"a.fits:{k}" for k in range(3)] + [f"b.fits:{k}" for k in range(5)] + ["", "d.fits:0"]
    assert table["object_id"].tolist() == ids
    assert table["error"][8] == "no spectrum in this file"
    assert sizes == [4, 4, 1]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (SpectrumError("b.fits: cut short.\nFetch it again"), "cut short. Fetch it again"),
        (PermissionError(13, "Permission denied"), "[Errno 13] Permission denied"),
        (KeyError("loglam"), "KeyError: 'loglam'; the file is damaged or of an unknown kind"),
        (MemoryError(), "MemoryError: MemoryError; the file is damaged or of an unknown kind"),
    ],
)
def test_whatever_a_reader_raises_becomes_one_line(tmp_path, monkeypatch, ensemble, raised, said):
    def read(path: str, catalogue: bool):
        raise raised

    monkeypatch.chdir(tmp_path)
    Path("b.fits").touch()
    monkeypatch.setattr(verb, "read", read)
    assert classify(["b.fits"], ensemble)["error"].tolist() == [said]


def test_a_spectrum_outside_the_surveys_wavelengths_is_an_error(tmp_path, monkeypatch, ensemble):
    infrared = Spectrum(np.linspace(12000, 13000, 500), np.ones(500), np.ones(500), "ir")
    (tmp_path / "ir.fits").touch()
    monkeypatch.setattr(verb, "read", lambda path, catalogue: [infrared])
    row = classify([tmp_path / "ir.fits"], ensemble)[0]
    assert row["error"].startswith("no usable pixel between 3600 and 9200 A")
    assert row["class"] == ""
    assert ZWarn.NODATA in ZWarn(int(row["zwarn"]))


def test_fluxes_beyond_float32_are_an_error_not_a_class(tmp_path, monkeypatch, ensemble):
    wave = np.linspace(4000, 9000, 500)
    huge = Spectrum(wave, np.full(500, 1e30), np.full(500, 1e-60), "huge")
    (tmp_path / "h.fits").touch()
    monkeypatch.setattr(verb, "read", lambda path, catalogue: [huge])
    row = classify([tmp_path / "h.fits"], ensemble)[0]
    assert (row["class"] == "") == (row["error"] != "")


def test_the_catalogue_cannot_overwrite_its_own_input(night):
    with pytest.raises(CatalogueError, match=r"night/b\.fits: is one of the files to classify"):
        check_separate(Path("night/b.fits"), find_files(["night"]))
    check_separate(Path("night/new.fits"), find_files(["night", "missing.fits"]))
