"""Shards: a dataset of parts is the catalogue of one process to the bit, whoever makes them and whoever dies."""

import os
import signal
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from engine import shards as verb
from engine.catalogue import CatalogueError
from engine.classify import classify_files, find_files
from engine.ensemble import Ensemble, load_ensemble
from engine.networks import build
from engine.registry import card_base, save_member, sha256_of, write_card
from engine.shards import PLAN, Job, Shard, check_dataset, classify_dataset, classify_shard, make_job, make_shards
from engine.survey import load_survey
from tests.makers import galaxy, make_sdss


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model folder with untrained weights."""
    folder, survey = tmp_path_factory.mktemp("model"), load_survey("sdss")
    network = build("matched", survey)
    save_member(network, folder / "member-0.safetensors")
    member = {"file": "member-0.safetensors", "seed": 0, "sha256": sha256_of(folder / "member-0.safetensors")}
    mae = {survey.names[i]: 0.01 for i in survey.extragalactic}
    write_card(folder, card_base("untrained", survey, network, [0]) | {"members": [member], "mae": mae})
    return folder


@pytest.fixture(scope="module")
def ensemble(model) -> Ensemble:
    return load_ensemble(model, "cpu")


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Four plates of three spectra each, and a broken file."""
    folder = tmp_path_factory.mktemp("night")
    for plate in range(751, 755):
        (folder / str(plate)).mkdir()
        for fiber in range(3):
            name = folder / str(plate) / f"spec-{plate:04d}-52251-{fiber:04d}.fits"
            make_sdss(name, *galaxy(z=0.02 * (fiber + 1), seed=plate + fiber), ids=(plate, 52251, fiber))
    (folder / "753" / "spec-0753-52251-0009.fits").write_bytes(b"SIMPLE  = nothing")
    return folder


@pytest.fixture
def job(tmp_path, ensemble, model) -> Job:
    return make_job(tmp_path / "out.parquet", ensemble, str(model), device="cpu", batch_size=2)


def catalogue(job: Job) -> dict:
    """Every column of the dataset, its rows in the order of its parts."""
    return pq.read_table(job.folder).to_pydict()


def same(one: dict, other: dict) -> bool:
    """Equal to the bit, NaN and nulls included."""
    return list(one) == list(other) and all(
        np.array_equal(np.array(one[key], dtype=object), np.array(other[key], dtype=object)) for key in one
    )


def names(*paths: str) -> list[tuple[str, list[str]]]:
    found = make_shards([(f"/s/{path}", "") for path in paths], n_files=2)
    return [(shard.name, [path.removeprefix("/s/") for path, _ in shard.files]) for shard in found]


def test_a_shard_is_a_desi_coadd_or_files_of_one_folder():
    assert names("751/spec-1.fits", "751/spec-2.fits", "751/spec-3.fits", "752/spec-1.fits") == [
        ("part-000000-751.parquet", ["751/spec-1.fits", "751/spec-2.fits"]),
        ("part-000001-751.parquet", ["751/spec-3.fits"]),
        ("part-000002-752.parquet", ["752/spec-1.fits"]),
    ]
    assert names("9/coadd-main-dark-9.fits", "9/coadd-sv3-dark-9.fits.gz") == [
        ("part-000000-coadd-main-dark-9.parquet", ["9/coadd-main-dark-9.fits"]),
        ("part-000001-coadd-sv3-dark-9.parquet", ["9/coadd-sv3-dark-9.fits.gz"]),
    ]


def test_a_shard_knows_its_files_from_any_working_directory(night, monkeypatch):
    monkeypatch.chdir(night)
    ((path, _), *_) = make_shards(find_files(["751", "missing.fits"]))[0].files
    assert path == str(night / "751" / "spec-0751-52251-0000.fits")
    assert make_shards(find_files(["missing.fits"]))[0].files[0][1].startswith("no such file")


def test_one_process_makes_the_rows_of_each_shard_by_itself(night, job, ensemble):
    shards = make_shards(find_files([night]))
    steps: list[tuple[int, int]] = []
    outcome = classify_dataset(shards, job, progress=lambda done, total: steps.append((done, total)))
    assert (outcome.rows, outcome.errors, outcome.failed) == (13, 1, {})
    assert steps == [(3, 13), (6, 13), (10, 13), (13, 13)]
    table = catalogue(job)
    assert table["path"] == [path for path, _ in find_files([night])]
    with verb._one_thread():
        expected = classify_files(shards[1].files, ensemble, batch_size=2)
    assert table["z"][3:6] == expected["z"].tolist()
    assert table["p_QSO"][3:6] == expected["p_QSO"].tolist()


def test_a_finished_part_is_left_and_half_a_part_is_made_again(night, job):
    shards = make_shards(find_files([night]))
    classify_dataset(shards, job)
    before, parts = catalogue(job), [Path(job.folder) / shard.name for shard in shards]
    parts[1].write_bytes(parts[1].read_bytes()[:1000])
    parts[2].unlink()
    (Path(job.folder) / ".part-000002-left-by-the-dead.parquet").touch()
    times = [parts[0].stat().st_mtime_ns, parts[3].stat().st_mtime_ns]
    outcome = classify_dataset(shards, job)
    assert [parts[0].stat().st_mtime_ns, parts[3].stat().st_mtime_ns] == times
    assert (outcome.rows, outcome.errors) == (13, 1)
    assert same(before, catalogue(job))
    assert sorted(os.listdir(job.folder)) == sorted([PLAN, *(part.name for part in parts)])


def test_a_dataset_is_of_one_model_one_list_of_files_and_one_batch_size(night, job, tmp_path):
    shards = make_shards(find_files([night / "751"]))
    classify_dataset(shards, job)
    with pytest.raises(CatalogueError, match=r"out\.parquet: was begun with another model and another batch_size"):
        classify_dataset(shards, Job(**{**vars(job), "digest": "0", "batch_size": 3}))
    with pytest.raises(CatalogueError, match="another files"):
        classify_dataset(make_shards(find_files([night])), job)
    (tmp_path / "mine.parquet").mkdir()
    (tmp_path / "mine.parquet" / "thesis.tex").touch()
    with pytest.raises(CatalogueError, match="holds files of something else"):
        classify_dataset(shards, Job(**{**vars(job), "folder": str(tmp_path / "mine.parquet")}))
    with pytest.raises(CatalogueError, match=r"a dataset of parts is a folder NAME\.parquet"):
        check_dataset(tmp_path / "out.ecsv")


def test_a_worker_with_another_model_refuses(night, job, ensemble):
    Path(job.folder).mkdir()
    shard = make_shards(find_files([night / "751"]))[0]
    with pytest.raises(ValueError, match="this worker's model is not the one of the run"):
        classify_shard(Job(**{**vars(job), "digest": "0"}), shard)


def test_a_scheduler_that_does_not_answer_is_said(night, job, monkeypatch):
    monkeypatch.setattr(verb, "PATIENCE", 0.2)
    with pytest.raises(CatalogueError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        classify_dataset(make_shards(find_files([night])), job, "tcp://127.0.0.1:9")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two worker processes of one thread each, on loopback."""
    from distributed import LocalCluster

    place = str(tmp_path_factory.mktemp("dask"))
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1", local_directory=place
    ) as started:
        yield started


def test_workers_make_the_same_catalogue_to_the_bit_though_one_is_killed(night, job, cluster):
    shards, here = make_shards(find_files([night])), Job(**{**vars(job), "folder": job.folder.replace("out", "here")})
    classify_dataset(shards, here)
    killed: list[int] = []

    def kill_one(done: int, total: int) -> None:
        """When the first shard ends, others are with the workers: one of these dies as a machine would."""
        if not killed:
            killed.append(next(worker.pid for worker in cluster.workers.values()))
            os.kill(killed[0], signal.SIGKILL)

    outcome = classify_dataset(shards, job, cluster.scheduler_address, kill_one)
    assert killed
    assert (outcome.rows, outcome.errors, outcome.failed) == (13, 1, {})
    assert same(catalogue(here), catalogue(job))


def test_a_shard_that_fails_on_every_worker_is_named_and_the_rest_is_written(night, job, cluster):
    shards = [*make_shards(find_files([night / "751"])), Shard("no-such-folder/part.parquet", ((str(night), "bad"),))]
    outcome = classify_dataset(shards, job, cluster.scheduler_address)
    assert outcome.rows == 3
    assert "folder" in outcome.failed["no-such-folder/part.parquet"]
    assert len(catalogue(job)["path"]) == 3
