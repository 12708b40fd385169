"""The metrics on numbers by hand, and on the paper's own per-object tables: they must print the published quality."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from engine import metrics

RESULTS = Path(__file__).parents[1].parent / "shared" / "data" / "gasnet2_results"

# Class: validation MAE (paper Table 4); then MAE, mean dz/(1+z), good fraction, t <= 3, robust, good among robust.
PUBLISHED = {
    "GALAXY_nan": (0.011, "0.0098 0.0062 0.625 0.989 0.834 0.733"),
    "GALAXY_AGN": (0.003, "0.0018 0.0014 0.854 0.999 0.778 0.966"),
    "GALAXY_STARBURST": (0.001, "0.0008 0.0006 0.942 0.998 0.745 0.996"),
    "GALAXY_STARFORMING": (0.002, "0.0012 0.0010 0.913 0.999 0.863 0.992"),
    "QSO_nan": (0.107, "0.1208 0.0339 0.760 0.960 0.876 0.855"),
    "QSO_BROADLINE": (0.027, "0.0194 0.0073 0.926 0.995 0.831 0.996"),
}


@pytest.mark.skipif(not RESULTS.is_dir(), reason=f"the authors' result tables are not in {RESULTS}")
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_quality_is_reproduced(name):
    mae, published = PUBLISHED[name]
    table = fits.getdata(RESULTS / f"{name}-MC.fits")
    z, z_pred, zerr = table["label"].ravel(), table["pred_bar"], table["pred_std"]
    threshold = 0.015 if name.startswith("QSO") else 0.0015
    robust = metrics.is_robust(zerr, mae)
    ours = (
        f"{metrics.mean_absolute_error(z, z_pred):.4f} {metrics.delta_z(z, z_pred).mean():.4f} "
        f"{metrics.good_fraction(z, z_pred, threshold):.3f} {metrics.within_t(z, z_pred, zerr):.3f} "
        f"{metrics.fraction(robust):.3f} {metrics.good_fraction(z[robust], z_pred[robust], threshold):.3f}"
    )
    assert z.size == 3000
    assert ours == published


def test_bias_is_the_log_ratio_and_has_no_sign():
    np.testing.assert_allclose(metrics.bias([1.0, 0.0], [0.0, 1.0]), math.log(2))


def test_delta_z_is_relative_to_the_true_redshift():
    np.testing.assert_allclose(metrics.delta_z([1.0], [1.1]), 0.05)


def test_a_redshift_at_the_threshold_is_not_good():
    z_pred = np.expm1([0.0015, 0.00149])
    assert metrics.good_fraction([0.0, 0.0], z_pred, metrics.bias(0.0, z_pred[0])[0]) == 0.5


def test_nmad_is_blind_to_an_offset_and_to_an_outlier():
    errors = np.array([-0.002, -0.001, 0.0, 0.001, 0.002]) + 0.1
    errors[-1] = 5.0
    assert metrics.nmad(np.zeros(5), errors) == pytest.approx(1.4826 * 0.001)


def test_what_is_catastrophic_depends_on_the_type():
    z_pred = [0.011, 0.049, 0.051]
    assert metrics.catastrophic_fraction(np.zeros(3), z_pred, "GALAXY") == 1
    assert metrics.catastrophic_fraction(np.zeros(3), z_pred, "QSO") == pytest.approx(1 / 3)


def test_an_error_as_large_as_the_mae_is_robust_and_a_missing_one_is_not():
    assert metrics.is_robust([0.01, 0.011, np.nan], 0.01).tolist() == [True, False, False]


def test_t_counts_the_errors_within_three_sigma():
    assert metrics.within_t([0, 0, 0], [0.3, 0.31, -0.29], [0.1, 0.1, 0.1]) == pytest.approx(2 / 3)


def test_confusion_has_the_truth_in_rows():
    assert metrics.confusion([0, 0, 1], [0, 1, 1], 3).tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_no_objects_give_no_number():
    empty = np.array([])
    assert math.isnan(metrics.good_fraction(empty, empty, 0.0015))
    assert math.isnan(metrics.nmad(empty, empty))
    assert math.isnan(metrics.mean_absolute_error(empty, empty))
