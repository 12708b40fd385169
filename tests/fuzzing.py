"""The fuzzer: whatever a file or a text holds, the product answers it, or refuses it by name and in words.

    python tests/fuzzing.py --cases 2000                    # seeded: case i of a seed is always the same file
    python tests/fuzzing.py --cases 100000 --seconds 1500 --seed 7
    python tests/fuzzing.py --case 1234 --keep /tmp/found   # one case again, its file kept
    python tests/fuzzing.py --atheris read                  # coverage-guided, with the extra `fuzz` installed

Each case must end with an answer or with an error that the product documents, which names the file; within 10 s of
processor time and 500 MB of memory; without a network request, a pickle, a process, or a file opened outside the
case's folder (the program's own files excepted). A crash or a hang ends the run; the line `case N target name` that
stands in FOLDER/case says where.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mutations
import numpy as np

SECONDS, MEGABYTES = 10, 500
ROOT = Path(__file__).resolve().parents[1]
OURS = tuple(
    {f"{Path(p).resolve()}" for p in (ROOT, sys.prefix, sys.base_prefix, "/proc", "/sys", "/usr", "/etc/ld.so")}
)
NAMES = ("{}", "../../{}", "C:\\up\\{}", "<img src=x onerror=alert(1)>{}", "=cmd|x!A0{}", "a\x1b[2J{}", "{}", "{}")


class Watch:
    """What a case does beside its answer, by Python's audit events. `seen` lists what it must not do."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen, self.on = f"{folder}", [], False
        sys.addaudithook(self._event)

    def _event(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event.startswith(
            (
                "socket.connect",
                "socket.getaddr",
                "socket.gethost",
                "socket.sendto",
                "subprocess.",
                "os.system",
                "os.exec",
                "os.posix_spawn",
                "os.fork",
                "pickle.",
                "shutil.",
                "ctypes.dlopen",
            )
        ):
            self.seen.append(f"{event} {args[:2]}")
        elif event == "open" and isinstance(args[0], str | bytes):
            self._file(os.fsdecode(args[0]), (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT), event)
        elif event in ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate"):
            self._file(os.fsdecode(args[0]), True, event)

    def _file(self, path: str, writes: Any, event: str) -> None:
        full = os.path.realpath(path)
        if not full.startswith(self.folder) and (writes or not full.startswith(OURS)):
            self.seen.append(f"{event} {full}")


class Targets:
    """The product's doors, each a function of (name, bytes) that raises only what the door documents."""

    def __init__(self, folder: Path) -> None:
        import specutils  # noqa: F401 - pickles functions of its own while it is imported
        import torch

        from engine.archive import Archive
        from engine.archive.cache import Cache
        from engine.archive.web import Web
        from engine.ensemble import Ensemble
        from engine.survey import load_survey

        torch.set_num_threads(1)
        self.folder = folder
        (folder / "data").mkdir()
        self.archive = Archive(folder / "data", Cache(folder / "cache"), web=Web(()))
        self.ensemble = Ensemble.untrained("matched", load_survey("sdss"))

    def read(self, name: str, content: bytes) -> None:
        from engine import SpectrumError, read

        try:
            found = read(content, name=name, catalogue=len(content) % 2 == 0)
        except SpectrumError as error:
            refused(error, name)
        else:
            assert found, "neither spectra nor an error"
            assert all(s.good.any() for s in found), "a spectrum without a good pixel"

    def upload(self, name: str, content: bytes) -> None:
        from engine import CatalogueError, SpectrumError
        from gasnet_app.intake import open_catalogue, open_upload, uploads

        (upload,) = uploads({name: content})
        assert "/" not in upload.name
        assert upload.name.isprintable()
        try:
            if open_catalogue(upload) is None:
                open_upload(upload)
        except (SpectrumError, CatalogueError) as error:
            refused(error, upload.name)

    def classify(self, name: str, content: bytes) -> None:
        from engine.catalogue import write_catalogue
        from engine.classify import classify

        path = self.folder / "night" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        table = classify([path], self.ensemble)
        assert len(table) >= 1
        for word in table["error"]:
            _plain(str(word))
        write_catalogue(table, self.folder / f"out{'.csv' if len(content) % 2 else '.fits'}")
        path.unlink()

    def catalogue(self, name: str, content: bytes) -> None:
        from engine.catalogue import CatalogueError
        from gasnet_app.intake import Upload, open_catalogue

        try:
            found = open_catalogue(Upload(name, content))
        except CatalogueError as error:
            refused(error, name)
        else:
            columns = [] if found is None else [*found.texts.values(), *found.numbers.values()]
            assert all(column.shape == (len(found),) for column in columns), "a column of another length"

    def inspections(self, name: str, content: bytes) -> None:
        from engine.inspections import ExchangeError, read_inspections

        try:
            read_inspections(content, name, "SDSS")
        except ExchangeError as error:
            refused(error, name)

    def resolve(self, name: str, content: bytes) -> None:
        from engine.archive import ArchiveError
        from engine.identifiers import IdentifierError, resolve

        try:
            refs = resolve(content.decode("utf-8", "replace"))
        except IdentifierError as error:
            _plain(str(error))
            return
        for ref in refs[:20]:
            try:
                self.archive.fetch(ref)
            except ArchiveError as error:
                _plain(str(error))
            else:
                raise AssertionError(f"{ref.name}: a file out of an empty data folder")


def refused(error: Exception, name: str) -> None:
    """A refusal names the file, and is one that somebody wrote: no fault of ours, no want of memory in its words."""
    words = str(error)
    assert name in words, f"does not name the file: {words[:200]}"
    _plain(words)


def _plain(words: str) -> None:
    shown = words if len(words) < 400 else f"{words[:200]} ... {words[-200:]}"
    assert len(words) < 1500, f"{len(words)} characters of error: {shown}"
    assert words.isprintable(), f"control characters in an error: {shown!r}"
    fault = re.search(
        r"report this file|MemoryError|[Uu]nable to allocate|\w+Warning: |unknown kind|RecursionError", words
    )
    assert fault is None, f"a fault in the words of an error: {shown}"


class Cases:
    """The files of a seed: case i is the same on every run."""

    def __init__(self, folder: Path, seed: int) -> None:
        spectra, catalogues, texts = mutations.spectra(folder), mutations.catalogues(folder), mutations.texts()
        inspections = {k: texts[k] for k in ("vi.csv", "marz.mz")}
        self.seed, self.others = seed, [*spectra.values(), *catalogues.values(), *texts.values()]
        ids = {"ids.txt": texts["ids.txt"]}
        self.menu: list[tuple[str, int, dict[str, bytes]]] = [
            ("read", 45, spectra), ("upload", 15, {**spectra, **catalogues}), ("classify", 5, spectra),
            ("catalogue", 20, catalogues), ("inspections", 10, inspections), ("resolve", 5, ids),
        ]  # fmt: skip
        self.shares = np.array([share for _, share, _ in self.menu]) / 100

    def __call__(self, i: int) -> tuple[str, str, bytes]:
        """(target, file's name, its bytes)."""
        random = np.random.default_rng([self.seed, i])
        target, _, seeds = self.menu[random.choice(len(self.menu), p=self.shares)]
        name = list(seeds)[random.integers(len(seeds))]
        content = mutations.mutated(seeds[name], self.others, random)
        return target, NAMES[random.integers(len(NAMES))].format(name) if target == "upload" else name, content


def guarded(watch: Watch, run: Callable[[str, bytes], None], name: str, content: bytes) -> str:
    """What is wrong with how a case ended; empty when all is well. A hang ends the process."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # processor time: a slow machine is no hang
    watch.seen.clear()
    watch.on = True
    try:
        run(name, content)
    except Exception as error:
        watch.on = False
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = f"{Path(where.tb_frame.f_code.co_filename).name}:{where.tb_lineno}" if where else ""
        return f"{type(error).__name__} at {at}: {error}"
    finally:
        watch.on = False
        signal.setitimer(signal.ITIMER_PROF, 0)
    return f"did what it must not: {watch.seen[:3]}" if watch.seen else ""


def limits() -> None:
    """From here on 500 MB more than now, and 10 s of processor time a case, for which a hang is dumped and killed."""
    now = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) * 1024  # type: ignore[index]
    resource.setrlimit(resource.RLIMIT_DATA, (now + MEGABYTES * 2**20,) * 2)
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    warnings.simplefilter("error")


def fuzz(how: argparse.Namespace, folder: Path) -> int:
    """Run the cases; the number that failed."""
    (folder / "seeds").mkdir()
    cases, targets = Cases(folder / "seeds", how.seed), Targets(folder)
    watch = Watch(folder)
    for target, _, seeds in cases.menu:  # imports, which open files, come before the watch counts
        for name, good in seeds.items():
            guarded(watch, getattr(targets, target), name, good)
    limits()
    status = os.open(folder / "case", os.O_WRONLY | os.O_CREAT)
    done: Counter[str] = Counter()
    failed: dict[str, list[int]] = {}
    end = time.monotonic() + how.seconds
    for i in [how.case] if how.case is not None else range(how.cases):
        target, name, content = cases(i)
        os.pwrite(status, f"case {i} {target} {name}".ljust(200).encode(), 0)
        if how.keep is not None and how.case is not None:
            how.keep.mkdir(parents=True, exist_ok=True)
            (how.keep / f"{i}-{name.replace('/', '_')[-40:]}").write_bytes(content)
        wrong = guarded(watch, getattr(targets, target), name, content)
        done[target] += 1
        if wrong:
            kind = re.sub(r"\d+", "N", f"{target}: {wrong}")[:120]
            if kind not in failed:
                print(f"case {i} {target} {name} ({len(content)} bytes): {wrong[:1000]}", flush=True)
            failed.setdefault(kind, []).append(i)
        if time.monotonic() > end:
            break
    for kind, numbers in failed.items():
        print(f"{len(numbers)} times, first in case {numbers[0]}: {kind!r}")
    print(f"fuzz: {done.total()} cases of seed {how.seed}, {sum(map(len, failed.values()))} failed; "
          + ", ".join(f"{target} {n}" for target, n in sorted(done.items())))  # fmt: skip
    return len(failed)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def guided(target: str, folder: Path) -> None:
    """atheris: inputs that grow by the code they reach. Runs until it finds something or is stopped."""
    import atheris

    with atheris.instrument_imports(include=["engine", "gasnet_app", "astropy.io.fits"]):
        targets = Targets(folder)
        cases = Cases(_made(folder / "seeds"), 0)
    seeds = next(seeds for name, _, seeds in cases.menu if name == target)
    corpus = _made(folder / "corpus")
    for name, content in seeds.items():
        (corpus / name).write_bytes(content)
    ending = Path(next(iter(seeds))).suffix
    watch = Watch(folder)

    def one(content: bytes) -> None:
        wrong = guarded(watch, getattr(targets, target), f"file{ending}", content)
        if wrong:
            raise AssertionError(wrong)

    atheris.Setup([sys.argv[0], f"{corpus}", "-max_len=200000", "-rss_limit_mb=4000", f"-timeout={SECONDS}"], one)
    atheris.Fuzz()


def main() -> None:
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--cases", type=int, default=2000)
    ask.add_argument("--seconds", type=float, default=3600.0, help="stop after this long, whatever is left")
    ask.add_argument("--seed", type=int, default=20240731)
    ask.add_argument("--case", type=int, help="this case alone")
    ask.add_argument("--keep", type=Path, help="with --case: write its file here")
    ask.add_argument("--atheris", metavar="TARGET", help="coverage-guided fuzzing of one target")
    how = ask.parse_args()
    sys.path.insert(0, f"{ROOT}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        if how.atheris:
            guided(how.atheris, Path(folder).resolve())
        else:
            sys.exit(fuzz(how, Path(folder).resolve()) > 0)


if __name__ == "__main__":
    main()
