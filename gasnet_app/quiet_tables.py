"""Keeps Panel's tables from spinning.

Panel 1.9.4's DataTabulator waits for each of its style sheets to say that it has loaded, asking again without a pause;
a sheet that had loaded before it listened never says so, and the browser spends half a core for ever (1.5 s of 3 s,
now .2 s). The table's own question is answered with what the sheets show: they are there.
"""

from __future__ import annotations

from panel.custom import JSComponent


class QuietTables(JSComponent):
    """Nothing to see. Mends the tables of the page, those to come too."""

    _esm = """
    export function render() {
      const table = window.Bokeh.Models.get("panel.models.tabulator.DataTabulator")?.prototype.default_view.prototype
      if (table && !table.knows_sheets) {
        const asked = table._has_active_editor
        table.knows_sheets = true
        table._has_active_editor = function () {  // asked in every turn of the wait, just before the sheets
          for (const {el} of this._applied_stylesheets) {
            if (el instanceof HTMLLinkElement && el.sheet) this._initialized_stylesheets.set(el.href, true)
          }
          return asked.call(this)
        }
      }
      return document.createElement("span")
    }
    """

    def __init__(self) -> None:
        super().__init__(width=0, height=0, margin=0)
