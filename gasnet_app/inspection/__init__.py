"""Visual inspection on the screen: the left column of the Inspect page."""

from __future__ import annotations

import panel as pn

from gasnet_app import theme
from gasnet_app.inspection.files_pane import FilesPane
from gasnet_app.inspection.grade_pane import GradePane
from gasnet_app.inspection.queue_pane import QueuePane
from gasnet_app.inspection.sitting import GRADING, Sitting

__all__ = ["GRADING", "InspectView", "Sitting"]

WIDTH = 290
POLL = 3000  # milliseconds between two looks at what others wrote


class InspectView:
    """Queue above, grade below, files at the foot; it looks at a Sitting, which the keyboard asks too."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting = sitting
        self.queue, self.grading, self.files = QueuePane(sitting), GradePane(sitting), FilesPane(sitting)
        self.grading.files.on_click(lambda _: self._show_files())
        self.view = pn.Column(
            self.queue.view, self.grading.view, self.files.view, width=WIDTH, sizing_mode="stretch_height",
            scroll="y-auto", margin=0, styles={"flex": f"0 0 {WIDTH}px"}, css_classes=["inspect", "side"],
        )  # fmt: skip
        if pn.state.curdoc:
            pn.state.execute(sitting.start)
            pn.state.add_periodic_callback(sitting.refresh, period=POLL)
            pn.state.on_session_destroyed(lambda _: sitting.close())

    def _show_files(self) -> None:
        self.files.view.visible = not self.files.view.visible
        self.queue.show_chosen()  # the table has another height now

    def apply(self, palette: theme.Palette) -> None:
        """Everything here takes its colours from the page; nothing to do."""
