"""A survey is one TOML file, checked at load with the file and the key in the error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.survey import SurveyError, assets_dir, load_survey, survey_names

GOOD = """
name = "two"
title = "Two classes"
wave_range = [3600.0, 9200.0]
model = "two-v1"
[[class]]
name = "STAR"
spectype = "STAR"
[[class]]
name = "GALAXY"
spectype = "GALAXY"
z_range = [0.0, 1.0]
good = 0.0015
"""


def load(tmp_path: Path, text: str):  # type: ignore[no-untyped-def]
    path = tmp_path / "two.toml"
    path.write_text(text)
    return load_survey(path)


def test_sdss_has_the_papers_thirteen_classes_in_its_order() -> None:
    survey = load_survey("sdss")
    assert survey.names == (
        "STAR_A0", "STAR_F5", "STAR_F9", "STAR_G2", "STAR_K1", "STAR_K3", "STAR_K5",
        "GALAXY", "GALAXY_AGN", "GALAXY_STARBURST", "GALAXY_STARFORMING", "QSO", "QSO_BROADLINE",
    )  # fmt: skip
    assert survey.extragalactic == (7, 8, 9, 10, 11, 12)
    assert survey.good_threshold("GALAXY") == 0.0015
    assert survey.good_threshold("QSO") == 0.015
    assert survey.classes[7].paper_name == "GALAXY_nan"
    assert "sdss" in survey_names()
    assert survey.index("QSO") == 11


def test_the_hash_follows_what_a_model_depends_on_and_nothing_else(tmp_path: Path) -> None:
    first = load(tmp_path, GOOD).sha256
    assert load(tmp_path, GOOD + "# a comment\n").sha256 == first
    assert load(tmp_path, GOOD.replace("two-v1", "two-v2")).sha256 == first
    assert load(tmp_path, GOOD.replace("[0.0, 1.0]", "[0.0, 1.1]")).sha256 != first
    assert load(tmp_path, GOOD.replace('"STAR"\nspectype', '"STAR_A"\nspectype')).sha256 != first


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "two"', "", r"two\.toml: key 'name'"),
        ('model = "two-v1"', "model = 3", r"two\.toml: key 'model'"),
        ("[3600.0, 9200.0]", "[9200.0, 3600.0]", r"two\.toml: key 'wave_range' must be \[low, high\]"),
        ("[3600.0, 9200.0]", '"all"', r"two\.toml: key 'wave_range'"),
        ('title = "Two classes"', 'title = "T"\ncolour = 1', r"unknown key 'colour'"),
        ("good = 0.0015", "good = 2.0", r"class\[1\] \(GALAXY\): key 'good'"),
        ("good = 0.0015", "", r"class\[1\] \(GALAXY\): key 'good'"),
        ("[0.0, 1.0]", "[-1.0, 1.0]", r"class\[1\] \(GALAXY\): key 'z_range'"),
        ('spectype = "STAR"', 'spectype = "PLANET"', r"class\[0\] \(STAR\): key 'spectype'"),
        ('spectype = "STAR"', 'spectype = "STAR"\nz_range = [0.0, 1.0]', r"remove 'z_range' and 'good'"),
        ('name = "STAR"', 'name = "GALAXY"', r"'GALAXY' occurs twice"),
        ('name = "STAR"', 'name = "A star"', r"class\[0\]: key 'name'"),
        ('spectype = "STAR"', 'spectype = "STAR"\nzrange = 1', r"class\[0\]: unknown key 'zrange'"),
        ("[[class]]", "[class", r"two\.toml: cannot be read as TOML"),
    ],
)
def test_a_wrong_survey_names_the_file_and_the_key(old: str, new: str, reason: str, tmp_path: Path) -> None:
    assert old in GOOD
    with pytest.raises(SurveyError, match=reason):
        load(tmp_path, GOOD.replace(old, new, 1))


def test_an_unknown_survey_or_class_lists_those_that_exist() -> None:
    with pytest.raises(SurveyError, match=r"there are: .*sdss"):
        load_survey("nowhere")
    with pytest.raises(SurveyError, match="its classes are STAR_A0"):
        load_survey("sdss").index("STAR_B")


def test_missing_assets_name_both_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GASNET_ASSETS", str(tmp_path / "none"))
    with pytest.raises(SurveyError, match=r"none not found.*keep `assets` beside"):
        assets_dir()


def test_4most_desi_and_the_coarse_classes_are_the_papers_in_its_order() -> None:
    fourmost, desi, coarse = (load_survey(name) for name in ("4most", "desi", "coarse"))
    assert fourmost.names == (
        "Dyn", "GalHR", "ESN", "GalDiskLR", "MCsn", "COSMO_AGN", "ClusB", "WAVES", "RedGAL", "tides_host",
    )  # fmt: skip
    assert [c.z_range for c in fourmost.classes[5:]] == [(0.9, 4.0), (0.3, 1.0), (0.0, 0.8), (0.0, 1.1), (0.0, 0.6)]
    assert [c.mean_snr for c in fourmost.classes] == [74.5, 39.9, 12.8, 140.4, 72.3, 6.3, 5.8, 1.6, 8.7, 19.7]
    assert desi.names == ("STAR", "QSO", "GALAXY")
    assert [c.z_range for c in desi.classes] == [None, (0.06, 4.27), (0.0, 1.69)]
    assert coarse.names == ("STAR", "GALAXY", "QSO")
    assert coarse.wave_range == load_survey("sdss").wave_range


def test_a_survey_is_named_as_its_file_and_its_model_after_it() -> None:
    for name in survey_names():
        survey = load_survey(name)
        assert survey.name == name
        assert survey.model.startswith(f"{name}-")
        assert {c.good for c in survey.classes} <= {None, 0.0015, 0.015}


def test_the_type_is_chosen_before_the_class() -> None:
    survey = load_survey("sdss")
    p = np.zeros((2, 13))
    p[0, survey.index("STAR_F5")] = 0.4  # the most probable class, though three of five chances are a galaxy's
    p[0, [survey.index("GALAXY"), survey.index("GALAXY_AGN")]] = 0.35, 0.25
    p[1, survey.index("QSO")] = 1.0
    assert [survey.names[k] for k in survey.choose(p)] == ["GALAXY", "QSO"]
    assert survey.names[int(survey.choose(p[0]))] == "GALAXY"
