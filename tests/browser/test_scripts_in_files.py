"""Markup in names, comments and cells of files, in a real Chromium: it is shown as text and never runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from makers import galaxy
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

SCRIPT = "<img src=x onerror=window.hacked=1>"


def test_a_spectrum_and_a_catalogue_full_of_markup_are_shown_as_text(page_of_its_own: Page, tmp_path: Path) -> None:
    page = page_of_its_own
    spectrum = tmp_path / "a.csv"
    rows = "\n".join(f"{w:.3f},{f:.4f},{v:.4f}" for w, f, v in zip(*galaxy(), strict=True))
    spectrum.write_text(f"# object = {SCRIPT}\nwave [Angstrom],flux [{SCRIPT}],ivar\n{rows}\n")
    chooser = page.locator("input[type=file]").first
    chooser.set_input_files([str(spectrum)])
    page.locator(".headline b", has_text=SCRIPT).wait_for(timeout=60_000)
    page.locator(".tabulator-cell", has_text=SCRIPT).first.wait_for(timeout=30_000)
    bad = tmp_path / "bad.csv"
    bad.write_text(f"{SCRIPT},{SCRIPT}\n1,2\n")
    chooser.set_input_files([str(bad)])
    page.locator(".failures", has_text=SCRIPT).wait_for(timeout=30_000)
    catalogue = tmp_path / "c.csv"
    cells = "\n".join(f"{SCRIPT}{i},{SCRIPT},0.{i},0.001,9" for i in range(1, 9))
    catalogue.write_text(f"object_id,class,z,zerr,snr\n{cells}\n")
    chooser.set_input_files([str(catalogue)])
    page.locator(".tabulator-cell", has_text=f"{SCRIPT}1").first.wait_for(timeout=30_000)
    assert page.evaluate("() => window.hacked") is None
