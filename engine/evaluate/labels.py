"""Labelled spectra of a folder: what the pipelines say of them, and whether that is trusted.

manifest.csv has a row per object; columns path (beside the manifest), class, z are needed; target (which object of a
file with many), survey, survey_id, subclass, zwarning, vdisp are used. An .npz holds arrays id, wave (one for all, or
one per spectrum), flux, ivar, cls, subclass, z. A folder with neither holds spectra whose files carry their label, as
those of `gasnet simulate` do.

Labels are pipeline labels. Only the pooled set, SDSS and BOSS/eBOSS, is trusted enough to be held to numbers:
zwarning 0, good pixels on both sides of 4500-8500 A, z < 4.5 for quasars (beyond, the pipeline's are suspect), and
none of SUSPECTS. The other surveys are reported each for itself.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from engine.readers import read
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import SPECTYPES, Survey, load_survey, survey_names

POOLED = "SDSS and BOSS/eBOSS"
MOCK = "mock"
_POOLED_SURVEYS = ("SDSS", "BOSS/eBOSS")

SUSPECTS: Mapping[str, str] = {
    "945-52652-470": "NGC 3073 is filed as an A0 star and is a galaxy",
    "3655-55240-110": "a BAL quasar whose catalogue redshift 3.388 does not fit its lines (2.445 does)",
    "4414-55882-184": "IRAS 23060+0505 is as much a galaxy as a quasar",
}

# The label table: spectype, how the subclass is matched, what it matches, the class. The first row that fits counts;
# where none fits, the object counts for its type only. Spellings differ by pipeline version ("STARBURST BROADLINE",
# "F3/F5V (30743)").
LABELS: tuple[tuple[str, str, str, str], ...] = (
    ("QSO", "holds", "BROADLINE", "QSO_BROADLINE"),
    ("QSO", "any", "", "QSO"),
    ("GALAXY", "is", "", "GALAXY"),
    ("GALAXY", "begins", "STARBURST", "GALAXY_STARBURST"),
    ("GALAXY", "begins", "STARFORMING", "GALAXY_STARFORMING"),
    ("GALAXY", "begins", "AGN", "GALAXY_AGN"),
    *(("STAR", "begins", kind, f"STAR_{kind}") for kind in ("A0", "F5", "F9", "G2", "K1", "K3", "K5")),
    ("STAR", "begins", "F3/F5", "STAR_F5"),
)


def true_class(spectype: str, subclass: str) -> str:
    """Class name of a pipeline label by LABELS, or "" when only the type can be judged."""
    subclass = subclass.strip().upper()
    fits = {"any": lambda _: True, "is": subclass.__eq__, "begins": subclass.startswith, "holds": subclass.__contains__}
    for kind, how, what, name in LABELS:
        if kind == spectype and fits[how](what):
            return name
    return ""


@dataclass(frozen=True)
class Labelled:
    """A spectrum, what the catalogue says of it, and the line of the report that it belongs to.

    truth : the class simulated, for a mock spectrum; vdisp : velocity dispersion in km/s, NaN when unknown
    """

    group: str
    name: str
    label: Label
    spectrum: Spectrum
    truth: str = ""
    vdisp: float = math.nan

    def class_in(self, survey: Survey) -> str:
        """The class of a survey that the label names: by what was simulated, by LABELS, or as the only one of its
        type (DESI, coarse); "" when the label names none."""
        of_type = [c.name for c in survey.classes if c.spectype == self.label.spectype]
        # A blank subclass is a class in SDSS's pipeline; elsewhere it says nothing.
        judged = self.group == POOLED or bool(self.label.subclass.strip())
        name = self.truth or (true_class(self.label.spectype, self.label.subclass) if judged else "")
        if len(of_type) == 1:
            return of_type[0]
        return name if name in of_type else ""


def labelled(folder: Path, left_out: list[tuple[str, str]]) -> Iterator[Labelled]:
    """The labelled spectra of a folder; what cannot or should not be judged is added to left_out as (name, reason).

    Raises SpectrumError when the folder holds no labelled spectra, or its tables lack a column.
    """
    manifest, archives = folder / "manifest.csv", sorted(folder.glob("*.npz"))
    files = sorted(folder.glob("*.fits")) if not manifest.is_file() and not archives else []
    if not manifest.is_file() and not archives and not files:
        raise SpectrumError(
            f"{folder}: holds neither manifest.csv nor a .npz of labelled spectra, nor FITS files that carry their "
            "label; see docs/evaluation.md"
        )
    seen: set[str] = set()
    sources = [_from_manifest(manifest, left_out)] if manifest.is_file() else []
    sources += [_from_files(files, left_out)] if files else []
    for source in (*sources, *map(_from_npz, archives)):
        for item in source:
            reason = "the same object again" if item.name in seen else distrust(item)
            seen.add(item.name)
            if reason:
                left_out.append((item.name, reason))
            else:
                yield item


def distrust(item: Labelled) -> str:
    """Why an object is not judged, or ""."""
    label, wave = item.label, item.spectrum.wave[item.spectrum.good]
    if label.spectype not in SPECTYPES or not math.isfinite(label.z):
        return "no class or redshift in its label"
    if item.group != POOLED:
        return ""
    if item.name in SUSPECTS:
        return f"label suspect: {SUSPECTS[item.name]}"
    if label.zwarning != 0:
        return f"zwarning {label.zwarning}"
    if wave[0] > 4500 or wave[-1] < 8500:
        return f"covers only {wave[0]:.0f}-{wave[-1]:.0f} A"
    if label.spectype == "QSO" and label.z >= 4.5:
        return f"quasar label at z = {label.z:.3f}"
    return ""


def _from_manifest(manifest: Path, left_out: list[tuple[str, str]]) -> Iterator[Labelled]:
    with manifest.open(newline="") as file:
        table = csv.DictReader(file)
        missing = {"path", "class", "z"} - set(table.fieldnames or ())
        if missing:
            raise SpectrumError(f"{manifest}: column {sorted(missing)[0]!r} is missing")
        rows = list(table)
    last, spectra = "", []
    for row in rows:
        name = row.get("survey_id") or row.get("target") or row["path"]
        try:
            if row["path"] != last:  # a file with many objects stands in many rows, one after the other
                last = row["path"]
                spectra = read(manifest.parent / last, catalogue=False)  # the label is the manifest's
            spectrum = pick(spectra, row.get("target") or "")
            vdisp = float(row.get("vdisp") or "nan")
            yield Labelled(_group(row.get("survey")), name, _label(row), spectrum, vdisp=vdisp)
        except (ValueError, OSError) as error:  # a SpectrumError, or a z that is no number
            left_out.append((name, " ".join(str(error).split())))


def _group(survey: str | None) -> str:
    return POOLED if survey in _POOLED_SURVEYS else survey or "survey not given"


def _label(row: Mapping[str, str]) -> Label:
    return Label(
        row["class"].strip(),
        row.get("subclass") or "",
        float(row["z"] or "nan"),
        zwarning=int(float(row.get("zwarning") or -1)),
    )


def pick(spectra: Sequence[Spectrum], target: str) -> Spectrum:
    """The one spectrum of a file that a manifest's target names. Raises SpectrumError when there is not one."""
    wanted = [s for s in spectra if s.object_id.endswith(target)] if target else list(spectra)
    if len(wanted) != 1:
        raise SpectrumError(
            f"the file holds {len(wanted)} objects named {target!r}; column target must name one of them"
        )
    return wanted[0]


def _from_npz(path: Path) -> Iterator[Labelled]:
    with np.load(path, allow_pickle=False) as data:
        missing = {"id", "wave", "flux", "ivar", "cls", "subclass", "z"} - set(data.files)
        if missing:
            raise SpectrumError(f"{path}: array {sorted(missing)[0]!r} is missing")
        arrays = {key: data[key] for key in data.files}
    wave = np.broadcast_to(arrays["wave"], arrays["flux"].shape)
    for k, name in enumerate(map(str, arrays["id"])):
        label = Label(str(arrays["cls"][k]), str(arrays["subclass"][k]), float(arrays["z"][k]), zwarning=0)
        spectrum = Spectrum(wave[k], arrays["flux"][k], arrays["ivar"][k], name, "SDSS", str(path), label=label)
        yield Labelled(POOLED, name, label, spectrum)


def _from_files(files: Sequence[Path], left_out: list[tuple[str, str]]) -> Iterator[Labelled]:
    """Spectra whose own files carry the label; a mock one's header also names the class simulated."""
    for path in files:
        try:
            header = fits.getheader(path)
            truth, mock = str(header.get("TRUECLS", "")), bool(header.get("MOCK", False))
            for spectrum in read(path):
                label = spectrum.label or Label()
                if truth and not label.spectype:  # 4MOST's files have no place for a label
                    label = Label(_spectype(truth), "", float(header["TRUEZ"]), zwarning=0)
                group = MOCK if mock else _group(spectrum.survey)
                vdisp = float(header.get("TRUEVD", math.nan))
                yield Labelled(group, spectrum.object_id or path.stem, label, spectrum, truth, vdisp)
        except (ValueError, OSError, KeyError) as error:
            left_out.append((path.name, " ".join(str(error).split())))


def _spectype(class_name: str) -> str:
    """Spectral type of a class of any survey, "" when no survey has it."""
    known = (c for survey in survey_names() for c in load_survey(survey).classes if c.name == class_name)
    return next((c.spectype for c in known), "")
