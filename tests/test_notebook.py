"""`from gasnet_app import explore`: the page's views without a server, in a process that has an event loop already."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import panel as pn
import pytest
from makers import galaxy, make_sdss
from test_app import SURVEY, prediction, spectrum

from gasnet_app import explore, notebook
from gasnet_app.worker import Worker

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3


class Stub:
    """An engine that has one answer."""

    survey, card, outliers, name = SURVEY, {"model": "test"}, None, "test"

    def predict(self, spectra, **_):
        return [prediction() for _ in spectra]


@pytest.fixture(autouse=True)
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "shared_worker", lambda survey: Worker(survey, lambda _: Stub()))


def texts(view: pn.viewable.Viewable) -> str:
    return " ".join(str(pane.object) for pane in view.select(pn.pane.HTML))


def test_a_file_and_a_spectrum_in_memory_are_answered_within_a_running_loop(tmp_path: Path):
    path = make_sdss(tmp_path / "a.fits", *galaxy())

    async def cell() -> pn.Row:
        return explore([spectrum("mine"), path])

    view = asyncio.run(cell())
    assert len(view) == 3
    assert "GALAXY_STARFORMING" in texts(view)
    table = next(iter(view.select(pn.widgets.Tabulator)))
    assert list(table.value.index) == ["mine", "751-52251-160"]
    assert "…" not in set(table.value["class"])


def test_one_object_needs_no_list():
    assert "GALAXY_STARFORMING" in texts(explore(spectrum()))


def test_a_file_that_cannot_be_read_stands_in_the_table(tmp_path: Path):
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"no FITS")
    view = explore([spectrum("mine"), bad])
    assert list(next(iter(view.select(pn.widgets.Tabulator))).value.index) == ["bad.fits", "mine"]


def test_the_views_become_bokeh_models_as_a_notebook_asks_for_them():
    assert explore(spectrum()).get_root() is not None


def test_importing_the_package_loads_no_screen():
    code = "import gasnet_app, sys; assert not {'panel', 'bokeh', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
