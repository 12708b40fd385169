"""Survey: a set of classes in order, their redshift ranges and thresholds, and the model that serves them.

A survey is data: one TOML file in assets/surveys. Adding a survey touches that file alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

SPECTYPES = ("STAR", "GALAXY", "QSO")


class SurveyError(ValueError):
    """A survey file is missing or wrong. The message names the file and the key."""


def assets_dir() -> Path:
    """The folder of surveys, models and sample spectra: $GASNET_ASSETS, else `assets` beside the packages.

    Raises SurveyError naming both places when neither exists.
    """
    beside = Path(__file__).resolve().parent.parent / "assets"
    chosen = Path(os.environ["GASNET_ASSETS"]) if os.environ.get("GASNET_ASSETS") else beside
    if not chosen.is_dir():
        raise SurveyError(
            f"assets folder {chosen} not found. Set $GASNET_ASSETS, or keep `assets` beside the packages ({beside})"
        )
    return chosen


@dataclass(frozen=True)
class SurveyClass:
    """One class. z_range is None for stars (paper eq. 1: z = 0); good is the good-fraction threshold of eq. 10."""

    name: str
    spectype: str
    paper_name: str
    z_range: tuple[float, float] | None
    good: float | None
    covers: str = ""
    mean_z: float | None = None
    mean_snr: float | None = None


@dataclass(frozen=True)
class Survey:
    """The classes of one survey, in the paper's order, and what belongs to them.

    wave_range : the observed vacuum range in Angstrom that the survey's spectra cover
    model : name of the folder in assets/models that serves this survey by default
    sha256 : hash of what a model depends on (classes, order, types, z ranges), kept in every model card
    """

    name: str
    title: str
    classes: tuple[SurveyClass, ...]
    wave_range: tuple[float, float]
    model: str
    sha256: str
    source: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in label order."""
        return tuple(c.name for c in self.classes)

    @property
    def extragalactic(self) -> tuple[int, ...]:
        """Indices of the classes that have a redshift."""
        return tuple(i for i, c in enumerate(self.classes) if c.z_range is not None)

    def index(self, name: str) -> int:
        """Label of a class name. Raises SurveyError listing the names that exist."""
        if name not in self.names:
            raise SurveyError(f"survey {self.name} has no class {name!r}; its classes are {', '.join(self.names)}")
        return self.names.index(name)

    def choose(self, p: ArrayLike) -> NDArray[np.intp]:
        """The answer (...,) to class probabilities (..., C): the most probable class of the most probable type.

        Type first (coarse, then fine: Zhong et al. 2024, section 5): a galaxy spread over four galaxy classes is no
        star because one stellar class beats each of the four.
        """
        p = np.asarray(p)
        types = np.array([SPECTYPES.index(c.spectype) for c in self.classes])
        of_type = np.stack([p[..., types == t].sum(axis=-1) for t in range(len(SPECTYPES))], axis=-1)
        return np.where(types == of_type.argmax(axis=-1)[..., None], p, -1.0).argmax(axis=-1)

    def good_threshold(self, spectype: str) -> float:
        """Good-fraction threshold (eq. 10) of a spectral type."""
        for c in self.classes:
            if c.spectype == spectype and c.good is not None:
                return c.good
        raise SurveyError(f"survey {self.name} has no extragalactic class of type {spectype}")


def survey_names() -> tuple[str, ...]:
    """Names of the surveys that exist, from assets/surveys."""
    return tuple(sorted(p.stem for p in (assets_dir() / "surveys").glob("*.toml")))


def load_survey(name_or_path: str | Path) -> Survey:
    """Load and check a survey by name or by the path of its TOML file.

    Raises SurveyError naming the file and the key that is missing or wrong.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = assets_dir() / "surveys" / f"{name_or_path}.toml"
        if not path.is_file():
            raise SurveyError(
                f"no survey {str(name_or_path)!r} ({path} not found); there are: {', '.join(survey_names())}"
            )
    try:
        data = tomllib.loads(path.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SurveyError(f"{path}: cannot be read as TOML: {error}") from error
    return _parse(data, path)


_CLASS_KEYS = {"name", "spectype", "paper_name", "z_range", "good", "covers", "mean_z", "mean_snr"}
_TOP_KEYS = {"name", "title", "source", "wave_range", "model", "class"}


def _parse(data: dict, path: Path) -> Survey:
    unknown = set(data) - _TOP_KEYS
    if unknown:
        raise SurveyError(f"{path}: unknown key {sorted(unknown)[0]!r}; the keys are {', '.join(sorted(_TOP_KEYS))}")
    for key in ("name", "title", "model"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise SurveyError(f"{path}: key {key!r} must be a non-empty text, got {data.get(key)!r}")
    wave_range = _pair(data, "wave_range", path)
    rows = data.get("class")
    if not isinstance(rows, list) or len(rows) < 2:
        raise SurveyError(f"{path}: key 'class' must be an array of at least two [[class]] tables")
    classes = tuple(_parse_class(row, path, i) for i, row in enumerate(rows))
    names = [c.name for c in classes]
    for name in names:
        if names.count(name) > 1:
            raise SurveyError(f"{path}: key 'class.name' {name!r} occurs twice; class names must differ")
    canonical = json.dumps([[c.name, c.spectype, c.z_range] for c in classes])
    sha256 = hashlib.sha256(canonical.encode()).hexdigest()
    return Survey(data["name"], data["title"], classes, wave_range, data["model"], sha256, str(data.get("source", "")))


def _parse_class(row: dict, path: Path, i: int) -> SurveyClass:
    where = f"{path}: class[{i}]"
    unknown = set(row) - _CLASS_KEYS
    if unknown:
        raise SurveyError(f"{where}: unknown key {sorted(unknown)[0]!r}; the keys are {', '.join(sorted(_CLASS_KEYS))}")
    name, spectype = row.get("name"), row.get("spectype")
    if not isinstance(name, str) or not name.replace("_", "").isalnum():
        raise SurveyError(f"{where}: key 'name' must be letters, digits and underscores, got {name!r}")
    if spectype not in SPECTYPES:
        raise SurveyError(f"{where} ({name}): key 'spectype' must be one of {', '.join(SPECTYPES)}, got {spectype!r}")
    z_range, good = None, None
    if spectype == "STAR":
        if "z_range" in row or "good" in row:
            raise SurveyError(f"{where} ({name}): a STAR has z = 0 (paper eq. 1); remove 'z_range' and 'good'")
    else:
        z_range = _pair(row, "z_range", path, where=f"{where} ({name})", lowest=0.0)
        good = row.get("good")
        if not isinstance(good, float) or not 0 < good < 1:
            raise SurveyError(f"{where} ({name}): key 'good' must be a number between 0 and 1, got {good!r}")
    return SurveyClass(
        name, spectype, str(row.get("paper_name", name)), z_range, good,
        str(row.get("covers", "")), row.get("mean_z"), row.get("mean_snr"),
    )  # fmt: skip


def _pair(row: dict, key: str, path: Path, where: str = "", lowest: float = 1e-9) -> tuple[float, float]:
    value = row.get(key)
    numbers = isinstance(value, list) and len(value) == 2 and all(isinstance(v, int | float) for v in value)
    if not numbers or not lowest <= value[0] < value[1]:  # type: ignore[index]
        raise SurveyError(f"{where or path}: key {key!r} must be [low, high] with low < high, got {value!r}")
    return float(value[0]), float(value[1])  # type: ignore[index]
