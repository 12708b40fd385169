"""`gasnet report` and the page of one object: everything in one file, text from files never markup."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from makers import galaxy, make_sdss
from test_app import prediction, spectrum
from test_cli import model, run  # noqa: F401 - fixtures

from engine import CrossCheck, Fit, Saliency
from gasnet_app.object_page import file_name, page, write_page

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # Panel 1.9 with pandas 3

HOSTILE = "</script><script>bad()</script><img src=x onerror=bad()>'\"&{{ 7 * 7 }}"


def witnesses() -> tuple[Saliency, CrossCheck]:
    """What the answer rests on, H-alpha at z = 0.1, and a template fit that agrees."""
    s = spectrum()
    bump = np.exp(-(((s.wave - 6564.61 * 1.1) / 3) ** 2))
    fit = Fit("GALAXY", 0.1, 0.10012, 2e-5, 3000.0, 3000, 9.0, 0.9 * s.flux)
    return Saliency(s.wave, 0.5 * bump, bump), CrossCheck(fit, (), math.nan, "agrees")


class Elements(HTMLParser):
    """What a browser makes of a page: its elements, its text, and the contents of its scripts by id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts = "", dict[str, str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.elements[-1] if self.elements else ("", {})
        if tag == "script":
            self.scripts[attributes.get("id") or ""] = data
        elif tag != "style":
            self.text += data + "\n"


def test_the_page_says_what_where_why_and_by_which_model():
    seen = Elements(page(spectrum(), prediction()))
    for words in ("751-52251-160", "GALAXY_STARFORMING", "z = 0.10000 ± 0.00013", "zwarn 0", "test", "SNR"):
        assert words in seen.text
    assert "<title>751-52251-160: GALAXY_STARFORMING, test</title>" in page(spectrum(), prediction())


def test_every_peak_of_p_z_has_a_button_that_puts_the_lines_there():
    buttons = [attributes for tag, attributes in Elements(page(spectrum(), prediction())).elements if tag == "button"]
    assert [float(b["data-z"] or "nan") for b in buttons] == pytest.approx([0.1, 0.3], abs=2e-3)


def test_a_star_has_no_p_z():
    seen = Elements(page(spectrum(), prediction(best="STAR_F5")))
    assert "z = 0 (star)" in seen.text
    assert '"p(z)",' not in seen.scripts["document"]


def test_saliency_and_template_fit_are_drawn_and_told():
    seen = Elements(page(spectrum(), prediction(), *witnesses()))
    assert "Hα" in seen.text
    assert "template fit z = 0.10012 ± 0.00002, agrees" in seen.text
    assert '"label":"model"' in seen.scripts["document"], "the button that hides the fitted model"
    assert '"label":"model"' not in Elements(page(spectrum(), prediction())).scripts["document"]


def test_nothing_in_the_page_comes_from_elsewhere():
    seen = Elements(page(spectrum(), prediction()))
    assert not [tag for tag, _ in seen.elements if tag in {"link", "iframe", "img", "base"}]
    assert not [a for _, a in seen.elements if "src" in a or "href" in a]
    style = re.search(r"<style>(.*?)</style>", page(spectrum(), prediction()), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def test_what_a_file_says_is_text_and_never_markup():
    hostile = spectrum(HOSTILE, survey=HOSTILE, flux_unit=HOSTILE, notes=(HOSTILE,))
    plain = Elements(page(spectrum(), prediction())).elements
    spoilt = Elements(page(hostile, prediction()))
    tags = [tag for tag, _ in spoilt.elements]
    assert tags.count("script") == [tag for tag, _ in plain].count("script")
    assert "img" not in tags
    assert spoilt.text.count("{{ 7 * 7 }}") >= 3
    json.loads(spoilt.scripts["document"])


@pytest.mark.parametrize(
    ("object_id", "name"),
    [
        ("751-52251-160", "751-52251-160.html"),
        ("../../etc/passwd", "etc_passwd.html"),
        (".hidden", "hidden.html"),
        ("a b/c\\d:e", "a_b_c_d_e.html"),
        ("Ω", "object.html"),
        ("", "object.html"),
        ("x" * 300, "x" * 100 + ".html"),
    ],
)
def test_a_page_is_named_after_its_object_safely(object_id, name):
    assert file_name(object_id) == name


def test_two_objects_never_share_a_file():
    taken: list[str] = []
    for object_id in ("a/b", "a:b", "A_B"):
        taken.append(file_name(object_id, taken))
    assert taken == ["a_b.html", "a_b-2.html", "A_B-3.html"]


def test_a_page_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "a.html"
    path.write_text("old")
    with pytest.raises(AttributeError):
        write_page(path, spectrum(), None, None, None)  # type: ignore[arg-type]
    assert path.read_text() == "old"


# ---- the command -----------------------------------------------------------------------------------------------------


def test_report_writes_a_page_for_each_object_and_prints_its_path(tmp_path, model, run):  # noqa: F811
    night = tmp_path / "night"
    night.mkdir()
    for fibre in (1, 2):
        make_sdss(night / f"{fibre}.fits", *galaxy(), ids=(751, 52251, fibre))
    out = tmp_path / "pages"
    code, said, err = run("report", night, "--html", "--out", out, "--model", model)
    assert (code, err) == (0, "")
    assert said.splitlines() == [str(out / "751-52251-1.html"), str(out / "751-52251-2.html")]
    assert "untrained" in Elements((out / "751-52251-1.html").read_text()).text
    assert sorted(p.name for p in out.iterdir()) == ["751-52251-1.html", "751-52251-2.html"]


def test_a_bad_file_is_said_in_one_line_and_the_others_are_written(tmp_path, model, run):  # noqa: F811
    good = make_sdss(tmp_path / "good.fits", *galaxy())
    (tmp_path / "bad.fits").write_bytes(good.read_bytes()[:4000])
    code, said, err = run("report", tmp_path / "bad.fits", good, tmp_path / "gone", "--out", tmp_path, "--model", model)
    assert code == 1
    assert said.splitlines() == [str(tmp_path / "751-52251-160.html")]
    assert [re.match(r"gasnet: (\S+): ", line)[1] for line in err.splitlines()] == [
        str(tmp_path / "bad.fits"), str(tmp_path / "gone")
    ]  # fmt: skip


def test_a_spectrum_without_an_answer_gets_its_reason_and_no_page(tmp_path, model, run):  # noqa: F811
    wave, flux, ivar = galaxy(loglam_min=3.62)
    make_sdss(tmp_path / "red.fits", wave, flux, np.where(wave > 9205, ivar, 0))
    code, said, err = run("report", tmp_path / "red.fits", "--out", tmp_path / "out", "--model", model)
    assert (code, said) == (1, "")
    assert "no usable pixel between 3600 and 9200 A" in err
    assert list((tmp_path / "out").iterdir()) == []
