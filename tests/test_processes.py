"""Work in processes: the order of the items, errors, a killed process; and the same catalogue however it is spread."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from makers import galaxy, make_sdss

from engine import classify as verb
from engine.classify import classify
from engine.ensemble import Ensemble
from engine.processes import ProcessError, spread
from engine.survey import load_survey


def slow_first(shared: int, item: int) -> tuple[int, int]:
    time.sleep(0.2 if item == 0 else 0)
    return shared + item, os.getpid()


def refuse_three(shared: None, item: int) -> int:
    if item == 3:
        raise ValueError("three is no item")
    return item


def die_at_two(shared: None, item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_results_come_in_order_from_other_processes() -> None:
    found = list(spread(slow_first, 100, range(12), 2))
    assert [value for value, _ in found] == [100 + k for k in range(12)]
    assert os.getpid() not in {process for _, process in found}


def test_items_are_taken_as_they_are_needed() -> None:
    taken: list[int] = []
    results = spread(slow_first, 0, (taken.append(k) or k for k in range(1000)), 1)
    assert next(results)[0] == 0
    assert len(taken) <= 3
    results.close()


def test_what_the_work_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="three is no item"):
        list(spread(refuse_three, None, range(5), 1))


def test_a_killed_process_is_an_error_with_a_remedy() -> None:
    with pytest.raises(ProcessError, match="use fewer --workers"):
        list(spread(die_at_two, None, range(4), 1))


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve spectra of different lengths and redshifts, one damaged."""
    folder = tmp_path_factory.mktemp("night")
    paths = []
    for k in range(12):
        spectrum = galaxy(z=0.05 * k, snr=3 + 4 * k, n=3700 + 10 * k, seed=k)
        paths.append(make_sdss(folder / f"{k:02d}.fits", *spectrum, ids=(1, 52000, k + 1)))
    paths[5].write_bytes(paths[5].read_bytes()[:9000])
    return paths


def same(a: Table, b: Table) -> None:
    """Texts, flags and errors are the same; numbers to the rounding of single precision."""
    assert a.colnames == b.colnames
    for name in a.colnames:
        x, y = (np.ma.filled(np.ma.asarray(t[name]), fill_value=t[name].dtype.type(0)) for t in (a, b))
        if x.dtype.kind == "f":
            np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            assert x.tolist() == y.tolist(), name


def test_a_catalogue_does_not_depend_on_workers_batches_or_the_order_of_files(
    night: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verb, "FEW", 2)
    monkeypatch.setattr(verb, "SHARD", 5)
    ensemble = Ensemble.untrained("matched", load_survey("sdss"))
    whole = classify(night, ensemble)
    assert (whole["error"] != "").sum() == 1
    steps: list[tuple[int, int]] = []
    same(classify(night, ensemble, 5, lambda *step: steps.append(step), workers=2), whole)
    assert steps == [(5, 12), (10, 12), (12, 12)]
    same(classify(night, ensemble, batch_size=1), whole)
    same(classify(night[::-1], ensemble)[::-1], whole)
