"""The command that makes the basis of the template fit: basis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from engine.cli.terminal import TemplatesOption, app, print_table, say


@app.command()
def basis(
    out: Annotated[Path, typer.Option("--out", help="Folder for basis.safetensors and its card.")],
    templates: TemplatesOption = None,
) -> None:
    """Make the rest-frame basis of the template fit from the project's own mock spectra; the same bytes each time."""
    from engine.mock.components import make_bases

    card = make_bases(out, templates)
    keys = ("name", "spectra", "components", "variance explained", "misfit")
    print_table(keys, [tuple(str(entry[key]) for key in keys) for entry in card["bases"]], str(out))
    say(f"basis in {out}, sha256 {card['sha256'][:12]}")
