"""Training: mock spectra or labelled real ones in, a model folder out. Resumable after a kill at any moment.

A run is a folder: config.json, log.jsonl (one line per measurement), member-<k>.checkpoint.safetensors while a member
is trained, member-<k>.safetensors when it is final, card.json when all are. Running the same command again goes on
where the last checkpoint is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.calibrate import calibrate_labelled, calibrate_model
from engine.dataset import WrongLabels, on_grid
from engine.device import choose_device
from engine.ensemble import Ensemble
from engine.grid import Grid
from engine.labelled import InTurn, LabelledSet, LabelledSource, Source, check_numbers, gather
from engine.labelled.store import SHARES, SPLIT_RULE
from engine.mock import Simulator
from engine.networks import build
from engine.plan import CHUNK, TrainConfig
from engine.registry import ModelError, card_base, load_members, save_member, sha256_of, write_card, written
from engine.survey import load_survey
from engine.trainer import Stopped, Trainer
from engine.validation import asked, validation_metrics
from engine.versions import next_name
from engine.warmstart import begin_from

LIMITS = (
    "Trained on simulated spectra only. Objects of none of the classes are called what they resemble most; the "
    "outlier score flags many, not all. Probabilities are calibrated on simulated spectra, whose classes are equally "
    "frequent. Labels follow simulated label rules."
)
OWN_LIMITS = (
    "Trained on the labels of a catalogue, errors and all. Numbers are of its own validation and test objects, few or "
    "unlike others as these may be. Objects of none of the classes are called what they resemble most."
)
FEW = 5  # validation objects of a class below which its error is not taken from them
Progress = Callable[[dict[str, Any]], None]


def train(
    config: TrainConfig, out: str | Path, progress: Progress | None = None, notice: Callable[[str], None] = print
) -> Path:
    """Train, or go on training, an ensemble; returns the model folder (out).

    progress is called with {member, spectra, done (0-1), rate (spectra/s), loss, eta (s)} about once a second, and may
    raise Stopped: a checkpoint is written before that leaves here. notice is called with what a person should know:
    labelled spectra left out, scarce classes, what a start copied, a checkpoint that is torn, a batch halved.
    Raises SurveyError, TemplateError, CatalogError, ModelError (disk full, no model to start from), or ValueError when
    `out` holds a run of another configuration.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _remember(config, folder)
    device = choose_device(config.device)
    if config.own_data:
        found = _own_data(config, folder, notice)
        scarce = check_numbers(found, load_survey(config.survey), bool(config.own_data.mix or config.start_from))
        if scarce:
            notice(scarce)
    missing = [k for k in range(config.members) if not (folder / f"member-{k}.safetensors").is_file()]
    if config.processes > 1 and len(missing) > 1:
        _train_side_by_side(config, folder, missing, progress or (lambda _: None), notice)
    elif missing:
        source = _source(config, folder)
        for k in missing:
            _train_member(config, folder, k, source, device, progress or (lambda _: None), notice)
    _finish(config, folder)
    return folder


def _train_side_by_side(
    config: TrainConfig, folder: Path, missing: list[int], progress: Progress, notice: Callable[[str], None]
) -> None:
    """Several members at a time, each in a process with its share of the cores: on a CPU a quarter faster than one
    member on all of them, for no thread waits for another (docs/log.md)."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.SimpleQueue()
    halt = context.Event()
    threads = max(1, torch.get_num_threads() // config.processes)
    with ProcessPoolExecutor(config.processes, context, _begin_worker, (config, folder, told, halt, threads)) as pool:
        work = {pool.submit(_train_alone, config, folder, k) for k in missing}
        try:
            while work:
                done, work = wait(work, timeout=1.0)
                while not told.empty():
                    facts = told.get()
                    notice(facts) if isinstance(facts, str) else progress(facts)
                for future in done:
                    future.result()
        except BaseException:
            halt.set()  # the workers write their checkpoints; leaving the pool waits for them
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_worker: dict[str, Any] = {}  # in a worker process: where it tells its progress, and its source of spectra


def _begin_worker(config: TrainConfig, folder: Path, told: Any, halt: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the parent says when to halt
    _worker.update(told=told, halt=halt, source=_source(config, folder))


def _tell(facts: dict[str, Any] | str) -> None:
    """Progress, or a notice in words, to the process that the run belongs to."""
    parent = multiprocessing.parent_process()
    if parent is None or not parent.is_alive():
        os._exit(1)  # the run was killed, and may be going on elsewhere: its checkpoints are not ours any more
    _worker["told"].put(facts)
    if _worker["halt"].is_set() and not isinstance(facts, str):
        raise Stopped


def _train_alone(config: TrainConfig, folder: Path, k: int) -> None:
    _train_member(config, folder, k, _worker["source"], choose_device(config.device), _tell, _tell)


def _source(config: TrainConfig, folder: Path) -> Source:
    """Where training spectra come from: mocks, or labelled real ones with a share of mocks."""
    survey, own = load_survey(config.survey), config.own_data
    mocks = Simulator(survey, config.templates) if own is None or own.mix else None
    if own is None:
        assert mocks is not None
        return WrongLabels(mocks, config.label_noise, config.noisy_classes or ()) if config.label_noise else mocks
    return LabelledSource(_own_data(config, folder), survey, _grid(config), own.shift, mocks, own.mix)


def _own_data(config: TrainConfig, folder: Path, notice: Callable[[str], None] = print) -> LabelledSet:
    assert config.own_data is not None
    own = config.own_data
    return gather(own.spectra, own.catalog, load_survey(config.survey), _grid(config), folder / "labelled", notice)


def _grid(config: TrainConfig) -> Grid:
    return build(config.network, load_survey(config.survey), config.network_config).grid


def _remember(config: TrainConfig, folder: Path) -> None:
    """Write config.json, or check that the run in this folder is the same one. More members may be asked for later."""
    path = folder / "config.json"
    new = asdict(config)
    if path.is_file():
        try:
            old = asdict(TrainConfig()) | json.loads(path.read_text())  # a run older than a setting has its default
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: no readable settings of a run ({error}); use another --out") from error
        for key, value in new.items():
            if key not in _FREE and old.get(key) != value:
                raise ValueError(f"{path}: this run has {key} = {old.get(key)!r}, not {value!r}; use another --out")
    with written(path) as part:
        part.write_text(json.dumps({key: value for key, value in new.items() if key != "templates"}, indent=1) + "\n")


_FREE = ("members", "device", "templates", "checkpoint_seconds", "processes")  # may change when a run goes on


def _train_member(
    config: TrainConfig, folder: Path, k: int, source: Source, device: torch.device, progress: Progress,
    notice: Callable[[str], None] = print,
) -> None:  # fmt: skip
    torch.manual_seed(config.seed + k)
    network = build(config.network, source.survey, config.network_config).to(device)
    trainer = Trainer(config, k, network, folder / f"member-{k}.checkpoint.safetensors", notice)
    if config.start_from and trainer.chunk == 0:
        start = begin_from(network, source.survey, config.start_from, k)
        notice(f"member {k}: {start.words()}")
        _log(folder, {"member": k, "start": start.words()})
    saved = time.monotonic()
    began, at_start = time.monotonic(), trainer.done
    while trainer.done < 1:
        batch = source.batch(CHUNK, [config.seed, k, trainer.chunk])
        before = time.monotonic()
        losses = trainer.learn(on_grid(batch, network.grid, device))
        rate = CHUNK / (time.monotonic() - before)
        used = max(trainer.done - at_start, 1e-6)
        eta = (time.monotonic() - began) / used * (1 - trainer.done)
        facts = {"member": k, "spectra": trainer.spectra, "done": round(trainer.done, 4), "rate": round(rate, 1)}
        try:
            progress({**facts, **losses, "eta": eta})
        except Stopped:
            trainer.save()
            raise
        if trainer.chunk % 8 == 0:
            _log(folder, {**facts, **{name: round(value, 4) for name, value in losses.items()}})
        if time.monotonic() - saved > config.checkpoint_seconds:
            trainer.save()
            saved = time.monotonic()
    save_member(network, folder / f"member-{k}.safetensors")
    trainer.forget()


def _log(folder: Path, facts: dict[str, Any]) -> None:
    path = folder / "log.jsonl"
    try:
        with path.open("a") as file:
            file.write(json.dumps(facts) + "\n")
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be written ({error.strerror}). Free some space; the same command goes on"
        ) from error


def _finish(config: TrainConfig, folder: Path) -> None:
    """Measure the ensemble on validation templates with the real redshift distribution, and write the card."""
    survey = load_survey(config.survey)
    network = build(config.network, survey, config.network_config)
    name = config.name or next_name(config.survey, config.network)
    seeds = [config.seed + k for k in range(config.members)]
    files = [folder / f"member-{k}.safetensors" for k in range(config.members)]
    members = [
        {"file": path.name, "seed": seed, "sha256": sha256_of(path)} for path, seed in zip(files, seeds, strict=True)
    ]
    card = card_base(name, survey, network, seeds) | {
        "members": members,
        "training": config.for_card(),
        "data": "mock spectra (docs/simulation.md)",
        "split": "by template: of every ten, eight for training, one for validation, one for tests",
        "date": time.strftime("%Y-%m-%d"),
        "calibration": None,
        "limits": LIMITS,
        "mae": {survey.names[i]: 1.0 for i in survey.extragalactic},  # provisional: validation needs a loadable folder
    }
    write_card(folder, card)
    survey, _, loaded = load_members(folder)
    ensemble = Ensemble(survey, loaded, card, config.device)
    if config.own_data:
        write_card(folder, card | _own_card(config, ensemble, _own_data(config, folder)))
        return
    simulator = Simulator(survey, config.templates, "validation", flat_share=0.0)
    n, per_type = config.validation, config.validation // 32
    answers = asked(ensemble, simulator, n, config.seed)
    mae, found = validation_metrics(answers, survey)
    write_card(folder, card | {"mae": mae, "validation": found | {"seed": config.seed}})
    calibrate_model(
        folder, simulator, n, config.seed, config.templates, per_type, config.device, answers={"validation": answers}
    )


def _own_card(config: TrainConfig, ensemble: Ensemble, found: LabelledSet) -> dict[str, Any]:
    """What the card of a model says that learned from labelled spectra: data, split, numbers on the user's own."""
    survey, own = ensemble.survey, config.own_data
    answers = {
        split: asked(ensemble, source, len(source), config.seed, lambda batch: batch.snr)
        for split in ("validation", "test")
        if len(source := InTurn(found, survey, ensemble.grid, split))
    }
    mae, _ = validation_metrics(answers["validation"], survey)
    few = [survey.names[i] for i in survey.extragalactic if found.counts(survey, "validation")[survey.names[i]] < FEW]
    limits = [OWN_LIMITS]
    if few:
        limits.append(f"Validation error of {', '.join(few)} not measured (fewer than {FEW} objects): limit of eq. 10.")
    good = {survey.names[i]: survey.classes[i].good for i in survey.extragalactic}
    share = f", with {own.mix:.0%} mock spectra in every batch" if own and own.mix else ""
    limit = {name: far if name in few else mae[name] for name, far in good.items()}
    ensemble.mae = np.array([limit[survey.names[i]] for i in survey.extragalactic])
    calibration, told = calibrate_labelled(ensemble, answers, config.start_from)
    limits += [told] if isinstance(told, str) else []
    return {split: validation_metrics(known, survey, calibration)[1] for split, known in answers.items()} | {
        "mae": limit,
        "calibration": None if isinstance(told, str) else told,
        "data": f"{len(found.label)} labelled spectra of {found.facts['catalog']} ({found.facts['kind']}){share}",
        "labelled": {split: found.counts(survey, split) for split, _ in SHARES}
        | {"left_out": dict(found.left_out), "catalog_sha256": found.facts["catalog_sha256"]},
        "split": SPLIT_RULE,
        "limits": limits,
    }
