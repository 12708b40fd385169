"""The explorer's views in a notebook cell: `from gasnet_app import explore`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType

import panel as pn
from bokeh.models import Span

from engine import Spectrum, load_lines
from gasnet_app import theme
from gasnet_app.objects_view import ObjectsView
from gasnet_app.records import Record
from gasnet_app.redshift_view import RedshiftView
from gasnet_app.spectrum import SpectrumView
from gasnet_app.state import Explorer
from gasnet_app.worker import shared_worker

HEIGHT = 620


def explore(objects: Sequence[str | Path | Spectrum] | str | Path | Spectrum, survey: str = "sdss") -> pn.Row:
    """The table of objects, the spectrum and the answer, as the page shows them, for the last line of a notebook cell.

    objects : files, or spectra in memory (vacuum, Angstrom); one, or several
    survey : whose classes and model answer

    Every object is answered before this returns. Sliders and clicks answer while the notebook's kernel runs.
    Raises SurveyError for an unknown survey; a file that cannot be read stands in the table with its reason.
    """
    pn.extension("filedropper", "tabulator")
    wanted = [objects] if isinstance(objects, (str, Path, Spectrum)) else list(objects)
    explorer = Explorer(shared_worker(survey))
    # A notebook has an event loop of its own, which cannot be waited for from within.
    with ThreadPoolExecutor(1) as aside:
        aside.submit(asyncio.run, _fill(explorer, wanted)).result()
    lines = load_lines()
    marker = Span(location=explorer.z or 0.0, dimension="height", line_width=1.5, line_dash="4 3", name="marker")
    views = (ObjectsView(explorer), SpectrumView(explorer, lines, marker), RedshiftView(explorer, lines, marker))
    for view in views:
        view.apply(theme.palette(False))
    return pn.Row(*(view.view for view in views), height=HEIGHT, sizing_mode="stretch_width")


async def _fill(explorer: Explorer, objects: Sequence[str | Path | Spectrum]) -> None:
    spectra = [one for one in objects if isinstance(one, Spectrum)]
    if spectra:
        keys = [spectrum.object_id or f"object {k + 1}" for k, spectrum in enumerate(spectra)]
        records = {key: Record(key, "", spectrum=one) for key, one in zip(keys, spectra, strict=True)}
        explorer.records = MappingProxyType(records)
    await explorer.load([Path(one) for one in objects if not isinstance(one, Spectrum)])
