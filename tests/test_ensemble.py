"""The ensemble: eqs 7 and 8, the robust rule, the warnings, saliency."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import engine
from engine import Ensemble, Spectrum, ZWarn
from engine.catalogue import answer_row
from engine.networks import build
from engine.survey import assets_dir

WAVE = 10 ** (3.58 + 1e-4 * np.arange(3850))


def galaxy(seed: int = 0, snr: float = 20.0, **changes: object) -> Spectrum:
    rng = np.random.default_rng(seed)
    flux = 1 + (WAVE > 5000) + 5 * np.exp(-0.5 * ((WAVE - 6600) / 3) ** 2)
    noisy = flux + rng.normal(0, 1 / snr, WAVE.size)
    fields = {"wave": WAVE, "flux": noisy, "ivar": np.full(WAVE.size, snr**2), "object_id": f"galaxy-{seed}"}
    return Spectrum(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return Ensemble.untrained("matched", engine.load_survey("sdss"), n_members=3)


def test_z_and_zerr_are_the_mean_and_standard_deviation_of_the_members(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    assert prediction.z_members.shape == (3, 6)
    assert prediction.z == pytest.approx(prediction.z_members.mean(axis=0))
    deviation = prediction.z_members - prediction.z_members.mean(axis=0)
    assert prediction.zerr == pytest.approx(np.sqrt((deviation**2).sum(axis=0) / 3))


def test_probabilities_are_the_mean_of_the_members_and_sum_to_one(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    assert prediction.p == pytest.approx(prediction.p_members.mean(axis=0))
    assert prediction.p.sum() == pytest.approx(1)
    assert prediction.class_name == ensemble.survey.names[int(np.argmax(prediction.p))]


def test_each_pdf_integrates_to_one(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    area = (prediction.pdf * ensemble.zgrid.width).sum(axis=1)
    assert area == pytest.approx(np.ones(6), abs=1e-4)
    assert prediction.pdf == pytest.approx(prediction.pdf_members.mean(axis=0), rel=1e-4)


def test_answers_do_not_depend_on_the_company_of_a_spectrum(ensemble: Ensemble) -> None:
    spectra = [galaxy(seed) for seed in range(5)]
    together = ensemble.predict(spectra, batch_size=3)
    for spectrum, prediction in zip(spectra, together, strict=True):
        (alone,) = ensemble.predict([spectrum])
        assert prediction.object_id == spectrum.object_id
        assert prediction.p == pytest.approx(alone.p, abs=1e-5)


def test_flux_in_cgs_units_gets_the_answer_of_flux_in_units_of_1e_17(ensemble: Ensemble) -> None:
    usual = galaxy()
    a, b = ensemble.predict([usual, usual.with_(flux=usual.flux * 1e-17, ivar=usual.ivar * 1e34)])
    assert a.p == pytest.approx(b.p, abs=1e-4)
    assert a.z == pytest.approx(b.z, abs=1e-3)


def test_the_catalogue_label_is_never_seen_by_the_network(ensemble: Ensemble) -> None:
    labelled = galaxy(label=engine.Label("QSO", "", 3.0))
    a, b = ensemble.predict([galaxy(), labelled])
    assert np.array_equal(a.p, b.p)


def test_a_redshift_is_robust_when_its_spread_is_within_the_validation_mae(ensemble: Ensemble) -> None:
    row = 2
    best = ensemble.survey.extragalactic[row]
    p = np.zeros((3, 13), dtype=np.float32)
    p[:, best] = 1
    spread = np.full(6, 0.5)
    spread[row] = ensemble.mae[row]
    assert ensemble._robust(best, p, spread)
    spread[row] *= 1.01
    assert not ensemble._robust(best, p, spread)


def test_a_star_is_robust_when_every_member_calls_it_a_star(ensemble: Ensemble) -> None:
    p = np.zeros((3, 13), dtype=np.float32)
    p[0, 0] = p[1, 3] = p[2, 6] = 1  # three types of star
    assert ensemble._robust(0, p, np.zeros(6))
    p[2] = 0
    p[2, 8] = 1
    assert not ensemble._robust(0, p, np.zeros(6))


def test_little_coverage_poor_data_and_estimated_noise_are_flagged(ensemble: Ensemble) -> None:
    short = galaxy(ivar=np.where(WAVE < 5000, 400.0, 0.0))
    noisy = galaxy(snr=0.1)
    guessed = galaxy(notes=("ivar estimated from the scatter of neighbouring pixels",))
    plain, short_p, noisy_p, guessed_p = ensemble.predict([galaxy(), short, noisy, guessed])
    assert ZWarn.LITTLE_COVERAGE in short_p.zwarn
    assert ZWarn.POORDATA in noisy_p.zwarn
    assert ZWarn.POORDATA in guessed_p.zwarn
    assert not plain.zwarn & (ZWarn.LITTLE_COVERAGE | ZWarn.POORDATA | ZWarn.NODATA)
    assert "little wavelength coverage" in short_p.words()


def test_a_rival_peak_counts_only_when_it_is_far_and_heavy(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    z, width = prediction.z_grid, ensemble.zgrid.width
    for second_z, weight, rivals in ((0.9, 0.3, 2), (0.501, 0.3, 1)):
        mass = np.zeros(z.size)
        mass[np.argmin(abs(z - 0.5))] = 1 - weight
        mass[np.argmin(abs(z - second_z))] += weight
        pdf = np.repeat((mass / width)[None], 6, axis=0)
        object.__setattr__(prediction, "pdf", pdf)
        peaks = prediction.peaks(0)
        assert len(peaks) == rivals
        assert peaks[0].z == pytest.approx(0.5, abs=2e-3)


def test_the_flank_of_a_broad_peak_is_no_rival(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    z, width = prediction.z_grid, ensemble.zgrid.width
    broad = np.exp(-0.5 * ((np.log1p(z) - np.log1p(2.0)) / 0.02) ** 2)  # sigma 6000 km/s
    ripple = broad * (1 + 0.1 * np.sin(np.arange(z.size)))
    object.__setattr__(prediction, "pdf", np.repeat((ripple / (ripple * width).sum())[None], 6, axis=0))
    (peak,) = prediction.peaks(0)
    assert peak.z == pytest.approx(2.0, abs=0.06)


def disagreeing(ensemble: Ensemble, z: float, peak: float, weight: float = 0.8) -> engine.Prediction:
    """A galaxy whose members' mean is z, with a peak of p(z) at `peak` and a lighter one at 0.5."""
    (found,) = ensemble.predict([galaxy()])
    p = np.zeros(len(found.p))
    p[found.survey.index("GALAXY")] = 1
    mass = np.zeros(found.z_grid.size)
    for centre, share in ((peak, weight), (0.5, 1 - weight)):
        mass[int(np.abs(found.z_grid - centre).argmin())] = share
    pdf = np.tile(mass / np.gradient(found.z_grid), (len(found.z_classes), 1))
    return replace(found, p=p, pdf=pdf, z=np.full(len(found.z_classes), z), quantiles=None)


def test_the_reported_redshift_is_the_members_mean_while_it_lies_on_the_heaviest_peak(ensemble: Ensemble) -> None:
    found = disagreeing(ensemble, 0.2003, 0.2)
    assert found.best_z == found.reported(found.row(found.best) or 0) == 0.2003


@pytest.mark.parametrize(
    "mean", [0.1971, 0.26, 0.4]
)  # 2.4e-3 of 1 + z are beyond the galaxies' window, within 1000 km/s
def test_else_it_is_the_peak_and_the_mean_stays_known(ensemble: Ensemble, mean: float) -> None:
    found = disagreeing(ensemble, mean, 0.2)
    assert found.best_z == pytest.approx(0.2, abs=1e-3)
    assert found.z[found.row(found.best) or 0] == mean
    assert found.best_zerr == found.zerr[found.row(found.best) or 0]


def test_a_redshift_without_any_peak_is_the_mean(ensemble: Ensemble) -> None:
    found = disagreeing(ensemble, 0.3, 0.2)
    even = np.full_like(found.pdf, 1e-4) / np.gradient(found.z_grid)
    assert replace(found, pdf=even).best_z == 0.3


def test_the_confidence_is_that_of_the_reported_redshift(ensemble: Ensemble) -> None:
    assert disagreeing(ensemble, 0.26, 0.2).confidence == pytest.approx(0.8, abs=0.01)


def test_a_star_has_redshift_zero_and_no_error(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()])
    object.__setattr__(prediction, "p", np.eye(13)[2])
    assert prediction.spectype == "STAR"
    assert prediction.best_z == 0.0
    assert np.isnan(prediction.best_zerr)


def test_members_pdfs_can_be_left_out(ensemble: Ensemble) -> None:
    (prediction,) = ensemble.predict([galaxy()], keep_members=False)
    assert prediction.pdf_members.shape[0] == 0
    assert prediction.pdf.shape[0] == 6


def test_an_answer_of_the_best_class_alone_makes_the_same_row_of_a_catalogue() -> None:
    shipped = engine.load_ensemble("sdss", "cpu")
    spectra = [engine.read(path)[0] for path in sorted((assets_dir() / "spectra").glob("*.fits"))]
    whole, brief = shipped.predict(spectra), shipped.predict(spectra, best_only=True)
    assert any(a.row(a.best) is None for a in whole)
    for spectrum, a, b in zip(spectra, whole, brief, strict=True):
        rows = [answer_row("x.fits", spectrum, prediction) for prediction in (a, b)]
        assert repr(rows[0]) == repr(rows[1])
        others = [k for k in range(len(b.z_classes)) if k != b.row(b.best)]
        assert np.isnan(b.pdf[others]).all()


def test_saliency_is_the_mean_absolute_gradient_of_the_members(ensemble: Ensemble) -> None:
    """Against a finite difference of one pixel, for one member."""
    import torch

    spectrum, index = galaxy(), 9
    single = Ensemble(ensemble.survey, ensemble.members[:1], ensemble.card, "cpu")
    result = engine.saliency(single, spectrum, index)
    flux, ivar = single.gridded([spectrum])
    pixel = int(np.argmax(result.dp))
    step = 2e-2
    with torch.no_grad():
        answers = []
        for sign in (1, -1):
            nudged = flux.copy()
            nudged[0, pixel] += sign * step
            out = single.members[0](torch.from_numpy(nudged), torch.from_numpy(ivar))
            answers.append(float(out.class_logits.softmax(-1)[0, index]))
    slope = abs(answers[0] - answers[1]) / (2 * step) * np.abs(flux[ivar > 0]).mean()
    assert result.dp[pixel] == pytest.approx(slope, rel=0.2)
    assert result.dz is not None
    assert (result.dp[ivar[0] == 0] == 0).all()
    assert result.wave.shape == result.dp.shape == result.dz.shape


def test_saliency_of_a_star_class_has_no_redshift_part(ensemble: Ensemble) -> None:
    assert engine.saliency(ensemble, galaxy(), 0).dz is None


def test_both_networks_serve_through_the_same_interface() -> None:
    survey = engine.load_survey("sdss")
    card = {"model": "pair", "mae": dict.fromkeys(survey.names, 0.01)}
    for name in ("matched", "gasnet2"):
        (prediction,) = Ensemble(survey, [build(name, survey)], card, "cpu").predict([galaxy()])
        assert prediction.p.shape == (13,)
        assert prediction.pdf.shape[0] == 6
