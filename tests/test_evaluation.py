"""An Evaluation: its arrays, tables and figures on answers made by hand, and the paper's own tables through them."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from astropy.io import fits
from fake_templates import make_templates
from test_metrics import PUBLISHED, RESULTS

from engine.ensemble import Ensemble
from engine.evaluate import (
    MOCK,
    Evaluation,
    Labelled,
    Objects,
    calibration,
    collect,
    document,
    figures,
    labelled,
    mean_over_classes,
    measure,
    mocks,
    of_group,
    quality,
    write_json,
)
from engine.evaluate.measure import Example
from engine.mock import Simulator
from engine.mock.files import simulate
from engine.prediction import Prediction, ZWarn
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import load_survey
from gasnet_app.evaluation_page import page
from gasnet_app.evaluation_page.panels import legend, panel_groups, plot, points

SURVEY = load_survey("sdss")
QSO, GALAXY, A0 = SURVEY.index("QSO"), SURVEY.index("GALAXY"), SURVEY.index("STAR_A0")


def objects(n: int = 1, **given: object) -> Objects:
    """n quasars at z = 1 answered rightly, changed by what is given: a value, or one for each."""
    plain: dict[str, object] = {
        "name": [f"object {k}" for k in range(n)], "spectype": "QSO", "spectype_pred": "QSO", "flags": "", "label": QSO,
        "p": np.eye(13)[QSO], "z": 1.0, "z_pred": 1.0, "zerr": 0.01, "z_point": 1.0, "z_peak": 1.0, "mae": 0.02,
        "window": 0.015, "snr": 10.0, "vdisp": math.nan, "robust": True, "pit": 0.5, "confidence": 0.9,
        "reliable": False, "ood": math.nan, "ood_flag": False,
    }  # fmt: skip
    row = plain | given
    order = np.argsort(-np.broadcast_to(row["p"], (n, 13)), axis=1)
    row |= {"best": order[:, 0], "second": order[:, 1]}
    return Objects(**{key: np.broadcast_to(value, (n, 13) if key == "p" else (n,)) for key, value in row.items()})


def mixed(n: int = 1200, seed: int = 0) -> Objects:
    """Stars, galaxies and quasars, some of each wrong, as a model might answer."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 13, n)
    kind = np.array([SURVEY.classes[k].spectype for k in label])
    far = kind != "STAR"
    p = rng.dirichlet(np.full(13, 0.05), n) * 0.4 + 0.6 * np.eye(13)[label]
    window = np.where(kind == "QSO", 0.015, 0.0015)
    z = np.where(far, rng.uniform(0.02, 3, n), 0.0)
    zerr = np.where(far, window * rng.uniform(0.05, 0.4, n), np.nan)
    z_pred = np.where(far, z + zerr * rng.normal(size=n), np.nan)
    wrong = far & (rng.random(n) < 0.05)
    z_pred, zerr = np.where(wrong, z_pred + 0.4, z_pred), np.where(wrong, 0.2, zerr)
    best = np.array([SURVEY.classes[k].spectype for k in p.argmax(axis=1)])
    none = np.where(far, 1.0, np.nan)
    return objects(
        n, spectype=kind, spectype_pred=best, label=label, p=p, z=z, z_pred=z_pred, zerr=zerr, z_point=z_pred,
        z_peak=z_pred, mae=window * none, window=window * none, snr=rng.lognormal(2, 0.8, n), robust=zerr <= window,
        vdisp=np.where(kind == "GALAXY", rng.uniform(60, 300, n), np.nan), pit=rng.random(n) * none,
    )  # fmt: skip


def evaluation(o: Objects, name: str = "made") -> Evaluation:
    validation = {"n": 5200, "accuracy": 0.87, "classes": {"QSO": {"accuracy": 0.9, "good_fraction": 0.94}}}
    card = {"model": name, "survey": "sdss", "network": "matched", "members": [{}, {}], "validation": validation}
    wave = np.linspace(3800.0, 9200, 300)
    example = Example("shown", "QSO", 1.0, 12.0, wave, np.sin(wave / 90), np.abs(np.cos(wave / 70)), np.ones(300))
    return Evaluation(SURVEY, card, "made by hand", o, (("gone", "no redshift"),), (example,), quality(o, SURVEY), 0)


# --- the tables ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not RESULTS.is_dir(), reason=f"the authors' result tables are not in {RESULTS}")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_paper_s_own_objects_give_the_paper_s_table(name):
    mae, published = PUBLISHED[name]
    table = fits.getdata(RESULTS / f"{name}-MC.fits")
    label = SURVEY.index(next(c.name for c in SURVEY.classes if c.paper_name == name))
    spectype = SURVEY.classes[label].spectype
    z_pred, zerr = table["pred_bar"].astype(float), table["pred_std"].astype(float)
    made = objects(
        3000, label=label, spectype=spectype, z=table["label"].ravel().astype(float), z_pred=z_pred, zerr=zerr, mae=mae,
        window=SURVEY.good_threshold(spectype), robust=zerr <= mae, snr=table["SNR"].astype(float),
    )  # fmt: skip
    numbers = quality(made, SURVEY)[0].numbers
    found = [numbers[key].value for key in ("mae", "dz", "good", "within_t", "robust", "good_robust")]
    assert "{:.4f} {:.4f} {:.3f} {:.3f} {:.3f} {:.3f}".format(*found) == published
    (group,) = figures.redshift(made, SURVEY)
    assert f"{group['mean']['mae']:.4f} {group['mean']['dz']:.4f} {group['mean']['good']:.3f}" == published[:19]


def test_a_row_for_each_class_and_type_that_occurs_and_for_all():
    o = objects(4, label=[QSO, QSO, -1, A0], spectype=["QSO"] * 3 + ["STAR"], z_pred=[1, 1, 1, math.nan])
    rows = {row.name: row for row in quality(o, SURVEY)}
    assert list(rows) == ["STAR_A0", "QSO", "all STAR", "all QSO", "all"]
    assert (rows["all"].n, rows["all"].n_class) == (4, 3)
    assert rows["all"].numbers["accuracy"].value == pytest.approx(2 / 3)  # the object of no class does not count
    assert math.isnan(rows["STAR_A0"].numbers["good"].value)
    assert mean_over_classes(quality(o, SURVEY), SURVEY, "accuracy").value == 0.5


def test_the_bootstrap_error_of_a_fraction_is_its_binomial_one_and_is_drawn_from_the_seed():
    o = objects(400, z_pred=np.where(np.arange(400) < 100, 2.0, 1.0))
    good = quality(o, SURVEY, seed=1)[0].numbers["good"]
    assert good.value == 0.75
    assert good.error == pytest.approx(math.sqrt(0.75 * 0.25 / 400), rel=0.2)
    assert quality(o, SURVEY, seed=1)[0].numbers["good"] == good
    assert quality(o, SURVEY, seed=2)[0].numbers["good"].error != good.error


def test_a_fraction_of_one_is_not_certain():
    assert quality(objects(50), SURVEY)[0].numbers["good"].error == pytest.approx(math.sqrt(0.01 * 0.99 / 50))


def test_top_2_counts_the_second_most_probable_class():
    p = np.zeros(13)
    p[[QSO, GALAXY]] = 0.4, 0.6
    numbers = quality(objects(1, p=p), SURVEY)[0].numbers
    assert (numbers["accuracy"].value, numbers["top2"].value) == (0, 1)


# --- the figures --------------------------------------------------------------------------------------------------


def test_bias_is_grouped_by_snr_as_in_the_paper():
    o = objects(4, snr=[1, 2, 9.9, 30], z_pred=[2, 1, 2, 1])
    (group,) = figures.redshift(o, SURVEY)
    assert [(part["low"], part["n"], part["good"]) for part in group["by_snr"]] == [(0, 1, 0), (2, 2, 0.5), (10, 1, 1)]


def test_ten_redshift_bins_hold_every_object_and_their_mean_residual():
    o = objects(100, z=np.linspace(0, 2, 100), z_pred=np.linspace(0, 2, 100) + 0.01, zerr=0.02)
    (group,) = figures.redshift(o, SURVEY)
    assert [b["n"] for b in group["bins"]] == [10] * 10
    assert all(b["residual"] == pytest.approx(0.01) and b["sigma"] == pytest.approx(0.02) for b in group["bins"])


def test_accuracy_against_snr_has_the_papers_14_bins():
    (first, quasars) = figures.accuracy_by_snr(objects(1000, snr=np.linspace(0.1, 60, 1000)))
    assert (first["name"], quasars["name"]) == ("all", "QSO")
    assert len(first["bins"]) == 14
    assert first["bins"][-1]["high"] == 50


def test_objects_of_unknown_class_have_a_panel_of_their_own():
    names = [group["name"] for group in figures.redshift(objects(3, label=[QSO, -1, -1]), SURVEY)]
    assert names == ["QSO", "QSO, class not given"]


def test_the_confusion_matrices_have_the_truth_in_rows():
    p = np.eye(13)[[QSO, GALAXY]]
    made = figures.confusion(objects(2, p=p, spectype_pred=["QSO", "GALAXY"]), SURVEY)
    assert (made["classes"]["counts"][QSO, QSO], made["classes"]["counts"][QSO, GALAXY]) == (1, 1)
    assert made["types"]["counts"].tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 1]]


def test_uniform_pit_is_calibrated_and_a_hill_is_not():
    flat = calibration.pit(objects(1000, pit=(np.arange(1000) + 0.5) / 1000))[0]
    assert flat["ks"] < 0.002
    assert set(flat["counts"]) == {50}
    assert calibration.pit(objects(1000, pit=0.5))[0]["ks"] == 0.5
    covered = calibration.coverage(objects(1000, pit=(np.arange(1000) + 0.5) / 1000))[0]
    np.testing.assert_allclose(covered["covered"], covered["level"], atol=0.002)


def test_reliability_compares_what_was_given_with_what_was_right():
    p = np.zeros((100, 13))
    p[:, QSO], p[:, GALAXY] = 0.75, 0.25
    label = np.where(np.arange(100) < 60, QSO, GALAXY)
    spectype = np.where(np.arange(100) < 60, "QSO", "GALAXY")
    by_class, by_type = calibration.reliability(objects(100, p=p, label=label, spectype=spectype), SURVEY)
    assert by_class["ece"] == pytest.approx(0.15)
    assert by_class["bins"] == [
        {"n": 100, "given": pytest.approx(0.75), "right": 0.6, "error": pytest.approx(0.049, abs=1e-3)}
    ]
    assert by_type["ece"] == pytest.approx(0.15)


def test_a_rule_that_knows_the_outliers_is_pure_until_it_is_complete():
    wrong = np.arange(100) >= 80
    o = objects(100, z_pred=np.where(wrong, 2.0, 1.0), zerr=np.where(wrong, 1.0, 0.01), robust=~wrong)
    (line,) = calibration.purity(o)
    assert line["paper"] == {"kept": 0.8, "purity": 1.0, "completeness": 1.0, "caught": 1.0}
    sigma = line["rules"]["sigma"]
    assert all(
        pure == 1 or complete == 1 for pure, complete in zip(sigma["purity"], sigma["completeness"], strict=True)
    )
    assert sigma["purity"][-1] == 0.8
    assert line["ours"] is None


# --- from spectra -------------------------------------------------------------------------------------------------


def spectrum() -> Spectrum:
    wave = np.linspace(3800, 9200, 600)
    return Spectrum(wave, np.random.default_rng(0).normal(5, 1, 600), np.ones(600), "x")


def prediction(z: float, sigma: float, label: int = QSO) -> Prediction:
    """A quasar (or whatever) whose p(z) is a Gaussian around z."""
    z_grid = np.expm1(np.linspace(0, 2, 20001))
    pdf = np.exp(-0.5 * ((z_grid - z) / sigma) ** 2) / sigma / math.sqrt(2 * math.pi)
    e = len(SURVEY.extragalactic)
    return Prediction(
        "x", SURVEY, "m", np.eye(13)[label], np.eye(13)[[label, label]], SURVEY.extragalactic, z_grid,
        np.tile(pdf, (e, 1)),
        np.zeros((0, e, 20001), np.float32), np.array([np.full(e, z - 0.1), np.full(e, z + 0.1)]), np.full(e, z),
        np.full(e, 0.1), np.full(e, 0.2), 7.0, ZWarn(0), True,
    )  # fmt: skip


def test_pit_is_the_probability_below_the_true_redshift():
    items = [Labelled(MOCK, "x", Label("QSO", "", z, zwarning=0), spectrum(), "QSO") for z in (2.0, 2.03, 1.9)]
    o = collect(items, [prediction(2.0, 0.03)] * 3)
    np.testing.assert_allclose(o.pit, [0.5, 0.8413, 0.0004], atol=1e-3)
    np.testing.assert_allclose(o.covering, [0.0, 0.6827, 0.9991], atol=2e-3)
    assert o.z_point.tolist() == pytest.approx([1.9] * 3)
    assert o.robust.all()
    assert o.right.tolist() == [True, True, False]


def test_a_star_has_a_class_and_no_redshift():
    item = Labelled(MOCK, "x", Label("STAR", "", 1e-4, zwarning=0), spectrum(), "STAR_A0", vdisp=12.0)
    o = collect([item], [prediction(1.0, 0.1, label=A0)])
    assert o.correct.all()
    assert o.right.all()
    assert not o.far.any()
    assert np.isnan([o.z_pred, o.pit, o.t]).all()
    assert (o.z.tolist(), o.vdisp.tolist()) == ([0.0], [12.0])


def test_the_pooled_set_is_judged_and_the_others_are_said():
    items = [replace(Labelled("LAMOST", str(k), Label(), spectrum()), group=g) for k, g in enumerate("aab")]
    left_out: list[tuple[str, str]] = []
    assert [item.name for item in of_group(items, "a", left_out)] == ["0", "1"]
    assert left_out == [("1 spectra of b", "another group; --group 'b' measures it")]
    assert [item.name for item in of_group(items, "", left_out)] == ["0", "1", "2"], "no pooled set: every group"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory) -> Simulator:
    return Simulator(SURVEY, make_templates(tmp_path_factory.mktemp("templates")), "test", n_pool=40)


def test_mocks_and_the_files_that_simulate_writes_are_judged_by_what_was_simulated(simulator, tmp_path):
    ensemble = Ensemble.untrained("matched", SURVEY, 2)
    left_out = [("a", "b")]
    found = measure(ensemble, mocks(simulator, 26, 5, SURVEY), "26 mocks", left_out)
    assert len(found.objects) == 26
    assert found.objects.known.all()
    assert found.left_out == (("a", "b"),)
    assert np.isfinite(found.objects.pit[found.objects.far]).all()
    assert (np.isfinite(found.objects.vdisp) == (found.objects.spectype == "GALAXY")).all()
    paths = simulate(simulator, 13, 5, tmp_path)
    items = list(labelled(tmp_path, []))
    assert [item.class_in(SURVEY) for item in items] == [fits.getheader(path)["TRUECLS"] for path in paths]
    assert {item.group for item in items} == {MOCK}
    assert [math.isfinite(item.vdisp) for item in items] == [item.label.spectype == "GALAXY" for item in items]
    coarse = load_survey("coarse")
    assert [item.class_in(coarse) for item in items] == [item.label.spectype for item in items]


def test_nothing_to_judge_says_why():
    with pytest.raises(SpectrumError, match="no spectrum that can be judged; the first of 1 left out: a: because"):
        measure(Ensemble.untrained("matched", SURVEY, 1), [], "nothing", [("a", "because")])


# --- the document and the page ------------------------------------------------------------------------------------


def test_the_document_is_json_without_nan_and_holds_every_object(tmp_path):
    o = mixed()
    write_json(document(evaluation(o)), tmp_path / "evaluation.json")
    text = (tmp_path / "evaluation.json").read_text()
    assert "NaN" not in text
    assert "Infinity" not in text
    read = json.loads(text)
    assert {len(values) for values in read["objects"].values()} == {len(o)}
    assert read["tables"]["quality"]["rows"][-1]["n"] == len(o)
    star = read["objects"]["spectype"].index("STAR")
    assert read["objects"]["z_pred"][star] is None
    missed = {miss["object"] for miss in read["tables"]["misses"]}
    assert missed == set(np.flatnonzero(~o.right))


EVIL = "</script><b>&"


@pytest.fixture(scope="module")
def written() -> str:
    """The page of many objects, from its JSON, whose names would break it; without Bokeh's own script."""
    o = mixed()
    names = replace(o, name=np.full(len(o), EVIL))
    text = page(json.loads(json.dumps(document(evaluation(names, EVIL)))))
    assert len(text) < 15e6
    return text[text.index("</head><body>") :]


def test_the_page_holds_every_figure_of_the_paper_and_asks_no_other_host(written):
    assert written.count('class="plot"') == 2 + 1 + 6 * 6 + 2 + 2 + 2 + 2 + 1
    for figure in ("12", "B1", "C1", "15", "13", "14", "16", "17", "18", "E1", "D1"):
        assert f"Fig. {figure}" in written or f"Figs {figure}" in written
    assert not [word for word in ("http", "src=", "<link") if word in written]


def test_a_legend_names_only_what_is_drawn():
    p = plot("", "x", "y")
    empty, full = p.line([], []), p.line([0, 1], [0, 1])
    legend(p, [("no medians", [empty]), ("medians", [full])])
    assert [item.label.value for item in p.below[-1].items] == ["medians"]


def test_fractions_of_a_few_objects_are_not_drawn():
    bins = [{"low": k, "high": k + 1, "n": n, "good": 1.0, "error": 0.1} for k, n in enumerate((4, 5))]
    line, _ = points(plot("", "x", "y"), bins, "good", "black")
    assert list(line.data_source.data["x"]) == [1.5]


def test_two_objects_without_a_class_are_in_the_table_only():
    document_of = document(evaluation(objects(2, label=[-1, -1])))
    assert document_of["figures"]["redshift"]
    assert panel_groups(document_of) == []


def test_names_from_files_cannot_break_the_page(written):
    assert EVIL not in written
    assert "&lt;/script&gt;" in written


def test_stars_alone_make_a_page_without_redshifts():
    star = objects(1, spectype="STAR", spectype_pred="STAR", label=A0, p=np.eye(13)[A0], z_pred=math.nan, pit=math.nan)
    text = page(document(evaluation(star)))
    assert 'id="redshifts"' not in text
    assert "No wrong redshift" in text


def test_every_array_has_one_value_for_each_object():
    o = mixed(50)
    assert {len(getattr(o, field.name)) for field in fields(Objects)} == {50}
    assert len(o.take(o.far)) == o.far.sum()
