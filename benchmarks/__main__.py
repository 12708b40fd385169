"""python -m benchmarks [TABLE] [ARGUMENTS]: measure one table of docs/benchmarks.md. Without a table: speed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

# Table: the module whose main(arguments) prints it, imported when asked for, as their dependencies differ.
TABLES = {
    "speed": "benchmarks.waits",
    "networks": "benchmarks.networks",
    "peers": "benchmarks.peers",
    "realism": "benchmarks.realism",
    "crosscheck": "benchmarks.crosscheck",
    "uncertainty": "benchmarks.uncertainty",
    "outliers": "benchmarks.outliers",
    "finetune": "benchmarks.finetune",
    "minutes": "benchmarks.minutes",
    "whatif": "benchmarks.whatif",
    "explorer": "benchmarks.explorer",
    "load": "benchmarks.load",
}


def main(arguments: Sequence[str]) -> None:
    """Run the table that the first argument names; if it names none, all arguments are those of speed."""
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"{__doc__}\nTables: {', '.join(TABLES)}. Each of them has --help but speed, which takes [MODEL].")
        return
    named = bool(arguments) and arguments[0] in TABLES
    table = arguments[0] if named else "speed"
    import_module(TABLES[table]).main(list(arguments[1:] if named else arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
