"""Finding a spectrum by its ID in a real Chromium; the archives are played by a server on the same machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fake_archives import Archives, playing
from makers import galaxy, make_sdss
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import ROOT, Served, opened

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

REMOTE = "/sdss/dr17/sdss/spectro/redux/26/spectra/lite/0751/spec-0751-52251-0161.fits"


@pytest.fixture(scope="module")
def archives() -> Iterator[Archives]:
    with playing() as archives:
        yield archives


@pytest.fixture(scope="module")
def served(browser: Browser, archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("find")
    data = folder / "data"
    data.mkdir()
    make_sdss(data / "spec-0751-52251-0160.fits", *galaxy())
    remote = make_sdss(folder / "spec-0751-52251-0161.fits", *galaxy(z=0.2), ids=(751, 52251, 161))
    archives.files[REMOTE] = remote.read_bytes()
    settings = {"GASNET_DATA": str(data), "GASNET_CACHE": str(folder / "cache"), "GASNET_ARCHIVES": archives.setting}
    server = Served(ROOT / "assets", folder / "log.txt", **settings)
    yield server
    server.stop()


def find(page: Page, text: str) -> None:
    box = page.get_by_placeholder("Find:")
    box.fill(text)
    box.press("Enter")


def expect_shown(page: Page, name: str) -> None:
    expect(page.locator(".headline b", has_text=name)).to_be_visible(timeout=30_000)


def test_an_id_is_found_in_the_data_folder(page: Page):
    find(page, "751-52251-160")
    expect_shown(page, "751-52251-160")
    expect(page.locator(".find-under")).not_to_be_visible()


def test_an_id_that_is_not_at_hand_is_fetched_from_the_archive(page: Page, archives: Archives):
    find(page, "spec-0751-52251-0161.fits")
    expect_shown(page, "751-52251-161")
    assert REMOTE in archives.asked


def test_an_object_that_no_archive_has_is_said_under_the_box(page: Page):
    find(page, "751-52251-600")
    line = page.locator(".find-line .bad")
    expect(line).to_contain_text("751-52251-600", timeout=30_000)
    page.locator(".find-end").get_by_role("button").click()
    expect(page.locator(".find-under")).not_to_be_visible()


def test_what_is_no_id_is_answered_with_the_forms_that_work(page: Page):
    find(page, "nonsense-1")
    expect(page.locator(".find-under")).to_contain_text("Forms that work")
    expect(page.locator(".find-under")).to_contain_text("plate-mjd-fiber")
    find(page, "")


def test_an_address_with_an_id_opens_it(browser: Browser, served: Served):
    with opened(browser, served, "?id=751-52251-161&z=0.3&smoothing=5") as page:
        expect_shown(page, "751-52251-161")
        page.wait_for_function("() => location.search.includes('z=0.3')")
        assert "smoothing=5" in page.url
        assert "/" not in page.url.split("?")[1].replace("%2F", "/")
