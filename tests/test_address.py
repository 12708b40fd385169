"""A link to what is looked at, without a browser: what goes into the address and what comes back out of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_app import explorer, loaded

from gasnet_app.address import Address, words_of


@dataclass
class Location:
    search: str = ""


@dataclass
class Finder:
    asked: list[str] = field(default_factory=list)

    async def __call__(self, text: str) -> None:
        self.asked.append(text)


def opened(e, search: str) -> tuple[Location, Finder]:
    location, finder = Location(search), Finder()
    asyncio.run(Address(e, location, finder).restore())
    return location, finder


def test_the_address_names_survey_and_object():
    location, _ = opened(loaded("751-52251-160"), "")
    assert location.search == "?survey=sdss&id=751-52251-160"


def test_what_is_looked_at_goes_into_the_address_as_it_changes():
    e = loaded("751-52251-160")
    location, _ = opened(e, "?theme=dark")
    e.z, e.tab, e.smoothing = 0.25, "population", 5
    assert location.search == "?theme=dark&survey=sdss&id=751-52251-160&z=0.25&tab=population&smoothing=5"


def test_the_answers_own_redshift_is_not_told():
    e = loaded("751-52251-160")
    e.z = 0.3
    e.z = e.prediction.best_z
    assert words_of(e)["z"] is None


def test_opening_an_address_restores_the_view():
    e = loaded("751-52251-160", "751-52251-161")
    opened(e, "?survey=sdss&id=751-52251-161&z=0.31&tab=inspect&smoothing=9")
    assert (e.selected, e.z, e.tab, e.smoothing) == ("751-52251-161", 0.31, "inspect", 9)


def test_an_object_that_is_not_here_is_asked_for():
    _, finder = opened(loaded("751-52251-160"), "?id=1655-53523-204")
    assert finder.asked == ["1655-53523-204"]


@pytest.mark.parametrize(
    "search", ["?tab=root", "?smoothing=4", "?smoothing=x", "?z=nan", "?survey=nowhere", "?z=1e999"]
)
def test_what_an_address_cannot_mean_is_passed_over(search):
    e = loaded("751-52251-160")
    before = (e.tab, e.smoothing, e.z, e.worker)
    opened(e, search + "&id=751-52251-160")
    assert (e.tab, e.smoothing, e.z, e.worker) == before


def test_paths_and_failed_files_stay_out_of_the_address():
    e = explorer()
    asyncio.run(e.load([Path("a/b.fits")]))
    name = next(iter(e.records))
    e.records = {"data/b.fits": e.records[name]}
    e.selected = "data/b.fits"
    assert words_of(e)["id"] is None
