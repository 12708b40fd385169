"""The template fit: it finds the redshift to a fraction of a pixel, knows how well, and says when a rival is better."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_templates import make_templates
from makers import galaxy_on, make_desi, make_sdss
from test_app import prediction

import engine
from engine import Fit, Prediction, Spectrum, crosscheck
from engine.basis import Basis, bases_dir, basis_for, load_bases
from engine.catalogue import FIT_COLUMNS, columns
from engine.classify import classify
from engine.ensemble import Ensemble
from engine.fitwindow import Gridded
from engine.grid import LogGrid
from engine.mock import components
from engine.registry import ModelError
from engine.templatefit import _fit, _Looks, hypotheses

GRID = LogGrid(loglam_min=2.9, step=1e-4, n=11300)
SDSS_WAVE = 10.0 ** (3.58 + 1e-4 * np.arange(3840))


def basis(spectype: str = "GALAXY") -> Basis:
    """The galaxy of makers.galaxy without its lines, or a star: a power law with sharp absorption."""
    wave = GRID.wave
    if spectype == "GALAXY":
        mean = (wave / 5000) ** -0.5 * np.where(wave < 4000, 0.75, 1.0)
    else:
        mean = (wave / 5000) ** -0.5
        for line in (3934.8, 4102.9, 4341.7, 4862.7, 5176.7, 6564.6):
            mean = mean * (1 - 0.6 * np.exp(-0.5 * ((wave - line) / 4) ** 2))
    slope = 0.1 * mean * np.log(wave / 5000)
    z_range = (0.0, 2.0) if spectype == "GALAXY" else (-0.01, 0.01)
    return Basis(spectype, spectype, z_range, np.stack([mean, slope]), GRID, 0.0, 0.0, spectype == "GALAXY")


BASES = (basis("GALAXY"), basis("STAR"))


def seen(z: float = 0.1, snr: float = 10.0, seed: int = 0, wave: np.ndarray = SDSS_WAVE) -> Spectrum:
    return Spectrum(wave, *galaxy_on(wave, z, snr, seed), object_id="galaxy")


def asked(z: float, best: str = "GALAXY_STARFORMING", rival: float = 0.3) -> Prediction:
    """A prediction at z with a lighter peak of p(z) at a rival redshift."""
    found = prediction(z=z, best=best)
    shape = np.exp(-(((found.z_grid - z) / 1e-3) ** 2)) + 0.3 * np.exp(-(((found.z_grid - rival) / 1e-3) ** 2))
    pdf = np.tile(shape / (shape * np.gradient(found.z_grid)).sum(), (6, 1))
    return replace(found, pdf=pdf)


def test_a_redshift_is_refined_to_a_fraction_of_a_pixel():
    check = crosscheck(seen(), asked(0.1003), BASES)
    assert abs(check.fit.z - 0.1) < 1e-5
    assert 1e-7 < check.fit.zerr < 1e-5
    assert check.fit.reduced == pytest.approx(1.0, abs=0.1)
    assert check.agrees


def test_the_model_lies_on_the_spectrums_own_pixels():
    spectrum = seen(snr=50)
    model = crosscheck(spectrum, asked(0.1003), BASES).fit.model
    assert model.shape == spectrum.wave.shape
    assert np.std((spectrum.flux - model) * np.sqrt(spectrum.ivar)) < 1.3


def test_formal_errors_are_those_of_repeated_noise():
    checks = [crosscheck(seen(snr=4, seed=seed), asked(0.1), BASES) for seed in range(24)]
    pulls = np.array([(c.fit.z - 0.1) / c.fit.zerr for c in checks])
    assert 0.7 < pulls.std() < 1.35
    assert abs(pulls.mean()) < 0.6


def test_a_rival_that_fits_better_is_preferred_and_named():
    check = crosscheck(seen(z=0.3), asked(0.1, rival=0.3), BASES)
    assert check.verdict == "prefers the rival GALAXY at z = 0.3000"
    assert check.delta_chi2 < 0
    assert not check.agrees


def test_the_prediction_is_not_changed():
    found = asked(0.1, rival=0.3)
    crosscheck(seen(z=0.3), found, BASES)
    assert found.best_z == 0.1


def test_other_types_are_rivals_where_their_basis_exists():
    kinds = [kind for kind, _ in hypotheses(asked(0.1))]
    assert kinds == ["GALAXY", "GALAXY", "STAR", "QSO"]
    assert {fit.spectype for fit in crosscheck(seen(), asked(0.1), BASES).rivals} == {"GALAXY", "STAR"}


def test_a_star_gets_its_radial_velocity():
    velocity = 150 / 299792.458
    flux = np.interp(SDSS_WAVE, GRID.wave * (1 + velocity), BASES[1].components[0])
    noise = np.random.default_rng(1).normal(size=flux.size)
    spectrum = Spectrum(SDSS_WAVE, 1e-17 * (flux + noise / 40), np.full(flux.size, (40 / 1e-17) ** 2), "star")
    fit = crosscheck(spectrum, asked(0.1, best="STAR_F5"), BASES).fit
    assert fit.spectype == "STAR"
    assert abs(fit.z - velocity) < 4 * fit.zerr < 5e-5


def test_masked_pixels_and_nan_do_not_matter():
    spectrum = seen(snr=30)
    flux, ivar = spectrum.flux.copy(), spectrum.ivar.copy()
    flux[500:560], ivar[500:560] = 1e6, 0
    flux[1000:1040] = np.nan
    check = crosscheck(Spectrum(SDSS_WAVE, flux, ivar, "gaps"), asked(0.1003), BASES)
    assert abs(check.fit.z - 0.1) < 1e-5
    assert np.isfinite(check.fit.model).all()


def test_desis_wavelengths_are_fitted(tmp_path: Path):
    (spectrum,) = engine.read(make_desi(tmp_path / "coadd-1.fits", n_objects=1))
    fit = crosscheck(spectrum, asked(0.1003), BASES).fit
    assert abs(fit.z - 0.1) < 2e-5
    assert fit.model.shape == spectrum.wave.shape


def test_too_few_pixels_are_said():
    fit = crosscheck(seen(wave=SDSS_WAVE[:100]), asked(0.1), BASES).fit
    assert np.isnan([fit.z, fit.zerr, fit.chi2]).all()
    assert "only 100 good pixels" in fit.reason


def test_a_minimum_at_the_windows_edge_is_no_redshift():
    fit = crosscheck(seen(z=0.1, snr=30), asked(0.1026, rival=0.4), BASES).fit
    assert np.isnan(fit.z)
    assert fit.reason == "no minimum in the window"


def test_a_red_star_may_be_tried_as_a_quasar_where_the_basis_ends():
    """The search steps beyond its window, and must still find the basis there."""
    for path in sorted((engine.assets_dir() / "spectra").glob("*.fits")):
        looks = _Looks(Gridded.of(engine.read(path)[0]))
        for z in (3.50, 3.52, 3.538030, 3.55, 3.57):
            fit = _fit(looks, load_bases(), "QSO", z)
            assert np.isfinite(fit.z) or fit.reason


def test_a_type_without_basis_is_said():
    assert "no basis for type QSO" in crosscheck(seen(), asked(0.1, best="QSO"), BASES).fit.reason


def test_a_spectrum_without_signal_gets_an_answer():
    noise = np.random.default_rng(0).normal(size=SDSS_WAVE.size)
    check = crosscheck(Spectrum(SDSS_WAVE, noise, np.ones(noise.size), "noise"), asked(0.1), BASES)
    assert check.verdict
    fits: tuple[Fit, ...] = (check.fit, *check.rivals)
    assert all(np.isfinite(fit.chi2) for fit in fits)


def test_quasars_take_the_basis_of_their_redshift():
    many = tuple(replace(BASES[0], name=f"Q{k}", spectype="QSO", z_range=(float(k), k + 1.0)) for k in range(3))
    assert [basis_for(many, "QSO", z).name for z in (0.5, 2.5, 9.0)] == ["Q0", "Q2", "Q2"]  # type: ignore[union-attr]


# ---- the shipped basis -----------------------------------------------------------------------------------------------


def test_the_shipped_basis_covers_every_type():
    bases = load_bases()
    assert {b.spectype for b in bases} == {"GALAXY", "QSO", "STAR"}
    assert all(np.isfinite(b.components).all() for b in bases)


@pytest.mark.parametrize("damage", ["file", "card", "no card"])
def test_a_damaged_basis_is_refused_by_name(tmp_path: Path, damage: str):
    folder = shutil.copytree(bases_dir(), tmp_path / "bases")
    if damage == "file":
        with (folder / "basis.safetensors").open("ab") as file:
            file.write(b"x")
    elif damage == "card":
        card = json.loads((folder / "card.json").read_text())
        card["bases"][0]["components"] += 1
        (folder / "card.json").write_text(json.dumps(card))
    else:
        (folder / "card.json").unlink()
    named = {"file": "basis.safetensors: sha256", "card": "tensor 'GALAXY'", "no card": "card.json"}[damage]
    with pytest.raises(ModelError, match=named):
        load_bases(folder)


def test_components_are_the_same_each_time_and_span_the_spectra():
    rng = np.random.default_rng(0)
    shapes = np.stack([np.sin(np.arange(GRID.n) / width) for width in (300, 500, 900)])
    rows = (2 + rng.normal(size=(30, 3)) @ shapes).astype(np.float32)
    parts, explained = components.principal(rows, slice(100, 11000), 4)
    again, _ = components.principal(rows.copy(), slice(100, 11000), 4)
    assert np.array_equal(parts, again)
    assert explained > 0.999
    assert components.misfit(rows, parts, slice(100, 11000)) < 1e-3


def test_a_basis_is_made_from_a_template_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(components, "N_POOL", {"GALAXY": 20, "QSO": 30})
    monkeypatch.setattr(components, "COMPONENTS", {"GALAXY": 3, "QSO": 3, "STAR": 3})
    card = components.make_bases(tmp_path / "made", make_templates(tmp_path / "templates"))
    made = load_bases(tmp_path / "made")
    assert [b.spectype for b in made] == ["GALAXY", *["QSO"] * 4, "STAR"]
    assert [b.misfit for b in made] == [entry["misfit"] for entry in card["bases"]]


def test_the_catalogue_gets_the_fit_beside_the_networks_redshift(tmp_path: Path):
    wave = SDSS_WAVE
    make_sdss(tmp_path / "spec-0751-52251-0160.fits", wave, *galaxy_on(wave))
    ensemble = Ensemble.untrained("matched", engine.load_survey("sdss"), n_members=1)
    table = classify([tmp_path], ensemble, crosscheck=True)
    assert table.colnames == list(columns(ensemble.survey, crosscheck=True))
    assert set(FIT_COLUMNS) <= set(table.colnames)
    assert table["fit"][0]
    assert set(FIT_COLUMNS).isdisjoint(classify([tmp_path], ensemble).colnames)


def test_a_bright_spectrum_is_not_poor_for_what_only_its_brightness_shows():
    """One per cent off is reduced chi2 9 at a signal-to-noise ratio of 300, and no reason to doubt; half off is."""
    rng = np.random.default_rng(2)
    for amplitude, poor in ((0.01, False), (0.5, True)):
        bright = seen(snr=300)
        wiggle = 1 + amplitude * np.repeat(rng.normal(size=bright.flux.size // 10), 10)
        fit = crosscheck(bright.with_(flux=bright.flux * wiggle), asked(0.1), BASES)
        assert fit.fit.reduced > 2
        assert fit.verdict.startswith("poor fit") == poor


def test_correlated_noise_widens_the_error():
    """Neighbouring pixels that share their noise know less than they seem to."""
    errors = {}
    for shared in (0.0, 0.6):
        noise = np.random.default_rng(3).normal(size=SDSS_WAVE.size + 1)
        noise = (noise[1:] + shared * noise[:-1]) / np.hypot(1, shared)
        clean = seen(snr=1e6)
        sigma = np.median(clean.flux) / 6
        spectrum = clean.with_(flux=clean.flux + sigma * noise, ivar=np.full(noise.size, sigma**-2))
        errors[shared] = crosscheck(spectrum, asked(0.1), BASES).fit.zerr
    assert 1.05 < errors[0.6] / errors[0.0] < 1.6


def test_noise_of_a_galaxy_without_lines_does_not_pass_for_lines():
    """Errors of faint passive galaxies: with lines as strong as a starburst's at hand, every spike would be one."""
    mean = load_bases()[0].components[0]
    clean = np.interp(SDSS_WAVE, GRID.wave * 1.1, mean)
    ivar = np.full(clean.size, (2 / np.median(clean)) ** 2)
    off = []
    for seed in range(30):
        noise = np.random.default_rng(seed).normal(size=clean.size) / np.sqrt(ivar)
        fit = crosscheck(Spectrum(SDSS_WAVE, clean + noise, ivar, "passive"), asked(0.1), load_bases()).fit
        off.append((fit.z - 0.1) / fit.zerr)
    assert np.nanstd(off) < 1.5
    assert np.isfinite(off).sum() > 25
