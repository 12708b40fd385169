"""Work spread over processes: results in the order of the items, few items at a time, one thread or a few each.

Two processes of one thread answer faster than one process of two: reading and bookkeeping run beside the networks.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from engine.device import keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2  # items per process that are begun before the first result is asked for: memory is bounded, nobody waits

_state: dict[str, Any] = {}  # in a worker process: what all its items share


class ProcessError(RuntimeError):
    """A worker process died. The message says what to do."""


def available() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def spread(work: Callable[[Any, Item], Result], shared: Any, items: Iterable[Item], workers: int) -> Iterator[Result]:
    """work(shared, item) of every item, in order, in `workers` processes; shared is copied to each of them once.

    work is a function of a module, and shared, items and results can be pickled. What work raises is raised here.
    Raises ProcessError when a process is killed.
    """
    threads = max(1, available() // workers)
    # Pickled here: multiprocessing would put tensors into shared memory, of which a container may have little.
    start = (pickle.dumps((work, shared)), threads)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin, start)
    running: deque[Future[Result]] = deque()
    try:
        for item in items:
            running.append(pool.submit(_do, item))
            if len(running) >= AHEAD * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    except BrokenProcessPool as error:
        raise ProcessError("a worker process was killed, perhaps for memory; use fewer --workers") from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin(start: bytes, threads: int) -> None:
    torch.set_num_threads(threads)
    keep_freed_memory()
    _state["work"], _state["shared"] = pickle.loads(start)


def _do(item: Any) -> Any:
    return _state["work"](_state["shared"], item)
