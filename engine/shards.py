"""A catalogue made piece by piece, here or by the workers of a Dask cluster: a Parquet dataset, one part per shard.

A shard is a run of files that are classified together, by one worker, in batches of their own: which worker, in which
order and beside what else does not change a bit of its part (another kind of processor may). A part takes its name when
it is whole, and a run leaves out the parts that are there: whatever dies, the same command goes on. Workers need this
package, and one file system. docs/scale.md says how many.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any

import torch

from engine.catalogue import CatalogueError, write_catalogue
from engine.classify import Progress, classify_files
from engine.ensemble import Ensemble, load_ensemble
from engine.registry import ModelError

HERE = "here"  # instead of a scheduler's address: this process, one shard after the other
PATIENCE = 30.0  # s, to wait for a scheduler and a first worker
RETRIES = 2
MAX_FAILED = 20  # shards; so many have one cause, which trying the others does not mend
PLAN = "_plan.json"  # readers of datasets pass over names that begin with _ or .
FILES = 1000  # in a shard at most: the fibres of a BOSS plate
_DESI = re.compile(r"(coadd|spectra)-.*\.fits(\.gz|\.fz)?$")


@dataclass(frozen=True)
class Shard:
    """Files of one part. name: that of its file; files: (path, error) as engine.classify.find_files gives them."""

    name: str
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Job:
    """What is done with every shard. folder: the dataset; model: name or folder, with the digest of its card."""

    folder: str
    model: str
    digest: str
    device: str = "auto"
    batch_size: int = 128
    crosscheck: bool = False


@dataclass
class Outcome:
    """What a run came to. rows, errors: of the whole dataset, earlier runs included; failed: reasons by part."""

    rows: int = 0
    errors: int = 0
    failed: dict[str, str] = field(default_factory=dict)


Counts = tuple[int, int]  # rows, rows with an error
Ended = tuple[Shard, Counts | str]  # a shard, and why it failed


def make_shards(files: Iterable[tuple[str, str]], n_files: int = FILES) -> list[Shard]:
    """Cut files into shards, in their order: a DESI coadd is one; else at most n_files of one folder, as a plate's.

    Paths become absolute, for a worker's working directory is another.
    """
    shards: list[Shard] = []
    whole = [(os.path.abspath(path) if os.path.lexists(path) else path, error) for path, error in files]
    for place, group in groupby(whole, lambda file: file[0] if _is_desi(file[0]) else os.path.dirname(file[0])):
        label = re.sub(r"[^A-Za-z0-9]+", "-", os.path.basename(place).split(".fits")[0]).strip("-")[:60] or "files"
        while some := tuple(islice(group, n_files)):
            shards.append(Shard(f"part-{len(shards):06d}-{label}.parquet", some))
    return shards


def _is_desi(path: str) -> bool:
    return _DESI.match(os.path.basename(path)) is not None


def check_dataset(path: Path) -> Path:
    """The folder of a dataset, if it can be one. Raises CatalogueError unless it is NAME.parquet in a folder."""
    if path.suffix.lower() != ".parquet" or not path.absolute().parent.is_dir():
        raise CatalogueError(f"{path}: a dataset of parts is a folder NAME.parquet in a folder that exists")
    if path.exists() and not path.is_dir():
        raise CatalogueError(f"{path}: is a file; name another place for the dataset, or remove it")
    return path


def make_job(folder: Path, ensemble: Ensemble, model: str, **options: Any) -> Job:
    """The job for an ensemble; model: the name or folder that it was loaded by. options: the other fields of Job."""
    is_folder = len(Path(model).parts) > 1 or (Path(model) / "card.json").is_file()
    place = os.path.abspath(model) if is_folder else model
    return Job(os.path.abspath(folder), place, _digest(ensemble.card), **options)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def classify_shard(job: Job, shard: Shard) -> Counts:
    """Write the part of a shard, unless it is there whole; (rows, rows with an error). On one thread.

    Raises ModelError when the worker's model is another, OSError and CatalogueError when the part cannot be written.
    """
    part = Path(job.folder) / shard.name
    if (known := _counts(part)) is not None:
        return known
    ensemble = _ensemble(job.model, job.device)
    if _digest(ensemble.card) != job.digest:
        raise ModelError(f"{job.model}: this worker's model is not the one of the run; install the same on all workers")
    with _one_thread():
        table = classify_files(shard.files, ensemble, job.batch_size, crosscheck=job.crosscheck)
    errors = int((table["error"] != "").sum())
    table.meta["errors"] = errors
    write_catalogue(table, part)
    return len(table), errors


@contextmanager
def _one_thread() -> Generator[None, None, None]:
    """Sums that torch splits among threads end in other bits; and a cluster has a worker for each core anyway."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@functools.lru_cache(maxsize=1)
def _ensemble(model: str, device: str) -> Ensemble:
    return load_ensemble(model, device)


def _counts(part: Path) -> Counts | None:
    """(rows, rows with an error) of a part, from its end; None when it is not there or not whole."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        end = pq.read_metadata(part)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None
    return end.num_rows, int((end.metadata or {}).get(b"errors", 0))


def classify_dataset(
    shards: Sequence[Shard], job: Job, scheduler: str = HERE, progress: Progress | None = None
) -> Outcome:
    """Classify shards into the dataset job.folder, by the workers of the Dask scheduler at an address, or HERE.

    progress is called with (files done, files in all). A shard is tried again when its worker dies or fails; one that
    fails RETRIES times more is in the Outcome, and the others go on. Raises CatalogueError when the folder holds
    another run's parts, no scheduler or worker answers, or more than MAX_FAILED shards fail.
    """
    _agree(shards, job)
    outcome, total, done = Outcome(), sum(len(shard.files) for shard in shards), 0
    known = {shard.name: _counts(Path(job.folder) / shard.name) for shard in shards}
    left = [shard for shard in shards if known[shard.name] is None]
    with closing(_here(left, job) if scheduler == HERE else _spread(left, job, scheduler)) as ended:
        for shard, result in chain(((shard, counts) for shard in shards if (counts := known[shard.name])), ended):
            done += len(shard.files)
            if isinstance(result, str):
                outcome.failed[shard.name] = result
            else:
                outcome.rows, outcome.errors = outcome.rows + result[0], outcome.errors + result[1]
            if len(outcome.failed) > MAX_FAILED:
                raise CatalogueError(f"{job.folder}: {len(outcome.failed)} shards failed, {shard.name}: {result}")
            if progress:
                progress(done, total)
    if not outcome.failed:
        for left_by_the_dead in Path(job.folder).glob(".part-*"):
            left_by_the_dead.unlink(missing_ok=True)
    return outcome


def _agree(shards: Sequence[Shard], job: Job) -> None:
    """Write down what the dataset is made of, or compare: one of two models or two lists of files is no catalogue."""
    folder = Path(job.folder)
    plan: Mapping[str, Any] = {
        **{key: value for key, value in asdict(job).items() if key not in ("folder", "model", "device")},
        "files": _digest([asdict(shard) for shard in shards]),
    }
    folder.mkdir(exist_ok=True)
    if (folder / PLAN).exists():
        before = json.loads((folder / PLAN).read_text())
        if other := [{"digest": "model"}.get(key, key) for key in plan if plan[key] != before.get(key)]:
            raise CatalogueError(
                f"{folder}: was begun with another {' and another '.join(other)}; name a new place, or remove it"
            )
    elif any(folder.iterdir()):
        raise CatalogueError(f"{folder}: holds files of something else; name a new place")
    else:
        (folder / ".plan").write_text(json.dumps(plan))
        os.replace(folder / ".plan", folder / PLAN)


def _here(shards: Sequence[Shard], job: Job) -> Generator[Ended, None, None]:
    for shard in shards:
        yield shard, classify_shard(job, shard)


def _spread(shards: Sequence[Shard], job: Job, address: str) -> Generator[Ended, None, None]:
    """Every shard with its counts, or why it failed, as they end. The scheduler holds few at a time, however many."""
    if not shards:
        return
    with _client(address) as client:
        from distributed import as_completed

        waiting = iter(shards)
        running: dict[str, Shard] = {}

        def submitted() -> list[Any]:
            """Two shards for each thread that there is now; the next one is there when a worker has done with one."""
            room = 2 * max(1, sum(client.nthreads().values())) - len(running)
            futures = []
            for shard in islice(waiting, max(0, room)):
                futures.append(client.submit(classify_shard, job, shard, retries=RETRIES, pure=False))
                running[futures[-1].key] = shard
            return futures

        ended = as_completed(submitted())
        for future in ended:
            shard = running.pop(future.key)
            if future.status == "finished":
                yield shard, future.result()
            else:
                reason = future.exception() if future.status == "error" else None
                yield shard, f"{type(reason).__name__}: {reason}" if reason else f"was {future.status}"
            ended.update(submitted())


def _client(address: str) -> Any:
    """A client of the scheduler. Raises CatalogueError when there is none, or it has no worker."""
    try:
        from distributed import Client
    except ImportError as error:
        raise CatalogueError("--scheduler needs Dask: pip install 'gasnet-explorer[dask]'") from error
    try:
        client = Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{address}: no Dask scheduler answers; start one with `dask scheduler`") from error
    try:
        client.wait_for_workers(1, timeout=PATIENCE)
    except TimeoutError as error:
        client.close()
        raise CatalogueError(f"{address}: the scheduler has no workers; start some with `dask worker`") from error
    return client
