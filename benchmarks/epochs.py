"""Training over a fixed set for a number of epochs, as the paper does; resumable after a kill at any moment.

engine.train makes new spectra for ever and trains a whole member at a time; the paper trains each of its networks by
itself on a fixed set, halves the rate every five epochs, and keeps the weights of the best validation.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

IntArray = NDArray[np.int64]
Say = Callable[[str], None]


class Lesson(Protocol):
    """A network and what it learns: n training spectra, a loss of some of them, a validation score (less is better)."""

    module: nn.Module
    n: int
    weight_decay: float
    clip: float | None  # limit of the gradient's norm

    def rate(self, epoch: int, done: float) -> float:
        """The rate of Adam in an epoch counted from 0, or when a part `done` of all steps is over."""
        ...

    def loss(self, rows: IntArray) -> Tensor:
        """Scalar, with gradients."""
        ...

    def score(self) -> float:
        """On the validation set; the module is in evaluation mode, without gradients."""
        ...


@dataclass
class Progress:
    """How far a training is: epoch and the step in it that come next; time spent; the best score and its epoch; each
    epoch's mean loss and score."""

    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    core_seconds: float = 0.0
    best: float = float("inf")
    best_epoch: int = -1
    loss_sum: float = 0.0
    history: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class Learned:
    """A finished training: the best weights, on disk at path, and what it took."""

    path: Path
    n: int
    epochs: int
    progress: Progress

    def load_into(self, module: nn.Module) -> None:
        """Fill a module with the best weights. Raises RuntimeError when they do not fit."""
        with safe_open(str(self.path), "pt") as file:
            module.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a dict


def learned(path: Path) -> Learned | None:
    """The training that ended in a file, or None."""
    if not path.is_file():
        return None
    with safe_open(str(path), "pt") as file:
        facts = json.loads(file.metadata()["facts"])
    return Learned(path, facts["n"], facts["epochs"], Progress(**facts["progress"]))


def learn(
    path: Path, make: Callable[[], Lesson], epochs: int, seed: int, say: Say, batch: int = 128, every: float = 120.0
) -> Learned:
    """Train, or go on training, and write the best weights to path; a finished one is only looked at.

    every : seconds between checkpoints. The order of spectra and dropout follow from seed, the file's name and the
    step, so that a training that was killed ends with the weights of one that was not.
    """
    finished = learned(path)
    if finished:
        return finished
    torch.manual_seed(_seed(seed, path, 0))
    lesson = make()
    training = _Training(lesson, path.with_suffix(".checkpoint"), path, epochs, seed, batch)
    began = told = saved = time.monotonic()
    at_start = training.done
    while training.progress.epoch < epochs:
        training.one_step()
        now = time.monotonic()
        if training.ends_epoch or now - told > 20:
            left = (now - began) / max(training.done - at_start, 1e-9) * (1 - training.done)
            say(f"{path.stem}: {training.words()}; {left / 60:.1f} min left")
            told = now
        if now - saved > every:
            training.save()
            saved = now
    training.finish()
    done = learned(path)
    assert done is not None
    return done


def _seed(seed: int, path: Path, step: int) -> int:
    return (seed * 1_000_003 + zlib.crc32(path.stem.encode()) + 7_919 * step) % 2**63


class _Training:
    """One training between its steps."""

    def __init__(self, lesson: Lesson, checkpoint: Path, path: Path, epochs: int, seed: int, batch: int) -> None:
        self.lesson, self.checkpoint, self.path = lesson, checkpoint, path
        self.epochs, self.seed, self.batch = epochs, seed, batch
        # A last batch of one spectrum, which batch statistics cannot use, is left out.
        self.steps = max(1, (lesson.n - 2) // batch + 1)
        self.parameters = dict(lesson.module.named_parameters())
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=lesson.weight_decay)
        self.best = self._weights()
        self.progress = Progress()
        self.ends_epoch = False
        for candidate in (checkpoint, checkpoint.with_suffix(".previous")):
            if candidate.is_file() and self._restore(candidate):
                break
        self._order(self.progress.epoch)

    @property
    def done(self) -> float:
        """The part of all steps that is over."""
        return (self.progress.epoch * self.steps + self.progress.step) / (self.epochs * self.steps)

    def words(self) -> str:
        """The state in words."""
        p = self.progress
        last = f", loss {p.history[-1][0]:.4g}, validation {p.history[-1][1]:.4g}" if p.history else ""
        return f"epoch {p.epoch} of {self.epochs}, {100 * self.done:.0f} %{last}"

    def one_step(self) -> None:
        """One batch; after an epoch's last one, the validation."""
        p = self.progress
        began, core = time.monotonic(), time.process_time()
        torch.manual_seed(_seed(self.seed, self.path, 1 + p.epoch * self.steps + p.step))
        self.lesson.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = self.lesson.rate(p.epoch, self.done)
        loss = self.lesson.loss(self.order[p.step * self.batch : (p.step + 1) * self.batch])
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{self.path.stem}: the loss is not finite in {self.words()}")
        loss.backward()
        if self.lesson.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.lesson.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        p.loss_sum += float(loss.detach())
        p.step += 1
        self.ends_epoch = p.step == self.steps
        if self.ends_epoch:
            self._validate()
        p.seconds += time.monotonic() - began
        p.core_seconds += time.process_time() - core

    def _validate(self) -> None:
        p = self.progress
        self.lesson.module.eval()
        with torch.inference_mode():
            score = self.lesson.score()
        if score < p.best or p.best_epoch < 0:
            p.best, p.best_epoch, self.best = score, p.epoch, self._weights()
        p.history.append([p.loss_sum / self.steps, score])
        p.epoch, p.step, p.loss_sum = p.epoch + 1, 0, 0.0
        self._order(p.epoch)

    def _order(self, epoch: int) -> None:
        rng = np.random.default_rng([self.seed, zlib.crc32(self.path.stem.encode()), epoch])
        self.order = rng.permutation(self.lesson.n)

    def _weights(self) -> dict[str, Tensor]:
        return {name: t.detach().clone().contiguous() for name, t in self.lesson.module.state_dict().items()}

    def save(self) -> None:
        """A checkpoint; the one before stays beside it."""
        tensors = {f"now.{name}": t for name, t in self._weights().items()}
        tensors |= {f"best.{name}": t for name, t in self.best.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimiser.state.get(parameter, {}).items():
                tensors[f"{key}.{name}"] = value.detach().clone()
        part = self.checkpoint.with_suffix(".part")
        save_file(tensors, str(part), {"progress": json.dumps(asdict(self.progress))})
        if self.checkpoint.is_file():
            os.replace(self.checkpoint, self.checkpoint.with_suffix(".previous"))
        os.replace(part, self.checkpoint)

    def _restore(self, path: Path) -> bool:
        try:
            with safe_open(str(path), "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                facts: dict[str, Any] = json.loads(file.metadata()["progress"])
        except Exception as error:  # a torn file; the one before is tried next
            print(f"{path}: unreadable checkpoint ({error}); using the one before")
            return False
        self.lesson.module.load_state_dict({n[4:]: t for n, t in tensors.items() if n.startswith("now.")})
        self.best = {n[5:]: t for n, t in tensors.items() if n.startswith("best.")}
        for name, parameter in self.parameters.items():
            if f"step.{name}" in tensors:
                keys = ("exp_avg", "exp_avg_sq", "step")
                self.optimiser.state[parameter] = {key: tensors[f"{key}.{name}"] for key in keys}
        self.progress = Progress(**facts)
        return True

    def finish(self) -> None:
        """Write the best weights, atomically; the checkpoints are no longer needed."""
        facts = {"n": self.lesson.n, "epochs": self.epochs, "progress": asdict(self.progress)}
        part = self.path.with_suffix(".part")
        save_file(self.best, str(part), {"facts": json.dumps(facts)})
        os.replace(part, self.path)
        for path in (self.checkpoint, self.checkpoint.with_suffix(".previous")):
            path.unlink(missing_ok=True)
