"""evaluate: measure an ensemble on labelled real spectra: a folder with manifest.csv, .npz files of arrays, or both.

manifest.csv has a row per object; columns path (beside the manifest), class, z are needed; target (which object of a
file with many), survey, survey_id, subclass, zwarning are used. An .npz holds arrays id, wave (one for all, or one per
spectrum), flux, ivar, cls, subclass, z.

Labels are pipeline labels. Only the pooled set, SDSS and BOSS/eBOSS, is trusted enough to be held to numbers:
zwarning 0, good pixels on both sides of 4500-8500 A, z < 4.5 for quasars (beyond, the pipeline's are suspect), and
none of SUSPECTS. The other surveys are reported each for itself.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import metrics
from engine.ensemble import Ensemble
from engine.prediction import Prediction
from engine.readers import read
from engine.spectrum import Label, Spectrum, SpectrumError
from engine.survey import SPECTYPES, Survey

POOLED = "SDSS and BOSS/eBOSS"
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
    """A spectrum, what the catalogue says of it, and the line of the report that it belongs to."""

    group: str
    name: str
    label: Label
    spectrum: Spectrum


@dataclass(frozen=True)
class Case:
    """One object judged. z_pred is of the most probable class among those of the true type: the redshift is judged
    apart from the classification, as in network.md's and the paper's tables; robust is the paper's rule on it."""

    group: str
    name: str
    spectype: str
    class_name: str  # "" when the label names no class of the survey
    z: float
    class_pred: str
    spectype_pred: str
    z_pred: float
    zerr: float
    robust: bool
    good: bool
    words: tuple[str, ...]

    @property
    def line_ratio(self) -> float:
        """(1 + z') / (1 + z): the same for every object whose lines were mistaken in the same way."""
        return (1 + self.z_pred) / (1 + self.z)


@dataclass(frozen=True)
class Quality:
    """One line of the report. Fractions of nothing are NaN; redshift numbers are NaN for stars (paper eq. 1: z = 0).

    n objects, n_class of them with a class label; accuracy over those, type_accuracy over all; good (eq. 10), nmad,
    catastrophic (metrics.CATASTROPHIC); robust share and the good fraction among the robust.
    """

    name: str
    n: int
    n_class: int
    accuracy: float
    type_accuracy: float
    good: float
    nmad: float
    catastrophic: float
    robust: float
    good_robust: float


@dataclass(frozen=True)
class Report:
    """What `validate` found: the lines of each group (classes first, then types), the cases, and what was left out."""

    model: str
    groups: Mapping[str, tuple[Quality, ...]]
    cases: tuple[Case, ...]
    left_out: tuple[tuple[str, str], ...]

    @property
    def misses(self) -> tuple[Case, ...]:
        """Objects of wrong type, or with a redshift outside the good-fraction window."""
        return tuple(c for c in self.cases if c.spectype != c.spectype_pred or not c.good)


def validate(folder: str | Path, ensemble: Ensemble, batch_size: int = 128) -> Report:
    """Classify a folder of labelled spectra and measure the answers.

    Raises SpectrumError when the folder holds neither manifest.csv nor .npz, or one of them lacks a column.
    """
    left_out: list[tuple[str, str]] = []
    cases: list[Case] = []
    batch: list[Labelled] = []
    for item in labelled(Path(folder), left_out):
        batch.append(item)
        if len(batch) == batch_size:
            cases += _judge_all(batch, ensemble)
            batch = []
    cases += _judge_all(batch, ensemble)
    names = sorted({case.group for case in cases}, key=lambda group: (group != POOLED, group))
    groups = {group: summary([c for c in cases if c.group == group], ensemble.survey) for group in names}
    return Report(ensemble.name, groups, tuple(cases), tuple(left_out))


def labelled(folder: Path, left_out: list[tuple[str, str]]) -> Iterator[Labelled]:
    """The labelled spectra of a folder; what cannot or should not be judged is added to left_out as (name, reason)."""
    manifest, archives = folder / "manifest.csv", sorted(folder.glob("*.npz"))
    if not manifest.is_file() and not archives:
        raise SpectrumError(
            f"{folder}: holds neither manifest.csv nor a .npz of labelled spectra; see `gasnet validate`"
        )
    seen: set[str] = set()
    sources = [_from_manifest(manifest, left_out)] if manifest.is_file() else []
    for source in (*sources, *map(_from_npz, archives)):
        for item in source:
            reason = "the same object again" if item.name in seen else _distrust(item)
            seen.add(item.name)
            if reason:
                left_out.append((item.name, reason))
            else:
                yield item


def _distrust(item: Labelled) -> str:
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
            yield Labelled(_group(row.get("survey")), name, _label(row), _pick(spectra, row.get("target") or ""))
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


def _pick(spectra: Sequence[Spectrum], target: str) -> Spectrum:
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


def _judge_all(batch: Sequence[Labelled], ensemble: Ensemble) -> list[Case]:
    predictions = ensemble.predict([item.spectrum for item in batch], keep_members=False) if batch else []
    return [judge(item, prediction) for item, prediction in zip(batch, predictions, strict=True)]


def judge(item: Labelled, prediction: Prediction) -> Case:
    """Compare one prediction with its label; see Case."""
    survey, label = prediction.survey, item.label
    of_type = [k for k, c in enumerate(survey.classes) if c.spectype == label.spectype]
    # A blank subclass is a class in SDSS's pipeline; elsewhere it says nothing.
    judged = item.group == POOLED or bool(label.subclass.strip())
    name = true_class(label.spectype, label.subclass) if judged else ""
    row = prediction.row(max(of_type, key=lambda k: prediction.p[k])) if of_type else None
    if row is None:  # a star: z = 0
        z_pred, zerr, robust, good = 0.0, math.nan, prediction.robust, True
    else:
        z_pred, zerr = float(prediction.z[row]), float(prediction.zerr[row])
        robust = bool(metrics.is_robust(zerr, prediction.mae[row])[0])
        good = bool(metrics.bias(label.z, z_pred)[0] < survey.good_threshold(label.spectype))
    return Case(
        item.group, item.name, label.spectype, name if name in survey.names else "", label.z,
        prediction.class_name, prediction.spectype, z_pred, zerr, bool(robust), good, prediction.words(),
    )  # fmt: skip


def summary(cases: Sequence[Case], survey: Survey) -> tuple[Quality, ...]:
    """One Quality per class of the survey that occurs, then one per type."""
    by_class = [(name, [c for c in cases if c.class_name == name]) for name in survey.names]
    by_type = [(f"all {kind}", [c for c in cases if c.spectype == kind]) for kind in SPECTYPES]
    return tuple(_quality(name, group) for name, group in (*by_class, *by_type) if group)


def _quality(name: str, cases: Sequence[Case]) -> Quality:
    spectype = cases[0].spectype
    with_class = [c for c in cases if c.class_name]
    redshift: Iterable[float] = (math.nan,) * 4
    if spectype != "STAR":
        z, z_pred = [c.z for c in cases], [c.z_pred for c in cases]
        redshift = (
            metrics.fraction([c.good for c in cases]),
            metrics.nmad(z, z_pred),
            metrics.catastrophic_fraction(z, z_pred, spectype),
            metrics.fraction([c.good for c in cases if c.robust]),
        )
    good, nmad, catastrophic, good_robust = redshift
    return Quality(
        name, len(cases), len(with_class),
        metrics.fraction([c.class_name == c.class_pred for c in with_class]),
        metrics.fraction([c.spectype == c.spectype_pred for c in cases]),
        good, nmad, catastrophic, metrics.fraction([c.robust for c in cases]), good_robust,
    )  # fmt: skip
