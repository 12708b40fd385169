"""Before and after: every number of two models side by side, paired errors, changed answers, comparison.json."""

from __future__ import annotations

import errno
import math
import os
from pathlib import Path

import numpy as np
import pytest
from fake_templates import make_templates
from test_evaluation import GALAXY, QSO, SURVEY, mixed, objects

import engine
from engine import report
from engine.ensemble import Ensemble
from engine.evaluate import Comparison, ComparisonError, Sample, read_comparison, side_by_side, write_comparison
from engine.evaluate.calibration import reliability
from engine.evaluate.comparison import COMPARED, GAINED, LOST, MEAN, OTHER
from engine.evaluate.objects import Objects
from engine.evaluate.tables import STATISTICS, quality


def sample(before: Objects, after: Objects, paths: list[str] | None = None) -> Sample:
    return side_by_side(before, after, (SURVEY, SURVEY), "made by hand", paths or [""] * len(after))


def test_every_number_of_the_evaluation_stands_before_and_after() -> None:
    before, after = mixed(400, 1), mixed(400, 1)
    found = sample(before, after)
    rows = {row.name: row for row in quality(before, SURVEY)}
    assert set(COMPARED) >= {key for key, _, _ in STATISTICS}
    assert [line.name for line in found.lines] == [*rows, MEAN]
    for name, row in rows.items():
        for key, number in row.numbers.items():
            assert found.line(name).numbers[key].before.value == pytest.approx(number.value, nan_ok=True)
    ece = reliability(before, SURVEY)[0]["ece"]
    assert found.line("all").numbers["ece"].after.value == pytest.approx(ece)


def test_a_model_beside_itself_differs_by_nothing_and_no_error() -> None:
    found = sample(mixed(300, 2), mixed(300, 2))
    differences = [c.difference for line in found.lines for c in line.numbers.values()]
    assert {d.value for d in differences if math.isfinite(d.value)} == {0.0}
    assert {d.error for d in differences if math.isfinite(d.error)} == {0.0}
    assert found.turned == ()
    assert not found.confusion_difference.any()


def test_the_error_of_a_difference_is_that_of_the_objects_that_changed() -> None:
    """10 of 400 mended: paired, the error is sqrt(p (1 - p) / n) of those 10, not of both good fractions together."""
    k = np.arange(400)
    good = sample(
        objects(400, z_pred=np.where(k < 200, 2.0, 1.0)), objects(400, z_pred=np.where(k < 190, 2.0, 1.0))
    ).line("QSO").numbers["good"]  # fmt: skip
    assert good.difference.value == pytest.approx(0.025)
    assert good.difference.error == pytest.approx(math.sqrt(0.025 * 0.975 / 400), rel=0.2)
    assert good.before.error == pytest.approx(0.025, rel=0.2)
    assert good.sure


def test_objects_whose_answer_changed_are_told_the_lost_first_with_their_files() -> None:
    p = np.eye(13)
    before = objects(4, p=p[[QSO, GALAXY, GALAXY, QSO]], z_pred=[1.0, 1.0, 1.0, 1.0])
    after = objects(4, p=p[[QSO, QSO, GALAXY, QSO]], z_pred=[1.0, 1.0, 1.5, 1.5])
    found = sample(before, after, ["a.fits", "b.fits", "c.fits", "d.fits"])
    assert [(t.path, t.before, t.after, t.verdict) for t in found.turned] == [
        ("d.fits", "QSO", "QSO", LOST), ("b.fits", "GALAXY", "QSO", GAINED), ("c.fits", "GALAXY", "GALAXY", OTHER),
    ]  # fmt: skip
    assert (found.turned[0].z_before, found.turned[0].z_after) == (1.0, 1.5)


def test_the_confusion_difference_counts_what_moved() -> None:
    p = np.eye(13)
    found = sample(objects(3, p=p[[GALAXY, GALAXY, QSO]]), objects(3, p=p[[GALAXY, QSO, QSO]]))
    names = list(found.names)
    difference = found.confusion_difference
    assert difference[names.index("QSO"), names.index("QSO")] == 1
    assert difference[names.index("QSO"), names.index("GALAXY")] == -1
    assert np.abs(difference).sum() == 2


def test_a_star_has_no_redshift_to_change() -> None:
    a0, f5 = SURVEY.index("STAR_A0"), SURVEY.index("STAR_F5")
    star = {"label": a0, "spectype": "STAR", "spectype_pred": "STAR", "z": 0.0, "z_pred": math.nan}
    found = sample(objects(1, p=np.eye(13)[f5], **star), objects(1, p=np.eye(13)[a0], **star))
    (turned,) = found.turned
    assert (turned.z_before, turned.z_after, turned.verdict) == (None, None, GAINED)
    assert math.isnan(found.line("all").numbers["good"].difference.value)


def test_one_object_that_changed_is_no_certainty() -> None:
    found = sample(objects(1, p=np.eye(13)[GALAXY]), objects(1))
    accuracy = found.line("QSO").numbers["accuracy"]
    assert (accuracy.difference.value, accuracy.difference.error) == (1.0, 0.5)
    assert not accuracy.sure


# ---- comparison.json -------------------------------------------------------------------------------------------------


def made() -> Comparison:
    after = mixed(200, 4)
    return Comparison("v1", "v2", "sdss", "2026-11-26T00:00:00Z", 7, (sample(mixed(200, 3), after),))


def test_a_comparison_reads_back_as_it_was_written(tmp_path: Path) -> None:
    comparison = made()
    assert write_comparison(comparison, tmp_path) == tmp_path / "comparison.json"
    again = read_comparison(tmp_path)
    assert (again.before, again.after, again.seed) == ("v1", "v2", 7)
    (one,), (two,) = comparison.samples, again.samples
    assert two.confusion_after == one.confusion_after
    assert [t.name for t in two.turned] == [t.name for t in one.turned]
    for line in one.lines:
        for key, change in line.numbers.items():
            read = two.line(line.name).numbers[key]
            assert read.difference.value == pytest.approx(change.difference.value, rel=1e-5, nan_ok=True)
            assert read.before.error == pytest.approx(change.before.error, rel=1e-5, nan_ok=True)


def test_a_full_disk_leaves_the_comparison_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_comparison(made(), tmp_path).read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("engine.evaluate.comparison.os.replace", no_space)
        with pytest.raises(ComparisonError, match=r"comparison\.json: cannot be written \(No space left"):
            write_comparison(made(), tmp_path)
    assert (tmp_path / "comparison.json").read_bytes() == before


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2}', '{"format": 9}', '{"format": 2, "samples": [{}]}'])
def test_a_damaged_comparison_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "comparison.json").write_text(content)
    with pytest.raises(ComparisonError, match=r"comparison\.json: no readable comparison"):
        read_comparison(tmp_path)


def test_no_comparison_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(ComparisonError, match="gasnet compare BEFORE AFTER makes one"):
        read_comparison(tmp_path)


# ---- the verb --------------------------------------------------------------------------------------------------------


def test_two_models_are_compared_on_the_same_mocks_and_real_files(tmp_path: Path, sdss_file: Path) -> None:
    (tmp_path / "real").mkdir()
    sdss_file.rename(tmp_path / "real" / sdss_file.name)
    templates = make_templates(tmp_path / "templates")
    models = [Ensemble.untrained("matched", SURVEY, 1, seed) for seed in (1, 2)]
    found = engine.compare(*models, templates, tmp_path / "real", n=26, out=tmp_path / "run", device="cpu")
    assert [s.n for s in found.samples] == [26, 1]
    assert [t.path for t in found.samples[1].turned] in ([], [str(tmp_path / "real" / sdss_file.name)])
    again = engine.read_comparison(tmp_path / "run")
    assert again.samples[0].confusion_before == found.samples[0].confusion_before
    turned = found.samples[0].turned
    assert turned, "networks with other random weights answer otherwise"
    (spectrum,) = engine.read(turned[0].path)
    assert spectrum.flux.size > 3000, "a mock whose answer changed can be opened"


def test_models_of_two_surveys_are_not_compared() -> None:
    models = [Ensemble.untrained("matched", engine.load_survey(name), 1) for name in ("sdss", "desi")]
    with pytest.raises(ComparisonError, match="only models of one survey"):
        engine.compare(*models, n=0)


def test_nothing_to_compare_on_is_said() -> None:
    models = [Ensemble.untrained("matched", SURVEY, 1, seed) for seed in (1, 2)]
    with pytest.raises(ComparisonError, match=r"nothing to compare on: give mock spectra \(--n\)"):
        engine.compare(*models, n=0)


def test_the_table_marks_differences_beyond_two_errors(capsys: pytest.CaptureFixture[str]) -> None:
    k = np.arange(400)
    found = sample(objects(400, z_pred=np.where(k < 200, 2.0, 1.0)), objects(400))
    report.print_comparison(Comparison("v1", "v2", "sdss", "now", 7, (found,)), 3)
    printed = capsys.readouterr().out
    assert "v1 -> v2 on made by hand, n = 400" in printed
    assert "200 answers changed: 0 wrong now, 200 right now" in printed
    good = next(line for line in printed.splitlines() if "GF " in line and "robust" not in line)
    assert "0.500 ± 0.0" in good
    assert "+0.500" in good
    assert "*" in good
