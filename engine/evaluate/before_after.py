"""compare: two models before one fixed mock validation set and labelled real spectra; what changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from astropy.table import Table

from engine.ensemble import Ensemble, load_ensemble
from engine.evaluate.comparison import Comparison, ComparisonError, Sample, side_by_side, write_comparison
from engine.evaluate.labels import Labelled, labelled
from engine.evaluate.measure import BATCH, mock_batch, mocks, of_group
from engine.evaluate.objects import collect, joined
from engine.mock import Simulator

SPECTRA = "comparison"  # folder beside comparison.json with the mock spectra whose answer changed
MOST_FILES = 200
SEED = 20_251_126  # of the fixed mocks: no training and no calibration draws from it
Progress = Callable[[int, int], None]


def compare(
    before: str | Path | Ensemble,
    after: str | Path | Ensemble,
    templates: str | Path | None = None,
    real: str | Path | None = None,
    n: int = 2600,
    out: str | Path | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Comparison:
    """Two models of one survey on the same spectra: every number of the evaluation side by side, with differences.

    before, after : names, folders or loaded ensembles; n : mock spectra of validation templates, always the same ones
    (0: none), simulated from the folder templates or $GASNET_TEMPLATES; real : a folder that `validate` takes
    out : folder that gets comparison.json; progress is called with (spectra done, of how many)
    Raises ComparisonError for models of different surveys or nothing to compare on, ModelError, SurveyError,
    TemplateError, SpectrumError for what cannot be read.
    """
    one, two = (m if isinstance(m, Ensemble) else load_ensemble(m, device) for m in (before, after))
    if one.survey.name != two.survey.name:
        raise ComparisonError(
            f"{one.name} was trained for survey {one.survey.name}, {two.name} for {two.survey.name}; "
            "only models of one survey are compared"
        )
    if n < 1 and real is None:
        raise ComparisonError(
            "nothing to compare on: give mock spectra (--n), a folder of labelled ones (--real) or both"
        )
    samples = []
    tell = progress or (lambda done, of: None)
    if n > 0:
        simulator = Simulator(one.survey, templates, "validation", flat_share=0.0)
        what = f"{n:,} mock spectra, {one.survey.title}, validation templates"
        sample = compared(one, two, mocks(simulator, n, SEED, one.survey), what, lambda done: tell(done, n))
        samples.append(sample if out is None else _with_files(sample, simulator, n, Path(out) / SPECTRA))
    if real is not None:
        left_out: list[tuple[str, str]] = []
        items = list(of_group(labelled(Path(real), left_out), "", left_out))
        what = f"labelled spectra in {Path(real).resolve().name}"
        sample = compared(one, two, items, what, lambda done: tell(done, len(items)))
        samples.append(replace(sample, left_out=len(left_out)))
    when = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    weights = tuple(str(member["sha256"]) for member in two.card.get("members", ()))
    found = Comparison(one.name, two.name, two.survey.name, when, SEED, tuple(samples), weights)
    if out is not None:
        write_comparison(found, out)
    return found


def compared(
    before: Ensemble,
    after: Ensemble,
    items: Iterable[Labelled],
    data: str,
    progress: Callable[[int], None] = lambda done: None,
) -> Sample:
    """Both models on labelled spectra, each read or simulated once. Raises ComparisonError when there is none."""
    parts, paths, source = [], [], iter(items)
    while batch := list(islice(source, BATCH)):
        spectra = [item.spectrum for item in batch]
        answers = (model.predict(spectra, BATCH, keep_members=False) for model in (before, after))
        parts.append(tuple(collect(batch, predictions) for predictions in answers))
        paths += [spectrum.path for spectrum in spectra]
        progress(len(paths))
    if not parts:
        raise ComparisonError(f"{data}: no spectrum that can be judged")
    one, two = (joined(part[k] for part in parts) for k in (0, 1))
    return side_by_side(one, two, (before.survey, after.survey), data, paths, SEED)


def _with_files(sample: Sample, simulator: Simulator, n: int, folder: Path) -> Sample:
    """The sample, the first MOST_FILES of its turned mocks as ECSV files in a folder, so that they can be opened."""
    wanted = {turned.name for turned in sample.turned[:MOST_FILES]}
    paths: dict[str, str] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for start in sorted({int(name.rsplit("-", 1)[1]) // BATCH * BATCH for name in wanted}):
            for item in mock_batch(simulator, start, min(BATCH, n - start), SEED, simulator.survey):
                if item.name in wanted:
                    path = folder / f"{item.name}.ecsv"
                    spectrum = item.spectrum
                    columns = {"wave": spectrum.wave, "flux": spectrum.flux, "ivar": spectrum.ivar}
                    Table(columns, units={"wave": "Angstrom"}).write(path, overwrite=True)
                    paths[item.name] = str(path)
    except OSError as error:
        raise ComparisonError(f"{folder}: cannot be written ({error.strerror or error}); free space") from error
    return replace(sample, turned=tuple(replace(t, path=paths.get(t.name, "")) for t in sample.turned))
