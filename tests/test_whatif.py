"""What if: regions hidden, noise added, members one by one, neighbours, and names for a feature. No screen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_app import LINES, SURVEY, prediction, spectrum

import engine
from engine import Ensemble, Rung, SpectrumError


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble.untrained("matched", engine.load_survey("sdss"), n_members=3)


# ---- occlusion -------------------------------------------------------------------------------------------------------


def test_a_hidden_region_has_no_usable_pixel_and_the_rest_is_as_it_was():
    s = spectrum()
    hidden = engine.occlude(s, [(5000.0, 5100.0), (7000.0, 6900.0)])
    inside = ((s.wave >= 5000) & (s.wave <= 5100)) | ((s.wave >= 6900) & (s.wave <= 7000))
    assert (hidden.ivar[inside] == 0).all()
    assert np.array_equal(hidden.ivar[~inside], s.ivar[~inside])
    assert np.array_equal(hidden.flux, s.flux)
    assert engine.occlude(s, []) is s
    assert engine.occlude(s, [(100.0, 200.0)]) is s


def test_hiding_everything_is_refused_with_a_remedy():
    with pytest.raises(SpectrumError, match=r"hide every usable pixel\. Take one of them back"):
        engine.occlude(spectrum(), [(0.0, 1e5)])


def test_what_is_hidden_does_not_reach_the_network(ensemble: Ensemble):
    s = spectrum()
    spoiled = s.with_(flux=np.where((s.wave > 5000) & (s.wave < 5100), 1e3, s.flux))
    first, second = ensemble.predict([engine.occlude(x, [(5000.0, 5100.0)]) for x in (s, spoiled)])
    assert first.p == pytest.approx(second.p, abs=1e-6)


# ---- noise -----------------------------------------------------------------------------------------------------------


def test_added_noise_lowers_the_snr_by_its_factor_and_the_flux_scatters_as_sigma_says():
    s = spectrum()
    worse = engine.degrade(s, 4.0, seed=3)
    assert worse.snr == pytest.approx(s.snr / 4, rel=0.15)
    good = s.good
    pulls = (worse.flux - s.flux)[good] * np.sqrt(worse.ivar[good])
    assert pulls.std() == pytest.approx(np.sqrt(15 / 16), rel=0.05)
    assert np.array_equal(worse.ivar == 0, s.ivar == 0)


def test_one_seed_gives_one_shape_of_noise_for_every_factor():
    s = spectrum()
    two, three = (engine.degrade(s, factor, seed=1).flux - s.flux for factor in (2.0, 3.0))
    assert np.allclose(three[s.good] / np.sqrt(8), two[s.good] / np.sqrt(3))
    assert engine.degrade(s, 1.0) is s
    assert not np.allclose(engine.degrade(s, 2.0, seed=2).flux - s.flux, two)


@pytest.mark.parametrize("factor", [0.5, 0.0, float("nan")])
def test_noise_cannot_be_taken_away(factor: float):
    with pytest.raises(ValueError, match="give 1 or more"):
        engine.degrade(spectrum(), factor)


def test_a_ladder_of_noise_begins_with_the_answer_as_observed(ensemble: Ensemble):
    s = spectrum()
    ladder = engine.noise_ladder(ensemble, s, (4.0, 1.0, 2.0))
    assert [rung.factor for rung in ladder] == [1.0, 2.0, 4.0]
    assert ladder[0].prediction.p == pytest.approx(ensemble.predict([s])[0].p, abs=1e-5)
    assert [rung.snr for rung in ladder] == sorted((rung.snr for rung in ladder), reverse=True)


def test_where_the_flag_the_type_and_z_change_is_told_in_words():
    steps = [(1.0, 14.0), (2.0, 7.0), (4.0, 3.5)]

    def ladder(*answers: engine.Prediction) -> list[Rung]:
        return [Rung(factor, snr, answer) for (factor, snr), answer in zip(steps, answers, strict=True)]

    sure, unsure = prediction(), prediction(robust=False)
    assert engine.flips(ladder(sure, sure, sure)) == "Robust up to 4 times the noise (SNR 3.5)."
    assert engine.flips(ladder(sure, sure, unsure)) == (
        "Robust up to 2 times the noise (SNR 7.0), unstable at 4 (SNR 3.5)."
    )
    lost = engine.flips(ladder(sure, prediction(z=0.4), prediction(best="STAR_K5")))
    assert lost == "Robust up to 4 times the noise (SNR 3.5); called STAR at 4; z = 0.400 at 2."


@pytest.mark.parametrize(("snr", "last"), [(14.0, 20.0), (1.0, 4.0), (500.0, 128.0), (float("nan"), 4.0)])
def test_a_ladder_goes_down_to_where_little_is_left_to_see(snr: float, last: float):
    factors = engine.rungs(snr)
    assert (factors[0], factors[-1]) == (1.0, pytest.approx(last))
    assert np.diff(np.log(factors)) == pytest.approx(np.log(last) / 8)


def test_what_another_look_changes_is_told_in_words():
    sure = prediction()
    assert engine.changed(sure, prediction()) == "nothing changes"
    assert engine.changed(sure, prediction(robust=False)) == "robust → unstable"
    assert engine.changed(sure, prediction(best="QSO", z=0.4)) == (
        "GALAXY_STARFORMING 0.88 → QSO 0.88; z 0.1000 → 0.4000"
    )
    less = sure.p.copy()
    less[sure.best] = 0.6
    assert engine.changed(sure, prediction(p=less)) == "GALAXY_STARFORMING 0.88 → 0.60"


# ---- members ---------------------------------------------------------------------------------------------------------


def test_the_saliency_of_an_ensemble_is_the_mean_of_its_members(ensemble: Ensemble):
    s = spectrum()
    galaxy = SURVEY.index("GALAXY")
    members = engine.member_saliency(ensemble, s, galaxy)
    whole = engine.saliency(ensemble, s, galaxy)
    assert len(members) == 3
    assert whole.dp == pytest.approx(np.mean([m.dp for m in members], axis=0))
    assert whole.dz == pytest.approx(np.mean([m.dz for m in members], axis=0))
    assert not np.allclose(members[0].dp, members[1].dp)
    assert engine.member_saliency(ensemble, s, SURVEY.index("STAR_F5"))[0].dz is None


def test_members_that_stand_apart_are_told_by_class_and_by_redshift():
    p = np.tile(prediction().p, (3, 1))
    p[1] = np.roll(p[1], 1)
    z = np.full((3, 6), 0.1)
    z[2] = 0.4
    answers = engine.member_answers(prediction(p_members=p, z_members=z))
    assert [a.number for a in answers] == [1, 2, 3]
    assert [a.other_class for a in answers] == [False, True, False]
    assert [a.other_z for a in answers] == [False, False, True]
    assert answers[0].rests_on == ()
    assert engine.agreement(answers) == "Of three, one names another class, one finds another z."
    assert engine.agreement(answers[:1] * 3) == "All three agree."
    assert np.isnan(engine.member_answers(prediction(best="STAR_F5"))[0].z)


def test_what_each_member_looks_at_is_named():
    s = spectrum()
    curves = [np.exp(-(((s.wave - line * 1.1) / 3) ** 2)) for line in (6564.6, 5008.2, 6564.6)]
    saliencies = [engine.Saliency(s.wave, curve, curve) for curve in curves]
    answers = engine.member_answers(prediction(), s, saliencies, LINES)
    assert [a.rests_on for a in answers] == [("Hα",), ("[O III] 5008",), ("Hα",)]


# ---- rival redshifts -------------------------------------------------------------------------------------------------


def test_every_peak_of_p_z_is_a_solution_with_its_members_and_the_line_that_leads_to_it():
    rival = 6564.61 * 1.1 / 5008.24 - 1
    grid = 10.0 ** (4e-4 * np.arange(600)) - 1
    shape = np.exp(-(((grid - 0.1) / 1e-3) ** 2)) + 0.3 * np.exp(-(((grid - rival) / 1e-3) ** 2))
    members = np.full((3, 6), 0.1)
    members[0] = rival
    found = engine.solutions(
        prediction(pdf=np.tile(shape / np.trapezoid(shape, grid), (6, 1)), z_members=members), LINES
    )
    assert [s.z for s in found] == [pytest.approx(0.1, abs=2e-3), pytest.approx(rival, abs=2e-3)]
    assert [s.members for s in found] == [2, 1]
    assert [s.words for s in found] == ["", "Hα read as [O III] 5008"]
    assert engine.solutions(prediction(best="STAR_F5"), LINES) == ()


# ---- names for a feature ---------------------------------------------------------------------------------------------


def test_a_click_beside_a_line_finds_the_line():
    s = spectrum()
    line = np.exp(-0.5 * ((s.wave - 6000.0) / 3) ** 2)
    emission = s.with_(flux=s.flux + 20 * s.flux.std() * line)
    absorption = s.with_(flux=s.flux - 20 * s.flux.std() * line)
    for sign in (emission, absorption):
        assert engine.feature_at(sign, 6012.0) == pytest.approx(6000.0, abs=1.0)


def test_a_click_where_nothing_stands_out_stays_where_it_was():
    wave = spectrum().wave
    flat = engine.Spectrum(wave, np.ones(wave.size), np.full(wave.size, 4.0), object_id="flat")
    assert engine.feature_at(flat, 6012.0) == 6012.0


def test_the_lines_that_the_answer_speaks_for_come_first():
    found = engine.namings(5008.24 * 1.1, prediction(), LINES, 7.0)
    assert found[0].line.label == "[O III] 5008"
    assert found[0].z == pytest.approx(0.1)
    assert found[0].p > 0.5
    rival = engine.namings(6564.61 * 1.3, prediction(), LINES, 7.0)
    assert rival[0].line.label == "Hα"
    assert 0.05 < rival[0].p < 0.5
    assert {n.line.label for n in found} <= {line.label for line in LINES}
    assert all(-0.005 <= n.z <= 7.0 for n in found)


def test_without_an_answer_strong_lines_come_first_and_a_doublet_once():
    found = engine.namings(6000.0, None, LINES, 7.0)
    first = [n.line.label for n in found[:6]]
    assert {"Hβ", "[O III] 5008"} <= set(first)
    assert sum(label.startswith("[O II] ") for label in first) == 1
    assert {n.line.label for n in found} >= {"[O II] 3727", "[O II] 3730"}


# ---- neighbours ------------------------------------------------------------------------------------------------------


def test_an_object_is_nearest_to_what_looks_like_it(ensemble: Ensemble):
    s = spectrum()
    hidden = engine.occlude(s, [(5000.0, 5020.0)])
    noise = s.with_(flux=np.random.default_rng(0).normal(size=s.wave.size))
    prints = {key: p.fingerprint for key, p in zip("abc", ensemble.predict([s, hidden, noise]), strict=True)}
    mine = prints.pop("a")
    near = engine.neighbours(mine, prints)
    assert [n.key for n in near] == ["b", "c"]
    assert near[0].distance < 0.5 * near[1].distance
    assert engine.neighbours(mine, {}) == ()
    assert engine.neighbours(mine, {"a": mine})[0].distance == 0


def test_fingerprints_keep_the_distances_of_whitened_features():
    from engine.fingerprint import fingerprints

    rng = np.random.default_rng(1)
    features = rng.normal(size=(10, 30, 128)).astype(np.float32)
    whiten = np.stack([np.diag(rng.uniform(0.5, 2, 128)) for _ in range(10)])
    prints = fingerprints(features, whiten)
    white = features @ whiten
    true = np.sqrt(((white[:, :1] - white[:, 1:]) ** 2).sum(axis=(0, 2)) / (2 * 10 * 128))
    kept = np.linalg.norm(prints[0] - prints[1:], axis=1)
    assert kept / true == pytest.approx(np.ones(29), abs=0.25)
    assert np.std(kept / true) < 0.1


def test_a_prediction_can_still_be_made_without_a_fingerprint():
    assert replace(prediction(), fingerprint=None).fingerprint is None
