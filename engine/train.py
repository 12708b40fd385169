"""Training: mock spectra in, a model folder out. Resumable after a kill at any moment.

A run is a folder: config.json, log.jsonl (one line per measurement), member-<k>.checkpoint.safetensors while a member
is trained, member-<k>.safetensors when it is final, card.json when all are. Running the same command again goes on
where the last checkpoint is.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine import metrics
from engine.dataset import Sample, on_grid
from engine.device import choose_device
from engine.ensemble import Ensemble
from engine.mock import Simulator
from engine.networks import Network, build
from engine.registry import card_base, load_members, save_member, sha256_of, write_card
from engine.survey import load_survey
from engine.warmstart import begin_from

CHUNK = 512  # mock spectra made at once
LIMITS = (
    "Trained on simulated spectra only. Objects of none of the classes are called what they resemble most. p(z) is not "
    "calibrated. 13-class labels follow simulated label rules."
)
Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class TrainConfig:
    """Everything a run depends on; saved with it.

    survey, network : names; network_config : settings that differ from the network's defaults
    members : how many, with seeds seed, seed + 1, ...; processes : how many are trained at a time, sharing the cores
    minutes : training time of each member; spectra : number of spectra of each member, instead of minutes
    templates : the template folder, else $GASNET_TEMPLATES
    start_from : model (name or folder) or run whose members the members start from, of this survey or another
    rate_scale : factor on the network's learning rate; less than 1 keeps more of what a start knew
    """

    survey: str = "sdss"
    network: str = "matched"
    members: int = 5
    minutes: float | None = None
    spectra: int | None = 120_000
    batch_size: int = 128
    seed: int = 0
    device: str = "auto"
    templates: str | None = None
    name: str | None = None
    validation: int = 2600
    checkpoint_seconds: float = 120.0
    processes: int = 1
    network_config: dict[str, Any] | None = None
    start_from: str | None = None
    rate_scale: float = 1.0

    def __post_init__(self) -> None:
        if (self.minutes is None) == (self.spectra is None):
            raise ValueError("TrainConfig: give either minutes or spectra, the budget of one member")
        for field, low in (("members", 1), ("batch_size", 2), ("validation", 26), ("processes", 1)):
            if getattr(self, field) < low:
                raise ValueError(f"TrainConfig: {field} is {getattr(self, field)}; it must be at least {low}")


def train(config: TrainConfig, out: str | Path, progress: Progress | None = None) -> Path:
    """Train, or go on training, an ensemble; returns the model folder (out).

    progress is called with {member, done (0-1), rate (spectra/s), loss, eta (s)} about once a second.
    Raises SurveyError, TemplateError, or ValueError when `out` holds a run of another configuration.
    """
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    _remember(config, folder)
    survey = load_survey(config.survey)
    device = choose_device(config.device)
    missing = [k for k in range(config.members) if not (folder / f"member-{k}.safetensors").is_file()]
    if config.processes > 1 and len(missing) > 1:
        _train_side_by_side(config, folder, missing, progress or (lambda _: None))
    elif missing:
        simulator = Simulator(survey, config.templates)
        for k in missing:
            _train_member(config, folder, k, simulator, device, progress or (lambda _: None))
    _finish(config, folder)
    return folder


def _train_side_by_side(config: TrainConfig, folder: Path, missing: list[int], progress: Progress) -> None:
    """Several members at a time, each in a process with its share of the cores: on a CPU a quarter faster than one
    member on all of them, for no thread waits for another (docs/log.md)."""
    context = multiprocessing.get_context("spawn")
    told: Any = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // config.processes)
    with ProcessPoolExecutor(config.processes, context, _begin_worker, (config, told, threads)) as pool:
        work = {pool.submit(_train_alone, config, folder, k) for k in missing}
        while work:
            done, work = wait(work, timeout=1.0)
            while not told.empty():
                progress(told.get())
            for future in done:
                future.result()


_worker: dict[str, Any] = {}  # in a worker process: where it tells its progress, and its simulator


def _begin_worker(config: TrainConfig, told: Any, threads: int) -> None:
    torch.set_num_threads(threads)
    _worker.update(told=told, simulator=Simulator(load_survey(config.survey), config.templates))


def _train_alone(config: TrainConfig, folder: Path, k: int) -> None:
    _train_member(config, folder, k, _worker["simulator"], choose_device(config.device), _worker["told"].put)


def _remember(config: TrainConfig, folder: Path) -> None:
    """Write config.json, or check that the run in this folder is the same one. More members may be asked for later."""
    path = folder / "config.json"
    new = asdict(config)
    if path.is_file():
        old = asdict(TrainConfig()) | json.loads(path.read_text())  # a run older than a setting has its default
        for key, value in new.items():
            if key not in _FREE and old.get(key) != value:
                raise ValueError(f"{path}: this run has {key} = {old.get(key)!r}, not {value!r}; use another --out")
    path.write_text(json.dumps({key: value for key, value in new.items() if key != "templates"}, indent=1) + "\n")


_FREE = ("members", "device", "templates", "checkpoint_seconds", "processes")  # may change when a run goes on


class _Trainer:
    """One member in training: network, optimiser, clock, and the checkpoint that holds them."""

    def __init__(self, config: TrainConfig, k: int, network: Network, checkpoint: Path) -> None:
        self.config, self.k, self.network, self.checkpoint = config, k, network, checkpoint
        self.parameters = dict(network.named_parameters())
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=network.weight_decay)
        self.chunk, self.seconds = 0, 0.0
        for candidate in (checkpoint, checkpoint.with_suffix(".previous")):
            if candidate.is_file() and self._restore(candidate):
                break

    @property
    def spectra(self) -> int:
        return self.chunk * CHUNK

    @property
    def done(self) -> float:
        """The part of the budget used, 0 to 1."""
        if self.config.spectra is not None:
            return min(1.0, self.spectra / self.config.spectra)
        return min(1.0, self.seconds / (60 * (self.config.minutes or 1)))

    def learn(self, sample: Sample) -> dict[str, float]:
        """One pass over a chunk in batches; mean of the loss's parts."""
        self.network.train()
        began = time.monotonic()
        totals: dict[str, float] = {}
        batches = sample.batches(self.config.batch_size)
        for flux, ivar, label, z in batches:
            for group in self.optimiser.param_groups:
                group["lr"] = self.config.rate_scale * self.network.learning_rate(self.done)
            loss, parts = self.network.loss(flux, ivar, label, z)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"loss of member {self.k} is not finite after {self.spectra} spectra")
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), 5.0)
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)
            for name, value in {"loss": loss, **parts}.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) / len(batches)
        self.chunk += 1
        self.seconds += time.monotonic() - began
        return totals

    def save(self) -> None:
        """Checkpoint as safetensors; the one before stays beside it in case the disk or the power fails now."""
        tensors = {f"model.{name}": t.detach().clone() for name, t in self.network.state_dict().items()}
        for name, parameter in self.parameters.items():
            state = self.optimiser.state.get(parameter)
            if state:
                for key in ("exp_avg", "exp_avg_sq", "step"):
                    tensors[f"{key}.{name}"] = state[key].detach().clone()
        part = self.checkpoint.with_suffix(".part")
        save_file(tensors, str(part), {"chunk": str(self.chunk), "seconds": repr(self.seconds)})
        if self.checkpoint.is_file():
            os.replace(self.checkpoint, self.checkpoint.with_suffix(".previous"))
        os.replace(part, self.checkpoint)

    def _restore(self, path: Path) -> bool:
        try:
            with safe_open(str(path), "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                facts = file.metadata()
        except Exception as error:  # a torn file; the one before is tried next
            print(f"{path}: unreadable checkpoint ({error}); using the one before")
            return False
        self.network.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
        for name, parameter in self.parameters.items():
            if f"step.{name}" in tensors:
                self.optimiser.state[parameter] = {
                    key: tensors[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")
                }
        self.chunk, self.seconds = int(facts["chunk"]), float(facts["seconds"])
        return True

    def forget(self) -> None:
        """Remove the checkpoints once the member is final."""
        for path in (self.checkpoint, self.checkpoint.with_suffix(".previous")):
            path.unlink(missing_ok=True)


def _train_member(
    config: TrainConfig, folder: Path, k: int, simulator: Simulator, device: torch.device, progress: Progress
) -> None:
    torch.manual_seed(config.seed + k)
    network = build(config.network, simulator.survey, config.network_config).to(device)
    trainer = _Trainer(config, k, network, folder / f"member-{k}.checkpoint.safetensors")
    if config.start_from and trainer.chunk == 0:
        start = begin_from(network, simulator.survey, config.start_from, k)
        _log(folder, {"member": k, "start": start.words()})
    saved = time.monotonic()
    began, at_start = time.monotonic(), trainer.done
    while trainer.done < 1:
        batch = simulator.batch(CHUNK, [config.seed, k, trainer.chunk])
        before = time.monotonic()
        losses = trainer.learn(on_grid(batch, network.grid, device))
        rate = CHUNK / (time.monotonic() - before)
        used = max(trainer.done - at_start, 1e-6)
        eta = (time.monotonic() - began) / used * (1 - trainer.done)
        facts = {"member": k, "spectra": trainer.spectra, "done": round(trainer.done, 4), "rate": round(rate, 1)}
        progress({**facts, **losses, "eta": eta})
        if trainer.chunk % 8 == 0:
            _log(folder, {**facts, **{name: round(value, 4) for name, value in losses.items()}})
        if time.monotonic() - saved > config.checkpoint_seconds:
            trainer.save()
            saved = time.monotonic()
    save_member(network, folder / f"member-{k}.safetensors")
    trainer.forget()


def _log(folder: Path, facts: dict[str, Any]) -> None:
    with (folder / "log.jsonl").open("a") as file:
        file.write(json.dumps(facts) + "\n")


def _finish(config: TrainConfig, folder: Path) -> None:
    """Measure the ensemble on validation templates with the real redshift distribution, and write the card."""
    survey = load_survey(config.survey)
    network = build(config.network, survey, config.network_config)
    name = config.name or f"{config.survey}-{config.network}-v1"
    seeds = [config.seed + k for k in range(config.members)]
    files = [folder / f"member-{k}.safetensors" for k in range(config.members)]
    members = [
        {"file": path.name, "seed": seed, "sha256": sha256_of(path)} for path, seed in zip(files, seeds, strict=True)
    ]
    card = card_base(name, survey, network, seeds) | {
        "members": members,
        "training": _for_card(config),
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
    simulator = Simulator(survey, config.templates, "validation", flat_share=0.0)
    mae, found = validation_metrics(ensemble, simulator, config.validation, config.seed)
    write_card(folder, card | {"mae": mae, "validation": found})


def _for_card(config: TrainConfig) -> dict[str, Any]:
    """The configuration without what names the machine."""
    facts = {key: value for key, value in asdict(config).items() if key not in ("templates", "device", "processes")}
    return facts | {"start_from": config.start_from and Path(config.start_from).name}


def validation_metrics(
    ensemble: Ensemble, simulator: Simulator, n: int, seed: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """On n mock spectra of validation templates: MAE of each extragalactic class (eq. 12), and the card's metrics."""
    survey = ensemble.survey
    types = np.array([c.spectype for c in survey.classes])
    labels, z_true, p_all, z_all = [], [], [], []
    for start in range(0, n, 128):
        batch = simulator.batch(min(128, n - start), [seed, 999_983, start])
        sample = on_grid(batch, ensemble.grid, torch.device("cpu"))
        p, _, z = ensemble.answers(sample.flux.numpy(), sample.ivar.numpy())
        labels.append(batch.label)
        z_true.append(batch.z)
        p_all.append(p.mean(axis=0))
        z_all.append(z.mean(axis=0))
    label, truth, p, z = (np.concatenate(a) for a in (labels, z_true, p_all, z_all))
    best = p.argmax(axis=1)
    mae: dict[str, float] = {}
    classes: dict[str, Any] = {}
    for i, klass in enumerate(survey.classes):
        here = label == i
        facts: dict[str, Any] = {"n": int(here.sum()), "accuracy": round(float((best[here] == i).mean()), 4)}
        facts["type_accuracy"] = round(float((types[best[here]] == klass.spectype).mean()), 4)
        if klass.good is not None:
            predicted = z[here, survey.extragalactic.index(i)]
            mae[klass.name] = round(metrics.mean_absolute_error(truth[here], predicted), 6)
            good = metrics.good_fraction(truth[here], predicted, klass.good)
            facts |= {"mae": mae[klass.name], "good_fraction": round(good, 4)}
        classes[klass.name] = facts
    accuracy = float(np.mean([facts["accuracy"] for facts in classes.values()]))
    return mae, {"n": n, "seed": seed, "accuracy": round(accuracy, 4), "classes": classes}
