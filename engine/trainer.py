"""One member in training, and the checkpoints that let it go on after a kill at any moment."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from engine.dataset import Sample
from engine.networks import Network
from engine.plan import CHUNK, TrainConfig
from engine.registry import written


class Stopped(BaseException):
    """Raised by a progress callback, or a signal's handler, to end a run: the same command goes on later.

    No Exception, as KeyboardInterrupt is none: what forgives a torn file must not forgive this."""


class Trainer:
    """One member in training: network, optimiser, clock, and the checkpoint that holds them."""

    def __init__(
        self, config: TrainConfig, k: int, network: Network, checkpoint: Path, notice: Callable[[str], None] = print
    ) -> None:
        self.config, self.k, self.network, self.checkpoint, self.notice = config, k, network, checkpoint, notice
        self.parameters = dict(network.named_parameters())
        self.optimiser = torch.optim.AdamW(self.parameters.values(), weight_decay=network.weight_decay)
        self.chunk, self.seconds, self.batch_size = 0, 0.0, config.batch_size
        for candidate in (checkpoint, checkpoint.with_suffix(".previous")):
            if candidate.is_file() and self._restore(candidate):
                break

    @property
    def spectra(self) -> int:
        """How many were learned from."""
        return self.chunk * CHUNK

    @property
    def done(self) -> float:
        """The part of the budget used, 0 to 1."""
        if self.config.spectra is not None:
            return min(1.0, self.spectra / self.config.spectra)
        return min(1.0, self.seconds / (60 * (self.config.minutes or 1)))

    def learn(self, sample: Sample) -> dict[str, float]:
        """One pass over a chunk in batches; mean of the loss's parts. Where the memory does not hold a batch, half of
        it is tried from then on."""
        self.network.train()
        began = time.monotonic()
        while True:
            try:
                totals = self._pass(sample)
                break
            except (MemoryError, RuntimeError) as error:
                if not _out_of_memory(error) or self.batch_size < 4:
                    raise
            self.batch_size //= 2  # outside of the handler, whose traceback holds on to the tensors of the step
            self.optimiser.zero_grad(set_to_none=True)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.notice(f"member {self.k}: out of memory; it goes on with batches of {self.batch_size}")
        self.chunk += 1
        self.seconds += time.monotonic() - began
        return totals

    def _pass(self, sample: Sample) -> dict[str, float]:
        totals: dict[str, float] = {}
        batches = sample.batches(self.batch_size)
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
        return totals

    def save(self) -> None:
        """Checkpoint as safetensors; the one before stays beside it in case the power fails now. Raises ModelError when
        the disk is full; what was saved before stays."""
        tensors = {f"model.{name}": t.detach().clone() for name, t in self.network.state_dict().items()}
        for name, parameter in self.parameters.items():
            state = self.optimiser.state.get(parameter)
            if state:
                for key in ("exp_avg", "exp_avg_sq", "step"):
                    tensors[f"{key}.{name}"] = state[key].detach().clone()
        with written(self.checkpoint) as part:
            facts = {"chunk": self.chunk, "seconds": self.seconds, "batch_size": self.batch_size}
            words = {name: repr(value) for name, value in facts.items()}
            save_file(tensors, str(part), words | {"sha256": _checksum(tensors, words)})
            if self.checkpoint.is_file():
                os.replace(self.checkpoint, self.checkpoint.with_suffix(".previous"))

    def _restore(self, path: Path) -> bool:
        try:
            with safe_open(str(path), "pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
                facts = file.metadata()
            if facts.pop("sha256", "") != _checksum(tensors, facts):
                raise ValueError("its sha256 does not match what it holds")
            chunk, seconds = int(facts["chunk"]), float(facts["seconds"])
            self.network.load_state_dict({n[6:]: t for n, t in tensors.items() if n.startswith("model.")})
        except Exception as error:  # a torn file; the one before is tried next
            before = path.with_suffix(".previous")
            there = path != before and before.is_file()
            then = "using the one before" if there else "the member starts anew"
            self.notice(f"{path}: unreadable checkpoint ({error}); {then}")
            return False
        for name, parameter in self.parameters.items():
            if f"step.{name}" in tensors:
                self.optimiser.state[parameter] = {
                    key: tensors[f"{key}.{name}"] for key in ("exp_avg", "exp_avg_sq", "step")
                }
        self.chunk, self.seconds = chunk, seconds
        self.batch_size = int(facts.get("batch_size", self.batch_size))
        return True

    def forget(self) -> None:
        """Remove the checkpoints once the member is final."""
        for path in (self.checkpoint, self.checkpoint.with_suffix(".previous")):
            path.unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, torch.Tensor], facts: Mapping[str, str]) -> str:
    """sha256 of every number and fact of a checkpoint: safetensors tells a torn file, not a flipped bit."""
    found = hashlib.sha256(repr(sorted(facts.items())).encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _out_of_memory(error: BaseException) -> bool:
    """CUDA says so by a type, the C allocator of a CPU by its words."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)
