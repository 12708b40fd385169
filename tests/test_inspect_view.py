"""Inspecting on the screen, without a browser: keys, buttons, the queue, two tabs, two inspectors, files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_app import Desk

from engine import Prediction, Spectrum, ZWarn
from engine.inspections import Grade, Journal, JournalError, Target, to_prospect
from gasnet_app import theme
from gasnet_app.inspection import InspectView, Sitting
from gasnet_app.inspection.grade_pane import others_html
from gasnet_app.keys import HELP, Keyboard
from gasnet_app.state import Explorer

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3


class Flagging(Desk):
    """A desk that is the less sure the later the object comes in the alphabet."""

    async def predict(self, spectra: list[Spectrum], wanted: Callable[[], bool] = lambda: True) -> list[Prediction]:
        found = await super().predict(spectra, wanted)
        flags = {"a": ZWarn(0), "b": ZWarn.CLASS_UNCERTAIN, "c": ZWarn.SMALL_DELTA_CHI2}
        return [
            replace(p, zwarn=flags.get(s.object_id, ZWarn(0)), ood=float(ord(s.object_id[0]) - 100))
            for p, s in zip(found, spectra, strict=bool(found))
        ]


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'inspections.db'}"


def sit(url: str, inspector: str = "ana", names: str = "abc") -> Sitting:
    """A sitting over objects a, b, c: c tells most, a least; a is shown."""
    e = Explorer(Flagging())  # type: ignore[arg-type]
    sitting = Sitting(e, lambda: Journal(url), inspector=inspector)
    asyncio.run(e.load([Path(f"{name}.fits") for name in names]))
    e.tab = "inspect"
    asyncio.run(sitting.start())
    return sitting


def press(sitting: Sitting, keys: str) -> None:
    """Keys one after another, each when the browser shows what the session shows."""
    for key in keys:
        asyncio.run(sitting.press(key, sitting.explorer.selected))


def stands(url: str, inspector: str = "ana") -> dict[str, Grade]:
    journal = Journal(url)
    found = {e.target.object_id: e.grade for e in journal.latest() if e.inspector == inspector}
    journal.close()
    return found


def test_the_most_telling_object_comes_first_and_any_column_will_do(url: str):
    sitting = sit(url)
    assert [row.key for row in sitting.rows] == ["c", "b", "a"]
    sitting.order = "object"
    assert [row.key for row in sitting.rows] == ["a", "b", "c"]
    sitting.explorer.flagged_only = True
    assert [row.key for row in sitting.rows] == ["b", "c"]


def test_a_grade_is_in_the_journal_with_the_machines_answer_and_the_next_object_is_shown(url: str):
    sitting = sit(url)
    asyncio.run(sitting.explorer.select("c"))
    press(sitting, "3")
    assert stands(url) == {"c": Grade(3)}
    assert sitting.explorer.selected == "b"
    assert sitting.saved.startswith("c saved at ")
    journal = Journal(url)
    (entry,) = journal.latest()
    journal.close()
    assert (entry.machine.suggested, entry.machine.class_name, entry.target.source) == (  # type: ignore[union-attr]
        2, "GALAXY_STARFORMING", "c.fits",
    )  # fmt: skip


def test_issues_z_and_grade_make_one_record_and_graded_objects_are_passed_over(url: str):
    sitting = sit(url)
    asyncio.run(sitting.explorer.select("c"))
    sitting.explorer.z = 0.31
    press(sitting, "rsz2")
    assert stands(url) == {"c": Grade(2, "RS", "", 0.31)}
    press(sitting, "41")
    assert sitting.explorer.selected == "a", "all are graded: it stays"
    assert sitting.progress.words.startswith("3 done, 0 left")
    asyncio.run(sitting.explorer.select("c"))
    press(sitting, "r")
    assert stands(url)["c"] == Grade(2, "S", "", 0.31)


def test_undo_goes_back_over_objects_and_shows_what_it_undid(url: str):
    sitting = sit(url)
    asyncio.run(sitting.explorer.select("c"))
    press(sitting, "34u")
    assert (sitting.explorer.selected, stands(url)) == ("b", {"c": Grade(3), "b": Grade()})
    press(sitting, "u")
    assert (sitting.explorer.selected, stands(url)["c"]) == ("c", Grade())
    press(sitting, "u")
    assert sitting.problem == "nothing left to undo"


def test_what_is_not_loaded_is_not_undone_unseen(url: str):
    journal = Journal(url)
    journal.write(Target("SDSS", "elsewhere"), "ana", Grade(4), 0)
    journal.close()
    sitting = sit(url)
    press(sitting, "u")
    assert "elsewhere, which is not loaded here" in sitting.problem
    assert stands(url)["elsewhere"] == Grade(4)


def test_a_key_pressed_before_the_next_object_was_seen_writes_nothing(url: str):
    sitting = sit(url)
    asyncio.run(sitting.explorer.select("c"))
    press(sitting, "3")
    asyncio.run(sitting.press("1", "c"))
    assert sitting.problem == "1 was pressed while c was on the screen: nothing was written"
    assert stands(url) == {"c": Grade(3)}


def test_keys_that_come_at_once_act_one_after_another(url: str):
    sitting = sit(url)

    async def scene() -> None:
        await sitting.explorer.select("c")
        await asyncio.gather(*(sitting.press(key, "c") for key in ("r", "s", "3", "n")))

    asyncio.run(scene())
    assert stands(url) == {"c": Grade(3, "RS")}


def test_nobody_grades_without_a_name(url: str):
    sitting = sit(url, inspector="")
    press(sitting, "4")
    assert "say who is grading" in sitting.problem
    assert stands(url, "") == {}


def test_a_second_tab_of_the_same_inspector_sees_the_grades_and_cannot_overwrite_unseen(url: str):
    one, other = sit(url), sit(url)
    press(one, "4")
    asyncio.run(other.explorer.select("a"))
    press(other, "1")
    assert "ana's record was changed elsewhere (quality 4" in other.problem
    assert stands(url) == {"a": Grade(4)}
    assert other.grade == Grade(4), "and it has looked again"
    press(other, "1")
    assert stands(url) == {"a": Grade(1)}
    asyncio.run(one.refresh())
    asyncio.run(one.explorer.select("a"))
    assert one.grade == Grade(1)


def test_two_inspectors_see_each_other_and_a_third_settles_what_they_disagree_on(url: str):
    ana, bo = sit(url, "ana"), sit(url, "bo")
    press(ana, "4")
    press(bo, "1")
    asyncio.run(ana.refresh())
    asyncio.run(ana.explorer.select("a"))
    assert ana.conflicts == 1
    assert "ana and bo: quality 4 and 1" in others_html(ana.together, "ana")
    cy = sit(url, "cy")
    cy.settling = True
    assert [row.key for row in cy.rows] == ["a"]
    press(cy, "3")
    assert stands(url, "cy") == {"a": Grade(3, settles=True)}
    assert cy.rows == ()
    assert "settled by cy" in others_html(cy.together, "ana")


def test_a_journal_that_cannot_be_opened_is_told_and_the_page_goes_on():
    def shut() -> Journal:
        raise JournalError("postgresql://ana@db/x: cannot be opened (no route). Try again")

    e = Explorer(Flagging())  # type: ignore[arg-type]
    sitting = Sitting(e, shut, inspector="ana")
    asyncio.run(e.load([Path("a.fits")]))
    e.tab = "inspect"
    asyncio.run(sitting.start())
    press(sitting, "4")
    assert "cannot be opened" in sitting.problem
    assert sitting.saved == ""


# ---- the view --------------------------------------------------------------------------------------------------------


def view(url: str, **how: str) -> InspectView:
    made = InspectView(sit(url, **how))
    made.apply(theme.palette(True))
    return made


def test_the_suggested_grade_is_outlined_and_the_given_one_filled(url: str):
    v = view(url)
    asyncio.run(v.sitting.explorer.select("c"))
    assert "suggested" in v.grading.quality[2].css_classes
    assert "suggested: 2 possible" in v.grading.words.object
    press(v.sitting, "r3")
    asyncio.run(v.sitting.explorer.select("c"))
    assert "given" in v.grading.quality[3].css_classes
    assert "given" not in v.grading.quality[2].css_classes
    assert "given" in v.grading.issues["R"].css_classes
    assert "3 probable" in v.grading.words.object
    assert "QOP 3" in v.grading.words.object


def test_the_table_shows_machine_suggestion_and_own_grade_and_a_click_opens_the_object(url: str):
    v = view(url)
    assert list(v.queue.table.value.index) == ["c", "b", "a"]
    assert list(v.queue.table.value["?"]) == ["2", "3", "4"]
    asyncio.run(v.queue._on_click(SimpleNamespace(row=1)))
    assert v.sitting.explorer.selected == "b"
    assert v.queue.table.selection == [1]
    press(v.sitting, "c4")
    assert list(v.queue.table.value["you"]) == ["", "4C", ""]
    assert "1 done, 2 left" in v.queue.progress.object


def test_above_a_hundred_rows_the_table_pages_and_follows_the_object(url: str):
    v = view(url)
    e = v.sitting.explorer
    a = e.records["a"]
    e.records = {
        f"{i:03d}": replace(a, key=f"{i:03d}", spectrum=a.spectrum.with_(object_id=str(i))) for i in range(250)
    }
    assert v.queue.table.pagination == "remote"
    e.selected = "230"
    assert v.queue.table.page == 3


def test_type_and_comment_are_written_for_the_object_they_were_shown_for(url: str):
    v = view(url)

    async def scene() -> None:
        v.grading.comment.value = "BAL, broad"
        await asyncio.sleep(0.3)
        v.grading.spectype.value = "QSO"
        await asyncio.sleep(0.3)
        await v.sitting.explorer.select("b")
        await asyncio.sleep(0.3)
        assert (v.grading.comment.value, v.grading.spectype.value) == ("", "")
        await v.sitting.explorer.select("a")
        await asyncio.sleep(0.3)

    asyncio.run(scene())
    assert stands(url) == {"a": Grade(None, "", "QSO", None, "BAL, broad")}, "nothing for b"
    assert (v.grading.comment.value, v.grading.spectype.value) == ("BAL, broad", "QSO")


def test_z_that_was_moved_is_not_taken_silently(url: str):
    v = view(url)
    v.sitting.explorer.z = 0.31
    assert "z 0.10000 as found, lines at 0.31000" in v.grading.z.object
    press(v.sitting, "z")
    assert "z 0.31000 yours" in v.grading.z.object


def test_a_file_comes_in_with_its_numbers_or_its_fault(url: str):
    v, other = view(url), view(url, inspector="bo")
    press(other.sitting, "4")
    text = to_prospect(other.sitting.journal.latest()).replace(",bo,", ",cy,")  # type: ignore[union-attr]
    v.files.file.filename = "vi.csv"
    asyncio.run(v.files._on_file(SimpleNamespace(new=text.encode())))
    assert "1 imported, 0 the same" in v.files.told.object
    assert stands(url, "cy") == {"a": Grade(4)}
    asyncio.run(v.files._on_file(SimpleNamespace(new=b"<html>")))
    assert "vi.csv: no column TARGETID" in v.files.told.object
    assert b"751" not in v.files._prospect().read()
    assert v.files._marz().read().startswith(b"# Results generated by ana")


# ---- keys ------------------------------------------------------------------------------------------------------------


def test_grading_keys_count_while_inspecting_only(url: str):
    sitting = sit(url)
    keyboard = Keyboard(sitting.explorer, lambda: None, sitting)
    assert keyboard.inspecting
    assert keyboard.shown == "a"
    asyncio.run(keyboard.press("4", "a"))
    assert stands(url) == {"a": Grade(4)}
    sitting.explorer.tab = "explore"
    assert not keyboard.inspecting
    asyncio.run(keyboard.press("1", sitting.explorer.selected))
    assert stands(url) == {"a": Grade(4)}


def test_n_and_p_follow_the_queue_while_inspecting(url: str):
    sitting = sit(url)
    asyncio.run(sitting.explorer.select("c"))
    press(sitting, "n")
    assert sitting.explorer.selected == "b"
    press(sitting, "p")
    assert sitting.explorer.selected == "c"


def test_every_key_is_in_the_list():
    told = {key for keys, _ in HELP for key in keys.replace("to", " ").split()}
    assert {"n", "p", "[", "]", "l", "m", "f", "/", "?", "0", "4", "r", "c", "s", "z", "t", "u"} <= told
