"""The find box without a browser: open objects first, then the archive; progress, errors and choices in words."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest
from test_app import explorer, loaded, spectrum

from engine import FORMS, Ambiguous, ArchiveError, Ref, resolve
from gasnet_app.find_view import FindView
from gasnet_app.state import Explorer

TARGET = 39632936152072660


class Shelf:
    """An archive that has what it is given; a file's stem is what the desk of test_app calls its spectrum."""

    def __init__(self, *names: str) -> None:
        self.names, self.asked = names, []
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, ref: Ref) -> Path:
        self.asked.append(ref.name)
        assert self.gate.wait(20)
        if ref.name == "1000-52251-1":
            raise RuntimeError("a fault of ours")
        if ref.object_id == str(TARGET) and ref.program is None:
            raise Ambiguous(f"{ref.name}: is the ID of 2 spectra", resolve(f"sv3-dark-{TARGET} sv3-bright-{TARGET}"))
        if ref.name in self.names or ref.object_id == str(TARGET):
            return Path(f"/cache/{ref.object_id}.fits")
        raise ArchiveError(f"{ref.name}: not in cache or data folder, and data.sdss.org did not answer (timed out)")


def view(e: Explorer, *names: str) -> FindView:
    return FindView(e, Shelf(*names))


def said(v: FindView) -> str:
    return v.line.object if v.under.visible else ""


def test_an_open_object_is_selected_and_the_archive_is_not_asked():
    e = loaded("751-52251-160", "752-52251-3")
    v = view(e)
    for text in ("spec-0752-52251-0003.fits", "752 52251 3", "752-52251-3"):
        asyncio.run(e.select("751-52251-160"))
        asyncio.run(v.submit(text))
        assert e.selected == "752-52251-3"
    assert v._fetch.asked == []
    assert (said(v), v.box.value) == ("", "")


def test_any_name_of_the_table_works_though_no_survey_gave_it():
    e = loaded("751-52251-160", "my quasar")
    v = view(e)
    asyncio.run(v.submit(" my quasar "))
    assert e.selected == "my quasar"


def test_what_is_not_open_is_fetched_and_shown():
    e = loaded("751-52251-160")
    v = view(e, "4055-55359-408")
    asyncio.run(v.submit("4055-55359-408"))
    assert e.selected == "4055-55359-408"
    assert len(e.records) == 2
    assert (said(v), v.box.value) == ("", "")


def test_an_open_object_of_another_survey_of_desi_is_not_taken_for_it():
    e = loaded(str(TARGET))
    (key,) = e.records
    v = view(e)
    (main,) = resolve(f"main-dark-{TARGET}")
    assert v._open(resolve(str(TARGET))) == [key]
    assert v._open([main]) == [None]
    assert main.means(str(TARGET), {"survey": "main", "program": "dark"})
    assert not main.means(str(TARGET), {"survey": "sv3", "program": "dark"})


def test_enter_submits_what_stands_in_the_box():
    e = loaded("751-52251-160", "752-52251-3")
    v = view(e)
    v.box.value = "752-52251-3"
    asyncio.run(v._on_enter(None))
    assert e.selected == "752-52251-3"


def test_a_pasted_list_is_submitted_at_once_with_its_lines():
    e = explorer()
    v = view(e, "751-52251-160", "752-52251-3", "753-52251-4")
    asyncio.run(v.pasted("751-52251-160\n752-52251-3\n\n753-52251-4\n"))
    assert list(e.records) == ["751-52251-160", "752-52251-3", "753-52251-4"]
    assert e.selected == "751-52251-160"


def test_a_malformed_id_is_said_beneath_with_the_forms_that_work():
    v = view(explorer())
    v.box.value = "<b>M31"
    asyncio.run(v.submit("<b>M31"))
    assert "&#x27;&lt;b&gt;M31&#x27; is no ID</div>" in said(v)
    assert all(f"<td>{form}</td>" in said(v) for form, _ in FORMS)
    assert 'class="bad"' in said(v)
    assert v.box.value == "<b>M31"  # to be mended
    assert v.end.label == "Close"
    asyncio.run(v._on_end(None))
    assert said(v) == ""


def test_what_the_archive_cannot_give_is_said_and_the_rest_of_a_list_opens():
    e = explorer()
    v = view(e, "751-52251-160")
    asyncio.run(v.submit("751-52251-160, 752-52251-3, 1000-52251-1"))
    assert list(e.records) == ["751-52251-160"]
    assert "Not found: 2 of 3" in said(v)
    assert "752-52251-3: not in cache or data folder, and data.sdss.org did not answer (timed out)" in said(v)
    assert "1000-52251-1: RuntimeError: a fault of ours. Please report this." in said(v)


def test_of_many_failures_the_first_are_said():
    v = view(explorer())
    asyncio.run(v.submit("\n".join(f"751-52251-{fiber}" for fiber in range(1, 10))))
    assert said(v).count("<div>") == 7
    assert "and 4 more" in said(v)


def test_an_id_of_several_spectra_gives_buttons_and_a_button_fetches():
    e = explorer()
    v = view(e)
    asyncio.run(v.submit(str(TARGET)))
    assert "Several spectra have this ID" in said(v)
    assert [button.label for button in v.choices] == [f"desi:sv3-dark-{TARGET}", f"desi:sv3-bright-{TARGET}"]
    asyncio.run(v._find(resolve(v.choices[1].label)))
    assert e.selected == str(TARGET)
    assert (said(v), len(v.choices)) == ("", 0)


def test_progress_is_said_and_stop_keeps_what_has_come():
    e = explorer()
    v = view(e, "751-52251-160")

    async def play() -> None:
        v._fetch.gate.clear()
        finding = asyncio.create_task(v.submit("751-52251-160 " + " ".join(f"752-52251-{i}" for i in range(1, 9))))
        await asyncio.sleep(0.05)
        assert "Looking for 751-52251-160 (0 of 9 done): data folder, cache, archives" in said(v)
        assert v.end.label == "Stop"
        await v._on_end(None)
        await finding
        v._fetch.gate.set()

    asyncio.run(play())
    assert len(v._fetch.asked) <= 4
    assert "751-52251-160: stopped" in said(v)
    assert v.end.label == "Close"


def test_a_new_search_takes_the_place_of_one_that_stalls():
    e = loaded("751-52251-160")
    v = view(e)

    async def play() -> None:
        v._fetch.gate.clear()
        stalled = asyncio.create_task(v.submit("999-52251-1"))
        await asyncio.sleep(0.05)
        await v.submit("751-52251-160")
        await stalled
        v._fetch.gate.set()

    asyncio.run(play())
    assert said(v) == ""
    assert e.selected == "751-52251-160"


def test_spectra_tell_where_they_were_observed(tmp_path):
    """What an ID may tell beyond the object is in the meta that the readers give."""
    assert "run2d" not in spectrum().meta
    (ref,) = resolve("845594848269461504")
    assert ref.means("751-52251-160", {"run2d": "26 "})
    assert not ref.means("751-52251-160", {"run2d": "103"})
    assert not ref.means("751-52251-161", {"run2d": "26"})


@pytest.mark.parametrize("text", ["", "  \n "])
def test_an_empty_box_says_nothing(text):
    v = view(explorer())
    asyncio.run(v.submit(text))
    assert said(v) == ""
