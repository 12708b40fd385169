"""When views may change: Bokeh's models are touched only on the document's turn; answers arrive outside it."""

from __future__ import annotations

from collections.abc import Callable

import panel as pn


def later(show: Callable[[], None]) -> Callable[..., None]:
    """A watcher that draws on the document's turn."""
    return lambda *_: pn.state.execute(show, schedule=True if pn.state.curdoc else "auto")
