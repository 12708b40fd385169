"""A population: catalogues read and refused, brushes that choose everywhere, a click that opens, the export."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from bokeh.document import Document
from bokeh.events import SelectionGeometry
from test_app import Desk, loaded

from engine import CatalogueError, Population, coverage, looks_like_catalogue, read_population, write_catalogue
from engine.population import as_population
from gasnet_app import theme
from gasnet_app.intake import Upload
from gasnet_app.population import PopulationView
from gasnet_app.population.plots import FEW, Cloud
from gasnet_app.state import Explorer

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3
CLASSES = np.array(["GALAXY_PASSIVE", "GALAXY_STARFORMING", "QSO", "STAR_M"])


def catalogue(n: int = 300, labels: bool = True) -> Table:
    rng = np.random.default_rng(1)
    code, zerr = rng.integers(0, 4, n), np.full(n, 1e-3)
    z_true = np.where(code == 3, 0.0, rng.uniform(0.05, 1, n))
    table = Table({
        "path": [f"night/{i}.fits" for i in range(n)], "object_id": [f"o{i}" for i in range(n)], "class": CLASSES[code],
        "z": z_true + rng.normal(0, zerr), "zerr": zerr, "snr": rng.uniform(2, 30, n),
    })  # fmt: skip
    if labels:
        table["z_true"], table["class_true"], table["ra"], table["dec"] = z_true, CLASSES[code], z_true * 300, z_true
    return table


def page(table: Table) -> PopulationView:
    explorer = Explorer(Desk(), population=as_population(table, "night.csv"), tab="population")  # type: ignore[arg-type]
    return PopulationView(explorer)


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "parquet"])
def test_a_catalogue_is_told_from_a_spectrum_and_read_whole(ending: str, tmp_path: Path):
    path = tmp_path / f"night.{ending}"
    write_catalogue(catalogue(), path)
    data = io.BytesIO(path.read_bytes())
    for source in (path, data):
        assert looks_like_catalogue(source, path.name)
        found = read_population(source, path.name)
        assert found.keys[:2].tolist() == ["o0", "o1"]
        assert np.allclose(found.numbers["z"], catalogue()["z"])
        assert found.texts["class_true"][5] == catalogue()["class_true"][5]


@pytest.mark.parametrize("text", ["wave,flux,ivar\n1,2,3\n", "1 2\n3 4\n", ""])
def test_a_spectrum_or_nothing_is_no_catalogue(text: str):
    assert not looks_like_catalogue(io.BytesIO(text.encode()), "a.csv")


def test_numbers_are_plain_arrays_that_can_be_sent_to_a_browser(tmp_path: Path):
    write_catalogue(catalogue(), tmp_path / "night.csv")
    numbers = read_population(tmp_path / "night.csv").numbers
    assert {type(values) for values in numbers.values()} == {np.ndarray}


def test_two_sessions_draw_plots_of_their_own():
    for _ in range(2):  # a model in two documents is an error
        document = Document()
        for plot in page(catalogue()).plots:
            document.add_root(plot.figure)


def test_missing_columns_are_named_with_what_is_needed():
    table = catalogue()
    table.remove_columns(["zerr", "snr"])
    with pytest.raises(CatalogueError, match=r"night.csv: columns zerr, snr missing; a catalogue needs object_id, cl"):
        as_population(table, "night.csv")


def test_a_catalogue_that_lacks_columns_is_a_row_with_its_reason():
    e = Explorer(Desk())  # type: ignore[arg-type]
    asyncio.run(e.load([Upload("n.csv", b"object_id,class,z\na,QSO,1\n")]))
    assert e.population is None
    assert "zerr, snr missing" in e.records["n.csv"].error


def test_a_dropped_catalogue_opens_the_page():
    e = Explorer(Desk())  # type: ignore[arg-type]
    asyncio.run(e.load([Upload("n.csv", b"object_id,class,z,zerr,snr\na,QSO,1,.1,9\na,QSO,2,.1,9\n")]))
    assert e.tab == "population"
    assert isinstance(e.population, Population)
    assert e.population.keys.tolist() == ["a", "a (2)"]


@pytest.mark.parametrize("n", [300, FEW + 1])
def test_a_brush_in_any_plot_chooses_in_all_and_in_the_table(n: int):
    view = page(catalogue(n))
    assert {p.name for p in view.plots} == {"z-z", "n(z)", "sigma", "confusion", "pit", "sky"}
    z = view.population.numbers["z"]  # type: ignore[union-attr]
    bars = next(p for p in view.plots if p.name == "n(z)")
    geometry = {"type": "rect", "x0": 0.2, "x1": 0.4, "y0": 0.0, "y1": 1.0}
    for callback in bars.figure._event_callbacks["selectiongeometry"]:
        callback(SelectionGeometry(bars.figure, geometry, final=True))
    assert view.chosen.sum() == ((z >= 0.2) & (z <= 0.4)).sum() == len(view.table.value)
    view.brush("sigma", (0.0, 1.0, -9, 9))
    both = (z >= 0.2) & (z <= 0.4) & (view.population.numbers["snr"] <= 10)  # type: ignore[union-attr]
    assert view.chosen.tolist() == both.tolist()
    counts = next(p for p in view.plots if p.name == "confusion").source.data["count"]  # type: ignore[attr-defined]
    assert sum(int(c.replace(",", "")) for c in counts if c) == both.sum()


def test_filters_and_order_hold_together_and_choose_all_ends_them():
    view = page(catalogue())
    view.kind.value, view.order.value = "QSO", "snr"
    assert set(view.table.value["class"]) == {"QSO"}
    assert view.table.value["SNR"].is_monotonic_increasing
    view.search.value_input = "o1"
    assert all("o1" in name for name in view.table.value["object"])
    view._clear()
    assert len(view.table.value) == 300


def test_a_click_opens_what_is_loaded_and_says_why_not_of_the_rest():
    view = page(catalogue())
    asyncio.run(view.explorer.load([Path("o7.fits")]))
    asyncio.run(view.open("o7"))
    assert (view.explorer.tab, view.explorer.selected) == ("explore", "o7")
    asyncio.run(view.open("o9"))
    assert "o9 is not loaded" in view.said.object
    assert "data folder" in view.said.object


def test_a_click_reads_a_path_below_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "3.fits").write_bytes(b"")
    monkeypatch.setattr("gasnet_app.population.view.fetch", lambda ref: tmp_path / "o3.fits")
    view = page(catalogue())
    asyncio.run(view.open("o3"))
    assert view.explorer.selected == "o3"


def test_the_point_under_the_pointer_is_found():
    view = page(catalogue())
    cloud = next(p for p in view.plots if p.name == "sky")
    assert isinstance(cloud, Cloud)
    assert cloud.nearest(float(cloud.x[4]), float(cloud.y[4]), np.ones(300, bool)) is not None
    assert cloud.nearest(-1000.0, 0.0, np.ones(300, bool)) is None


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "parquet"])
def test_the_chosen_rows_are_exported_with_every_column(ending: str):
    view = page(catalogue())
    view.kind.value, view.format.value = "QSO", ending
    out = view.export()
    assert out is not None
    assert view.save.filename == f"selection.{ending}"
    back = read_population(out, f"selection.{ending}")
    assert len(back) == (view.population.texts["class"] == "QSO").sum()  # type: ignore[union-attr]
    assert back.table is not None
    assert back.table.colnames == catalogue().colnames


def test_pit_of_honest_errors_is_flat_and_covers_its_share():
    pit = as_population(catalogue(4000), "n").pit
    assert coverage(pit, 0.68) == pytest.approx(0.68, abs=0.03)


def test_without_labels_there_are_plots_without_truth():
    assert [p.name for p in page(catalogue(labels=False)).plots] == ["n(z)", "sigma", "classes"]


def test_without_a_catalogue_the_sessions_objects_are_shown():
    e = loaded("a", "b")
    view = PopulationView(e)
    assert view.empty.visible
    e.tab = "population"
    assert not view.empty.visible
    assert sorted(view.table.value["object"]) == ["a", "b"]
    assert view.export() is not None


def test_an_empty_session_says_what_to_do():
    view = PopulationView(Explorer(Desk(), tab="population"))  # type: ignore[arg-type]
    assert view.empty.visible
    assert view.export() is None
    view.apply(theme.palette(True))


def test_reading_many_files_can_be_cancelled_and_keeps_what_came():
    async def drop() -> Explorer:
        e = Explorer(Desk())  # type: ignore[arg-type]
        seen = []
        e.param.watch(lambda event: (seen.append(event.new), "(20 of" in event.new and e.stop_reading()), "reading")
        await e.load([Path(f"f{i}.fits") for i in range(5000)])
        assert seen[0] == "Reading f0.fits (1 of 5000)"
        assert seen[-1] == ""
        return e

    assert len(asyncio.run(drop()).records) == 20
