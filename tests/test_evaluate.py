"""validate: the label table, what is trusted, and every number of the report on cases by hand."""

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from engine import evaluate, report
from engine.ensemble import Ensemble, load_ensemble
from engine.evaluate import (
    POOLED,
    Case,
    confusions,
    judge,
    labelled,
    mistaken,
    redshift_bins,
    summary,
    true_class,
    validate,
)
from engine.evaluate.confusions import CHANCE
from engine.prediction import Prediction, ZWarn
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import load_survey

REALSPEC = Path(__file__).parents[1].parent / "shared" / "data" / "realspec"
SURVEY = load_survey("sdss")


@pytest.mark.parametrize(
    ("spectype", "subclass", "name"),
    [
        ("QSO", "BROADLINE", "QSO_BROADLINE"),
        ("QSO", "STARBURST BROADLINE", "QSO_BROADLINE"),
        ("QSO", "", "QSO"),
        ("QSO", "AGN", "QSO"),
        ("GALAXY", "", "GALAXY"),
        ("GALAXY", "STARBURST", "GALAXY_STARBURST"),
        ("GALAXY", "STARFORMING", "GALAXY_STARFORMING"),
        ("GALAXY", "AGN BROADLINE", "GALAXY_AGN"),
        ("GALAXY", "BROADLINE", ""),
        ("STAR", "A0", "STAR_A0"),
        ("STAR", "A0p", "STAR_A0"),
        ("STAR", "F3/F5V (30743)", "STAR_F5"),
        ("STAR", "F5", "STAR_F5"),
        ("STAR", "F0IV (81937)", ""),
        ("STAR", "WD", ""),
        ("STAR", "", ""),
        ("", "", ""),
    ],
)
def test_the_label_table(spectype, subclass, name):
    assert true_class(spectype, subclass) == name
    assert name in (*SURVEY.names, "")


@pytest.mark.skipif(not REALSPEC.is_dir(), reason=f"the real spectra are not in {REALSPEC}")
def test_the_pooled_set_is_36_stars_23_galaxies_and_109_quasars():
    left_out: list[tuple[str, str]] = []
    items = [item for item in labelled(REALSPEC, left_out) if item.group == POOLED]
    assert Counter(item.label.spectype for item in items) == {"STAR": 36, "GALAXY": 23, "QSO": 109}
    assert len({item.name for item in items}) == len(items)
    assert Counter(reason.split()[0] for _, reason in left_out) == {"label": 3, "zwarning": 6, "covers": 4, "quasar": 1}


def spectrum(low: float = 3800, high: float = 9200) -> Spectrum:
    wave = np.linspace(low, high, 800)
    return Spectrum(wave, np.random.default_rng(0).normal(5, 1, 800), np.ones(800), "x")


def prediction(p: dict[str, float], z: dict[str, float], zerr: float = 0.001, robust: bool = True) -> Prediction:
    names = [SURVEY.names[i] for i in SURVEY.extragalactic]
    probability = np.array([p.get(name, 0.0) for name in SURVEY.names])
    z_grid = np.union1d(np.linspace(0, 9.5, 20), list(z.values()))
    pdf = np.stack([np.exp(-(((z_grid - z.get(name, 9.0)) / 1e-3) ** 2)) for name in names])
    pdf /= (pdf * np.gradient(z_grid)).sum(axis=1, keepdims=True)
    return Prediction(
        "x", SURVEY, "m", probability, probability[None], SURVEY.extragalactic, z_grid, pdf,
        pdf[None].astype(np.float32), np.zeros((1, 6)), np.array([z.get(name, 9.0) for name in names]),
        np.full(6, zerr), np.full(6, 0.01), 5.0, ZWarn(0), robust,
    )  # fmt: skip


def item(spectype: str, subclass: str, z: float, group: str = POOLED) -> evaluate.Labelled:
    return evaluate.Labelled(group, "x", Label(spectype, subclass, z, zwarning=0), spectrum())


def test_the_redshift_is_judged_on_the_best_class_of_the_true_type():
    answer = prediction({"GALAXY": 0.5, "QSO": 0.2, "QSO_BROADLINE": 0.3}, {"QSO": 1.0, "QSO_BROADLINE": 2.0})
    case = judge(item("QSO", "BROADLINE", 2.01), answer)
    assert (case.spectype_pred, case.class_pred, case.z_pred) == ("GALAXY", "GALAXY", 2.0)
    assert case.good  # ln(3.01 / 3) = .0033 < .015
    assert not judge(item("GALAXY", "", 8.98), answer).good  # ln(10 / 9.98) = .0020 > .0015
    assert case.line_ratio == pytest.approx(3 / 3.01)


def test_robust_is_the_papers_rule_on_that_redshift_and_the_members_word_for_a_star():
    assert not judge(item("QSO", "", 1), prediction({"QSO": 1}, {"QSO": 1}, zerr=0.02, robust=True)).robust
    assert judge(item("QSO", "", 1), prediction({"QSO": 1}, {"QSO": 1}, zerr=0.005, robust=False)).robust
    assert judge(item("STAR", "F5", 0), prediction({"STAR_F5": 1}, {}, robust=True)).robust
    assert not judge(item("STAR", "F5", 0), prediction({"STAR_F5": 1}, {}, robust=False)).robust


def test_a_blank_subclass_is_a_class_only_where_the_sdss_pipeline_gave_it():
    answer = prediction({"GALAXY": 1}, {})
    assert judge(item("GALAXY", "", 1), answer).class_name == "GALAXY"
    assert judge(item("GALAXY", "", 1, group="6dFGS"), answer).class_name == ""


def case(true: str, answer: str, z: float, z_pred: float, robust: bool = True, labelled: bool = True) -> Case:
    spectype, answer_type = true.split("_")[0], answer.split("_")[0]
    good = spectype == "STAR" or abs(math.log((1 + z) / (1 + z_pred))) < SURVEY.good_threshold(spectype)
    name = true if labelled else ""
    second = "QSO" if answer == "QSO_BROADLINE" else "STAR_A0"
    return Case(POOLED, "o", spectype, name, z, answer, answer_type, z_pred, 0.0, robust, good, (), second)


CASES = [
    case("QSO", "QSO", 1.0, 1.0),
    case("QSO", "QSO_BROADLINE", 1.0, 1.02),
    case("QSO", "GALAXY", 1.0, 1.2, robust=False),
    case("QSO", "QSO", 1.0, 1.3, labelled=False),
    case("STAR_F5", "STAR_F5", 0.0, 0.0),
]


def test_the_numbers_of_a_line_by_hand():
    lines = {line.name: line for line in summary(CASES, SURVEY)}
    assert list(lines) == ["STAR_F5", "QSO", "all STAR", "all QSO"]
    qso = lines["all QSO"]
    assert (qso.n, qso.n_class) == (4, 3)
    assert qso.accuracy == pytest.approx(1 / 3)
    assert qso.top2 == pytest.approx(2 / 3)  # QSO is second where QSO_BROADLINE is first, and nowhere for the galaxy
    assert qso.type_accuracy == 0.75
    assert qso.good == 0.5
    assert qso.nmad == pytest.approx(1.4826 * 0.05)  # dz / (1 + z): 0, .01, .1, .15; median .055
    assert qso.catastrophic == 0.5
    assert qso.robust == 0.75
    assert qso.good_robust == pytest.approx(2 / 3)
    assert math.isnan(lines["all STAR"].good)
    assert lines["QSO"].n == 3


def test_a_redshift_bin_counts_its_objects_and_leaves_stars_out():
    (line,) = redshift_bins(CASES)
    assert (line.spectype, line.low, line.high, line.n, line.good) == ("QSO", 1.0, 1.5, 4, 0.5)
    assert line.type_accuracy == 0.75


def test_h_alpha_read_as_c_iii_is_named_by_its_ratio():
    z = 0.1
    z_pred = (1 + z) * 6564.613 / 1908.734 - 1
    found = confusions([("a", z, z_pred), ("b", z, z_pred * 1.001), ("c", z, 9.0)], SURVEY.wave_range)
    assert [(c.words, c.n, c.objects) for c in found[:1]] == [("Hα read as C III] 1909", 2, ("a", "b"))]
    assert found[0].expected == pytest.approx(3.44, abs=0.005)
    assert found[-1].words == CHANCE
    assert found[-1].objects == ("c",)


def test_a_line_outside_of_the_spectrum_is_not_what_was_mistaken():
    z, ratio = 0.5, 6564.613 / 1908.734  # H-alpha lies at 9847 A
    assert mistaken(z, (1 + z) * ratio - 1, SURVEY.wave_range) is None
    assert mistaken(z, (1 + z) * ratio - 1, (3600, 10000)) is not None


def test_a_survey_with_one_class_of_a_type_takes_the_label_s_type_for_its_class():
    assert item("GALAXY", "", 1.0, group="6dFGS").class_in(load_survey("coarse")) == "GALAXY"
    assert item("GALAXY", "", 1.0, group="6dFGS").class_in(SURVEY) == ""


def example_folder(folder: Path) -> Path:
    """A manifest of two CSV files (one of them missing), and an .npz of three spectra."""
    wave = np.linspace(3800, 9200, 900)
    flux = np.random.default_rng(2).normal(5, 1, (3, 900))
    rows = "\n".join(f"{w:.3f},{f:.4f},1.0" for w, f in zip(wave, flux[0], strict=True))
    (folder / "a.csv").write_text("wave,flux,ivar\n" + rows + "\n")
    (folder / "manifest.csv").write_text(
        "path,target,survey,survey_id,class,subclass,z,zwarning\n"
        "a.csv,,SDSS,1-2-3,GALAXY,AGN,0.1,0\n"
        "gone.fits,,SDSS,1-2-4,GALAXY,AGN,0.1,0\n"
        "a.csv,,SDSS,1-2-5,QSO,,1.5,4\n"
        "a.csv,,LAMOST,1-2-6,STAR,K4,0.0,-1\n"
        "a.csv,,SDSS,1-2-7,STAR,K4,unknown,0.0\n"
    )
    np.savez(
        folder / "more.npz", id=["1-2-3", "2-2-2", "945-52652-470"], wave=wave, flux=flux, ivar=np.ones((3, 900)),
        cls=["GALAXY", "QSO", "STAR"], subclass=["AGN", "BROADLINE", "A0"], z=[0.1, 2.0, 0.0],
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> evaluate.Report:
    ensemble = Ensemble.untrained("matched", SURVEY, 1)
    return validate(example_folder(tmp_path_factory.mktemp("labelled")), ensemble, batch_size=2)


def test_manifest_and_npz_are_pooled_and_nothing_is_judged_twice(found):
    assert [(c.group, c.name) for c in found.cases] == [(POOLED, "1-2-3"), ("LAMOST", "1-2-6"), (POOLED, "2-2-2")]
    assert list(found.groups) == [POOLED, "LAMOST"]
    reasons = dict(found.left_out)
    assert "gone.fits" in reasons["1-2-4"]
    assert reasons["1-2-5"] == "zwarning 4"
    assert "'unknown'" in reasons["1-2-7"]
    assert reasons["1-2-3"] == "the same object again"
    assert reasons["945-52652-470"].startswith("label suspect: NGC 3073")


@pytest.mark.parametrize(
    ("label", "low", "reason"),
    [
        (Label("QSO", "", 4.6, zwarning=0), 3800, "quasar label at z = 4.600"),
        (Label("QSO", "", 4.4, zwarning=0), 3800, ""),
        (Label("GALAXY", "", 0.1, zwarning=0), 4600, "covers only 4600-9200 A"),
        (Label("", "", 0.1, zwarning=0), 3800, "no class or redshift in its label"),
        (Label("QSO", "", zwarning=0), 3800, "no class or redshift in its label"),
    ],
)
def test_what_is_not_trusted(label, low, reason):
    assert evaluate.distrust(evaluate.Labelled(POOLED, "x", label, spectrum(low))) == reason


def test_an_object_that_its_file_lacks_is_left_out_with_the_reason():
    spectra = [spectrum().with_(object_id="TARGET111"), spectrum().with_(object_id="222")]
    assert evaluate.pick(spectra, "111").object_id == "TARGET111"
    for target in ("333", ""):
        with pytest.raises(SpectrumError, match="column target must name one"):
            evaluate.pick(spectra, target)


def test_a_folder_without_labels_says_what_it_needs(tmp_path):
    with pytest.raises(SpectrumError, match=r"neither manifest\.csv nor a \.npz"):
        list(labelled(tmp_path, []))
    (tmp_path / "manifest.csv").write_text("path,z\n")
    with pytest.raises(SpectrumError, match="column 'class' is missing"):
        list(labelled(tmp_path, []))


def test_the_report_is_printed_as_tables_markdown_and_json(found, tmp_path, capsys):
    report.print_tables(found)
    assert "all GALAXY" in capsys.readouterr().out
    report.print_markdown(found, misses=True)
    out = capsys.readouterr().out
    assert "**untrained-matched on SDSS and BOSS/eBOSS, 2 spectra**" in out
    assert "| class | n | accuracy |" in out
    assert f"**Misses: {len(found.misses)}**" in out
    assert "- 1-2-5: zwarning 4" in out
    report.write_json(found, tmp_path / "out.json")
    plain = json.loads((tmp_path / "out.json").read_text())
    assert plain["groups"]["LAMOST"][-1]["good"] is None
    assert len(plain["cases"]) == 3


def test_a_miss_is_a_wrong_type_or_a_redshift_outside_the_window():
    made = evaluate.Report("m", {}, tuple(CASES), ())
    assert [c.z_pred for c in made.misses] == [1.2, 1.3]


@pytest.mark.skipif(not REALSPEC.is_dir(), reason=f"the real spectra are not in {REALSPEC}")
def test_the_shipped_model_is_right_on_real_spectra():
    """At most 2 stars, 2 galaxies and 8 quasars of the wrong type; 2 galaxies and 6 quasars with a wrong redshift."""
    pooled = [case for case in validate(REALSPEC, load_ensemble("sdss")).cases if case.group == POOLED]
    numbers, wrong_type, wrong_z = Counter(), Counter(), Counter()
    for case in pooled:
        numbers[case.spectype] += 1
        wrong_type[case.spectype] += case.spectype_pred != case.spectype
        wrong_z[case.spectype] += not case.good
    assert numbers == {"STAR": 36, "GALAXY": 23, "QSO": 109}
    assert wrong_type["STAR"] <= 2
    assert wrong_type["GALAXY"] <= 2
    assert wrong_type["QSO"] <= 8
    assert wrong_z["GALAXY"] <= 2
    assert wrong_z["QSO"] <= 6
