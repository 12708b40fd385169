"""A Spectrum checks itself, never changes, and knows its good pixels."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from engine.spectrum import Arm, Label, Spectrum, SpectrumError

WAVE = np.linspace(4000, 9000, 11)
ONES = np.ones(11)


def a_spectrum(**changes) -> Spectrum:  # type: ignore[no-untyped-def]
    return Spectrum(**{"wave": WAVE, "flux": ONES * 2, "ivar": ONES * 4, "object_id": "a", "path": "a.fits", **changes})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flux": np.ones(10)}, "one length"),
        ({"wave": np.ones((11, 1)), "flux": np.ones((11, 1)), "ivar": np.ones((11, 1))}, "1-D"),
        ({"wave": [5000.0], "flux": [1.0], "ivar": [1.0]}, "only 1 pixel"),
        ({"wave": WAVE[::-1]}, "strictly increasing"),
        ({"wave": np.r_[WAVE[:10], WAVE[9]]}, "strictly increasing"),
        ({"wave": np.r_[WAVE[:10], np.nan]}, "finite"),
        ({"wave": WAVE - 5000}, "positive"),
        ({"flux": ONES * np.nan}, "no usable pixel"),
        ({"ivar": ONES * 0}, "no usable pixel"),
    ],
)
def test_a_wrong_spectrum_names_its_file_and_the_reason(changes: dict, reason: str) -> None:
    with pytest.raises(SpectrumError, match=rf"^a\.fits: .*{reason}"):
        a_spectrum(**changes)


def test_ivar_is_zero_wherever_a_pixel_cannot_be_used() -> None:
    flux, ivar = ONES * 2, ONES * 4
    flux[1], ivar[2], ivar[3], ivar[4] = np.nan, -1, np.nan, 0
    spectrum = a_spectrum(flux=flux, ivar=ivar)
    assert list(np.flatnonzero(spectrum.ivar == 0)) == [1, 2, 3, 4]
    assert list(np.flatnonzero(~spectrum.good)) == [1, 2, 3, 4]


def test_arrays_are_copies_that_cannot_be_written() -> None:
    flux = ONES * 2
    spectrum = a_spectrum(flux=flux)
    flux[0] = 99
    assert spectrum.flux[0] == 2
    with pytest.raises(ValueError, match="read-only"):
        spectrum.flux[0] = 1
    with pytest.raises(TypeError):
        spectrum.meta["ra"] = 1  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        spectrum.object_id = "b"  # type: ignore[misc]


def test_snr_is_the_median_over_good_pixels() -> None:
    flux = ONES * 2
    flux[:5] = np.nan
    assert a_spectrum(flux=flux).snr == 4.0


def test_with_gives_a_changed_copy() -> None:
    first = a_spectrum(arms=(Arm("B", WAVE, ONES, ONES),), label=Label("QSO"))
    second = first.with_(object_id="b")
    assert (first.object_id, second.object_id) == ("a", "b")
    assert second.label == Label("QSO")
    assert second.arms is first.arms


def test_an_unknown_label_is_nan_and_minus_one() -> None:
    label = Label()
    assert np.isnan(label.z)
    assert label.zwarning == -1
