"""Every page fits its window, from a tablet held upright to a large screen, whatever was looked at before."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAGES = ("Explore", "Why", "Inspect", "Population")
SIZES = ((1440, 900), (1920, 1080), (1280, 720), (1024, 768), (820, 1180))  # a page was wide before it is narrow
# Elements that reach beyond the window, through shadow roots; what scrolls or is cut by an ancestor is not beyond.
BEYOND = """() => {
  const found = []
  const walk = (node, right) => {
    for (const child of node.children) {
      const box = child.getBoundingClientRect()
      const style = getComputedStyle(child)
      if (!box.width || !box.height || style.visibility == "hidden" || style.position == "fixed") continue
      if (box.right > right + 1) found.push(child.tagName + "." + child.className + " " + Math.round(box.right))
      const cut = style.overflowX == "visible" ? right : Infinity
      if (child.shadowRoot) walk(child.shadowRoot, cut)
      walk(child, cut)
    }
  }
  walk(document.body, window.innerWidth)
  return found
}"""


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_no_page_is_wider_than_its_window(page: Page, size: tuple[int, int]):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for name in PAGES:
        page.locator(".pages button", has_text=name).click()
        page.wait_for_timeout(700)  # a plot takes its new width in the frame after the layout
        assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0], name
        assert page.evaluate(BEYOND) == [], name
