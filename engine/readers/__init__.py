"""Readers: from a file of any survey to Spectrum objects. `read` is the one door.

A new format adds one module here and one line in FORMATS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.readers import desi, fallback, image, lamost, sdss, sixdf, sparcl, table
from engine.readers.source import FileSource, Source, opened
from engine.spectrum import Spectrum, SpectrumError


class Format(NamedTuple):
    """A file format: its name in errors, how to tell it by content, how to read it."""

    name: str
    recognise: Callable[[Source], bool]
    read: Callable[[Source], list[Spectrum]]


# In order: the particular before the general.
FORMATS: tuple[Format, ...] = (
    Format("SDSS spec", sdss.is_spec, sdss.read_spec),
    Format("SDSS spSpec", sdss.is_spspec, sdss.read_spspec),
    Format("DESI coadd", desi.is_coadd, desi.read_coadd),
    Format("DESI SV0 table", desi.is_sv0, desi.read_sv0),
    Format("LAMOST image", lamost.is_image, lamost.read_image),
    Format("LAMOST table", lamost.is_table, lamost.read_table),
    Format("6dFGS", sixdf.is_sixdf, sixdf.read_sixdf),
    Format("FITS table", table.is_fits, table.read_fits),
    Format("1-D FITS image", image.is_image, image.read_image),
    Format("SPARCL answer", sparcl.is_answer, sparcl.read_answer),
    Format("text table", table.is_text, table.read_text),
    Format("FITS", fallback.is_fits, fallback.read_fits),
)


def read(source: FileSource, name: str | None = None, catalogue: bool = True) -> list[Spectrum]:
    """Every spectrum in a file, one per object, told by content and not by the file's name.

    source : a path, the file's bytes, or a binary file object (an upload); gzip is unpacked
    name : what to call the file in errors and in Spectrum.path, when source has no name of its own
    catalogue : False leaves out the pipeline's label and the meta of its catalogue where reading them is slow, which
        is in SDSS files (40 to 110 ms a file): for classifying many. Names come from the primary header then, and the
        survey of BOSS and eBOSS reads SDSS; the spectrum is the same.

    Raises SpectrumError, which names the file, the reason and the remedy, and nothing else.
    """
    # A damaged number overflows somewhere; what comes of it is no finite number, and the readers look for that.
    with opened(source, name, catalogue) as file, np.errstate(all="ignore"):
        for form in FORMATS:
            try:
                if form.recognise(file):
                    return form.read(file)
            except SpectrumError:
                raise
            except Exception as error:  # a damaged file can break a reader anywhere; the user needs its name
                raise SpectrumError(
                    f"{file.name}: looks like a {form.name} file but is damaged ({type(error).__name__}: {error}). "
                    "Download or copy it again"
                ) from error
        raise SpectrumError(
            f"{file.name}: not a spectrum file this program knows. "
            "Give FITS (SDSS, DESI, LAMOST, 6dFGS, a table, a 1-D image), ECSV or CSV with wavelength and flux columns"
        )
