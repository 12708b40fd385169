"""Labelled spectra as training data: catalogues told by their columns, what is left out said, batches."""

from __future__ import annotations

import errno
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from makers import galaxy, make_sdss

import engine
from engine.grid import LinearGrid, LogGrid, regrid
from engine.labelled import CatalogError, InTurn, LabelledSet, LabelledSource, gather, read_catalog, split_of
from engine.labelled.source import MINIMUM, check_numbers, noisier
from engine.mock import MockBatch
from engine.mock.files import write_sdss

SDSS = engine.load_survey("sdss")
GRID = LogGrid.covering(SDSS.wave_range)
SPALL = {"PLATE": [266], "MJD": [51602], "FIBERID": [7], "CLASS": ["QSO"], "SUBCLASS": ["BROADLINE"], "Z": [1.5],
         "ZWARNING": [0], "THING_ID": [42]}  # fmt: skip
ZCATALOG = {"TARGETID": [39633561178870058], "SPECTYPE": ["GALAXY"], "SUBTYPE": [""], "Z": [0.5], "ZWARN": [0]}
BY_PATH = {"path": ["a/b.fits"], "class": ["GALAXY"], "subclass": ["AGN"], "z": [0.1]}
BY_ID = {"object_id": ["007"], "class": ["STAR_K5"], "z": [0.0]}


def table(path: Path, columns: dict[str, Any]) -> Path:
    Table(columns).write(path, overwrite=True)
    return path


N = 30


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 spectra as SDSS files, and beside it spAll.fits with their labels, all classes in turn."""
    folder, rng = tmp_path_factory.mktemp("night"), np.random.default_rng(3)
    flux = rng.normal(10, 1, (N, GRID.n)).astype(np.float32)
    label = np.arange(N) % len(SDSS.names)
    z = np.where(np.isin(label, SDSS.extragalactic), 0.05 + 0.01 * np.arange(N), 0)
    batch = MockBatch(flux, np.ones_like(flux), label, z, np.full(N, 10.0), GRID)
    (folder / "spectra").mkdir()
    for k in range(N):
        ids = (90003, 90000, k + 1)
        write_sdss(batch, k, SDSS.classes[label[k]], folder / "spectra" / f"spec-{k:02d}.fits", ids)
    rows = [SDSS.classes[k].name.removeprefix(SDSS.classes[k].spectype).removeprefix("_") for k in label]
    columns = {"PLATE": [90003] * N, "MJD": [90000] * N, "FIBERID": np.arange(N) + 1, "SUBCLASS": rows, "Z": z}
    table(folder / "spAll.fits", columns | {"CLASS": [SDSS.classes[k].spectype for k in label], "ZWARNING": [0] * N})
    return folder


@functools.cache
def found(night: Path) -> LabelledSet:
    return gather(night / "spectra", night / "spAll.fits", SDSS, GRID, night / "set", lambda _: None)


def changed(night: Path, tmp_path: Path, **columns: Any) -> tuple[LabelledSet, str]:
    """The set with some columns of the catalogue changed, and what was said."""
    catalog = Table.read(night / "spAll.fits")
    for name, value in columns.items():
        catalog[name] = value(catalog[name].copy())
    said: list[str] = []
    catalog.write(tmp_path / "spAll.fits")
    out = gather(night / "spectra", tmp_path / "spAll.fits", SDSS, GRID, tmp_path / "set", said.append)
    return out, "\n".join(said)


def first(value: Any, n: int = 1) -> Any:
    def change(column: Any) -> Any:
        column[:n] = value
        return column

    return change


# ---- catalogues ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "kind", "name", "split"),
    [
        (SPALL, "SDSS spAll", "266-51602-7", "42"),
        (SPALL | {"THING_ID": [-1]}, "SDSS spAll", "266-51602-7", "266-51602-7"),
        ({"FIELD": [15000], "MJD": [59146], "CATALOGID": [4375786564], "CLASS": ["QSO"], "Z": [1.0]},
         "SDSS-V spAll", "15000-59146-4375786564", "15000-59146-4375786564"),
        (ZCATALOG, "DESI zcatalog", "39633561178870058", "39633561178870058"),
        (BY_PATH, "plain, by path", "a/b.fits", "a/b.fits"),
        (BY_PATH | {"target": ["7"]}, "plain, by path", "a/b.fits:7", "a/b.fits7"),
        (BY_ID, "plain, by object id", "007", "007"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", ["fits", "ecsv"])
def test_a_catalogue_is_told_by_its_columns(
    tmp_path: Path, columns: dict[str, Any], kind: str, name: str, split: str, suffix: str
) -> None:
    found_kind, (entry,) = read_catalog(table(tmp_path / f"catalog.{suffix}", columns))
    assert (found_kind.name, entry.name, entry.split) == (kind, name, split)


def test_columns_may_be_in_any_case_and_cells_empty(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("Object_ID,Class,SubClass,z,extra\nm31,GALAXY,,0.001,1\nm32,,,,2\n")
    _, (entry, empty) = read_catalog(tmp_path / "c.csv")
    assert entry.label(SDSS) == (SDSS.index("GALAXY"), 0.001)
    assert empty.label(SDSS) == "no class or redshift (NaN)"


def test_a_catalogue_without_the_columns_lists_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"SDSS spAll: PLATE, MJD, FIBERID, CLASS, Z; .*DESI zcatalog: TARGETID"):
        read_catalog(table(tmp_path / "c.ecsv", {"ra": [1.0], "z": [0.1]}))


@pytest.mark.parametrize("content", [b"", b"\x89PNG nonsense"])
@pytest.mark.parametrize("suffix", ["fits", "csv", "ecsv", "parquet"])
def test_a_catalogue_that_is_none_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"c.{suffix}"
    path.write_bytes(content)
    with pytest.raises(CatalogError, match=rf"c\.{suffix}"):
        read_catalog(path)


@pytest.mark.parametrize(
    ("survey", "spectype", "subclass", "expected"),
    [
        ("sdss", "QSO", "STARBURST BROADLINE", "QSO_BROADLINE"),
        ("sdss", "QSO", "nan", "QSO"),
        ("sdss", "STAR", "F3/F5V (30743)", "STAR_F5"),
        ("sdss", "GALAXY", None, "GALAXY"),
        ("sdss", "GALAXY_nan", None, "GALAXY"),
        ("sdss", "QSO_BROADLINE", None, "QSO_BROADLINE"),
        ("sdss", "STAR", None, ""),
        ("sdss", "STAR", "M5", ""),
        ("desi", "STAR", "M5", "STAR"),
        ("coarse", "GALAXY", "AGN", "GALAXY"),
    ],
)
def test_the_class_is_that_of_the_label_table(
    tmp_path: Path, survey: str, spectype: str, subclass: str | None, expected: str
) -> None:
    columns = {"object_id": ["a"], "class": [spectype], "z": [0.2]} | ({"subclass": [subclass]} if subclass else {})
    _, (entry,) = read_catalog(table(tmp_path / "c.ecsv", columns))
    label = entry.label(engine.load_survey(survey))
    if expected:
        assert label[0] == engine.load_survey(survey).index(expected)
    else:
        assert str(label).startswith(f"label that is no class of {survey}: {spectype}")


def test_a_star_is_at_rest_whatever_its_velocity(tmp_path: Path) -> None:
    _, (entry,) = read_catalog(table(tmp_path / "c.ecsv", BY_ID | {"z": [-0.0007]}))
    assert entry.label(SDSS) == (SDSS.index("STAR_K5"), 0.0)


# ---- gathering -----------------------------------------------------------------------------------------------------


def test_spectra_meet_their_labels_on_the_networks_grid(night: Path) -> None:
    everything = found(night)
    assert everything.flux.shape == everything.ivar.shape == (N, GRID.n)
    path = night / "spectra" / "spec-04.fits"
    k = list(everything.name).index("90003-90000-5")
    header = fits.getheader(path)
    assert SDSS.names[everything.label[k]] == header["TRUECLS"]
    assert everything.z[k] == pytest.approx(header["TRUEZ"], abs=1e-6)
    flux, ivar = regrid(engine.read(path)[0], GRID)
    assert np.array_equal(everything.flux[k], flux)
    assert np.array_equal(everything.ivar[k], ivar)


def test_the_split_follows_from_the_id_alone_in_the_shares_told(night: Path) -> None:
    splits = np.array([split_of(str(i)) for i in range(5000)])
    shares = [float((splits == name).mean()) for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.70, 0.15, 0.15], abs=0.02)
    everything = found(night)
    assert list(everything.split) == [split_of(name) for name in everything.name]


def test_observations_of_one_object_stay_on_one_side(night: Path, tmp_path: Path) -> None:
    catalog = Table.read(night / "spAll.fits")
    catalog["THING_ID"] = 77
    catalog.write(tmp_path / "c.fits")
    together = gather(night / "spectra", tmp_path / "c.fits", SDSS, GRID, tmp_path / "set", lambda _: None)
    assert set(together.split) == {split_of("77")}


def test_rows_without_spectra_and_spectra_without_rows_are_counted_and_named(night: Path, tmp_path: Path) -> None:
    out, said = changed(night, tmp_path, FIBERID=first(9999))
    assert len(out.label) == N - 1
    assert "left out, row without spectrum: 1 (90003-90000-9999)" in said
    assert "left out, spectrum without row: 1 (90003-90000-1)" in said
    assert out.left_out == {"row without spectrum": 1, "spectrum without row": 1}
    assert "spectrum without row,90003-90000-1" in (tmp_path / "set" / "left_out.csv").read_text()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("Z", np.nan, "no class or redshift (NaN)"),
        ("CLASS", "", "no class or redshift (NaN)"),
        ("CLASS", "SKY", "label that is no class of sdss"),
        ("ZWARNING", 4, "the catalogue warns of the redshift (zwarning)"),
    ],
)
def test_labels_that_teach_nothing_are_counted(
    night: Path, tmp_path: Path, column: str, value: Any, reason: str
) -> None:
    out, said = changed(night, tmp_path, **{column: first(value, 4)})
    assert len(out.label) == N - 4
    assert f"left out, {reason}: 4 (90003-90000-1" in said
    assert ", ...)" in said, "the first few are named, the rest is in left_out.csv"


def test_unreadable_and_empty_spectra_are_named_and_gone_on_from(tmp_path: Path) -> None:
    folder = tmp_path / "spectra"
    folder.mkdir()
    wave, flux, ivar = galaxy()
    make_sdss(folder / "good.fits", wave, flux, ivar)
    make_sdss(folder / "bad.fits", wave, flux, np.zeros_like(ivar))
    make_sdss(folder / "few.fits", wave, flux, np.where(np.arange(wave.size) < 50, ivar, 0))
    (folder / "torn.fits").write_bytes((folder / "good.fits").read_bytes()[:4000])
    names = ["good.fits", "bad.fits", "few.fits", "torn.fits", "ghost.fits"]
    columns = {"path": names, "class": ["GALAXY"] * 5, "subclass": [""] * 5, "z": [0.1] * 5}
    said: list[str] = []
    catalog = table(tmp_path / "c.ecsv", columns)
    out = gather(folder, catalog, SDSS, GRID, tmp_path / "set", said.append)
    assert list(out.name) == ["good.fits"]
    assert out.left_out == {
        "cannot be read": 2, "fewer than 200 good pixels in the survey's range": 1, "row without spectrum": 1
    }  # fmt: skip
    assert any("bad.fits: no ivar is above 0" in line for line in said)


def test_nothing_usable_is_an_error(night: Path, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no spectrum with a usable label is left"):
        changed(night, tmp_path, PLATE=first(1, N))


def test_a_set_is_made_once(night: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found(night)
    monkeypatch.setattr("engine.labelled.pairing.read", None)
    again = gather(night / "spectra", night / "spAll.fits", SDSS, GRID, night / "set", lambda _: None)
    assert np.array_equal(again.flux, found(night).flux)


def test_a_set_of_other_labels_or_another_grid_is_refused(night: Path, tmp_path: Path) -> None:
    found(night)
    with pytest.raises(CatalogError, match=r"set\.json: made with grid"):
        gather(night / "spectra", night / "spAll.fits", SDSS, LinearGrid(), night / "set", lambda _: None)
    other = table(tmp_path / "other.fits", SPALL)
    with pytest.raises(CatalogError, match=r"set\.json: made with catalog"):
        gather(night / "spectra", other, SDSS, GRID, night / "set", lambda _: None)


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
def test_a_full_disk_leaves_no_set(night: Path, tmp_path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(f"engine.labelled.store.{call}", no_space)
        with pytest.raises(CatalogError, match="No space left on device"):
            gather(night / "spectra", night / "spAll.fits", SDSS, GRID, tmp_path, lambda _: None)
    assert not (tmp_path / "set.json").exists()


# ---- packed sets ---------------------------------------------------------------------------------------------------


def test_the_papers_public_set_reads_with_its_wavelengths_assumed_and_said(tmp_path: Path) -> None:
    wave = np.linspace(4000, 9000, 3600)
    flux = 1 + 0.2 * np.random.default_rng(1).normal(size=(4, 3600)) + np.exp(-0.5 * ((wave - 6000) / 8) ** 2) * 20
    # In FITS tables of the public set every cell is an array of one value.
    columns = {"int_flux": flux, "CLASS": [["QSO"]] * 4, "SUBCLASS": [["nan"]] * 4, "Z": [0.5] * 4}
    columns |= {"PLATE": [[266]] * 4, "MJD": [[51602]] * 4, "FIBERID": [[k] for k in (1, 2, 3, 4)]}
    said: list[str] = []
    path = table(tmp_path / "train.fits", columns)
    out = gather(path, None, SDSS, GRID, tmp_path / "set", said.append)
    assert said == ["train.fits has no wavelengths: 4000-9000 A in 3600 equal steps assumed"]
    assert list(out.name) == [f"266-51602-{k}" for k in (1, 2, 3, 4)]
    assert {SDSS.names[k] for k in out.label} == {"QSO"}
    assert GRID.wave[np.argmax(out.flux[0])] == pytest.approx(6000, abs=4)
    assert np.median(1 / np.sqrt(out.ivar[0][out.ivar[0] > 0])) == pytest.approx(0.2, rel=0.3), "noise is estimated"


@pytest.mark.parametrize("axis", ["wave", "loglam"])
def test_arrays_in_npz_read_with_their_own_wavelengths(tmp_path: Path, axis: str) -> None:
    wave = GRID.wave[100:3700]
    flux = np.random.default_rng(1).normal(5, 1, (3, 3600))
    arrays = {axis: wave if axis == "wave" else np.log10(wave), "flux": flux, "ivar": np.ones((3, 3600))}
    np.savez(tmp_path / "a.npz", cls=["STAR", "STAR", "QSO"], subclass=["K5", "M1", ""], z=[0, 0, 2.0], **arrays)
    out = gather(tmp_path / "a.npz", None, SDSS, GRID, tmp_path / "set", lambda _: None)
    assert [SDSS.names[k] for k in out.label] == ["STAR_K5", "QSO"]
    assert (out.ivar[0] > 0).sum() == 3600
    assert out.left_out == {"label that is no class of sdss": 1}


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"z": [1.0]}, "array 'flux' is missing"),
        ({"flux": np.ones((1, 9)), "z": [1.0]}, "array 'class' is missing"),
        ({"flux": np.ones(9), "cls": ["QSO"], "z": [1.0]}, r"shape \(9,\); it must be \(objects, pixels\)"),
        ({"flux": np.ones((1, 9)), "wave": np.ones(8), "cls": ["QSO"], "z": [1.0]}, "they do not fit"),
    ],
)
def test_a_packed_set_that_lacks_something_says_what(tmp_path: Path, arrays: dict[str, Any], words: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(CatalogError, match=words):
        gather(tmp_path / "a.npz", None, SDSS, GRID, tmp_path / "set", lambda _: None)


# ---- batches -------------------------------------------------------------------------------------------------------


def test_batches_hold_training_spectra_only_and_follow_from_the_seed(night: Path) -> None:
    source = LabelledSource(found(night), SDSS, GRID)
    one, two = source.batch(64, [1, 2]), source.batch(64, [1, 2])
    assert np.array_equal(one.flux, two.flux)
    assert not np.array_equal(one.label, source.batch(64, [1, 3]).label)
    training = found(night).rows("train")
    assert set(np.round(one.z, 6)) <= set(np.round(found(night).z[training], 6))


def test_rare_classes_are_drawn_more_often_than_they_occur(night: Path) -> None:
    everything = found(night)
    label = np.where(np.arange(N) < 25, 5, 0)
    made_up = LabelledSet(
        everything.flux,
        everything.ivar,
        label,
        np.zeros(N),
        everything.snr,
        np.array(["train"] * N),
        everything.name,
        {},
        {},
    )
    drawn = LabelledSource(made_up, SDSS, GRID).batch(600, 1).label
    assert float((drawn == 0).mean()) == pytest.approx(5**0.5 / (5**0.5 + 25**0.5), abs=0.05)


def test_a_shift_moves_lines_and_redshift_together(night: Path) -> None:
    everything = found(night)
    source = LabelledSource(everything, SDSS, GRID, shift=8)
    line = 3000
    flux = np.zeros((40, GRID.n), dtype=np.float32)
    flux[:, line] = 1
    k = SDSS.index("GALAXY")
    batch = MockBatch(flux, np.ones_like(flux), np.full(40, k), np.full(40, 0.4), np.zeros(40), GRID)
    moved = source._shifted(batch, np.random.default_rng(1))
    rest = GRID.wave[moved.flux.argmax(1)] / (1 + moved.z)
    assert np.allclose(rest, GRID.wave[line] / 1.4)
    assert len(set(moved.z)) > 8
    assert (moved.ivar == 0).sum(1).max() <= 8, "pixels that came in from outside are bad"


def test_stars_are_shifted_and_stay_at_rest(night: Path) -> None:
    source = LabelledSource(found(night), SDSS, GRID, shift=3)
    batch = source.batch(60, 1)
    stars = ~np.isin(batch.label, SDSS.extragalactic)
    assert not batch.z[stars].any()


def test_added_noise_is_told_in_the_ivar() -> None:
    flux = np.zeros((50, 4000), dtype=np.float32)
    batch = MockBatch(flux, np.ones_like(flux), np.zeros(50, int), np.zeros(50), np.zeros(50), GRID)
    out = noisier(batch, np.random.default_rng(1))
    added, told = out.flux.var(1), 1 / out.ivar[:, 0] - 1
    assert (told > 0.1).sum() > 10
    assert (told == 0).sum() > 10
    assert np.allclose(added, told, rtol=0.2)
    blank = noisier(MockBatch(flux, flux, *(np.zeros(50, int),) * 3, GRID), np.random.default_rng(1))
    assert not blank.flux.any(), "bad pixels stay as they are"


class Mocks:
    survey = SDSS

    def batch(self, n: int, seed: Any) -> MockBatch:
        ones = np.ones((n, GRID.n), dtype=np.float32)
        return MockBatch(7 * ones, ones, np.full(n, 3), np.zeros(n), np.zeros(n), GRID)


def test_mocks_are_mixed_in_by_their_share(night: Path) -> None:
    batch = LabelledSource(found(night), SDSS, GRID, mocks=Mocks(), mix=0.25).batch(80, 1)
    assert int((batch.flux == 7).all(1).sum()) == 20
    assert (np.diff(np.flatnonzero((batch.flux == 7).all(1))) > 1).any(), "shuffled"


def test_in_turn_every_spectrum_of_a_split_comes_once(night: Path) -> None:
    source = InTurn(found(night), SDSS, GRID, "train")
    batches = [source.batch(min(16, len(source) - start), 0) for start in range(0, len(source), 16)]
    label = np.concatenate([batch.label for batch in batches])
    assert np.array_equal(label, found(night).label[found(night).rows("train")])
    assert np.all(np.abs(batches[0].snr - 10) < 1), "as a file's own pixels have it"


def test_too_few_objects_of_a_class_are_named_with_count_and_minimum(night: Path) -> None:
    n = int((found(night).label == 0).sum())
    assert n < MINIMUM
    with pytest.raises(CatalogError, match=rf"STAR_A0 {n}, .*at least {MINIMUM} of each.*--mix"):
        check_numbers(found(night), SDSS, remedy=False)
    assert "STAR_A0" in check_numbers(found(night), SDSS, remedy=True)


def test_shifts_need_a_logarithmic_grid(night: Path) -> None:
    with pytest.raises(CatalogError, match="--shift 0"):
        LabelledSource(found(night), SDSS, LinearGrid(), shift=2)
