"""Fixtures every test may use; `makers` (beside this file) makes files in the surveys' formats."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from makers import galaxy, make_sdss

os.environ["GASNET_TEMPLATES_UNCHECKED"] = "1"  # tests invent their templates (fake_templates.py)
_REALSPEC = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "realspec"


@pytest.fixture(autouse=True)
def _no_models_of_the_user(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that whoever runs the tests has promoted must not change what the tests see."""
    monkeypatch.setenv("GASNET_HOME", str(tmp_path_factory.getbasetemp() / "no-home"))


@pytest.fixture
def sdss_file(tmp_path: Path) -> Path:
    """A spec-lite file of a star-forming galaxy at z = 0.1, with its catalogue row."""
    label = {"spectype": "GALAXY", "subclass": "STARFORMING", "z": 0.1, "zerr": 1e-4, "zwarning": 0}
    return make_sdss(tmp_path / "spec-0751-52251-0160.fits", *galaxy(), label=label)


@pytest.fixture(scope="session")
def realspec() -> Path:
    """The folder of real survey files with manifest.csv; the test is skipped where it is absent."""
    if not (_REALSPEC / "manifest.csv").is_file():
        pytest.skip("no folder of real spectra beside the project (shared/data/realspec)")
    return _REALSPEC
