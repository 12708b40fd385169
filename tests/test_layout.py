"""The house rules of docs/architecture.md, held by a test: floors, doors, sizes, no side effect at import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ENGINE, APP = ROOT / "engine", ROOT / "gasnet_app"
SCREEN = {"panel", "holoviews", "bokeh", "panel_material_ui", "gasnet_app"}

# A module imports from its own floor or lower ones, and never in a circle. A new module needs a floor here.
FLOORS = (
    {"plain", "spectrum", "survey", "lines", "prediction", "identifiers"},
    {"readers", "archive", "grid", "resample", "networks", "device", "processes"},
    {
        "ensemble",
        "calibration",
        "outliers",
        "gradients",
        "explain",
        "fingerprint",
        "exemplars",
        "members",
        "naming",
        "whatif",
        "registry",
        "card",
        "versions",
        "plan",
        "trainer",
        "warmstart",
        "mock",
        "dataset",
        "metrics",
        "catalogue",
        "basis",
        "fitwindow",
        "templatefit",
        "population",
    },
    {"classify", "shards", "labelled", "validation", "calibrate", "train", "evaluate", "report", "experiments"},
    {"inspections", "jobs"},
    {"cli"},
)


def sources(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imported(path: Path) -> list[str]:
    """Every module a file imports, inside functions too; `from engine import x` reads as engine.x if x is a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            module = node.module or ""
            is_module = [(ROOT / module.replace(".", "/") / f"{alias.name}.py").is_file() for alias in node.names]
            found += [f"{module}.{a.name}" if here else module for a, here in zip(node.names, is_module, strict=True)]
    return found


def room(module: str) -> str:
    """The room of the engine that a module lies in: engine.readers.sdss -> readers."""
    return module.split(".")[1] if module.startswith("engine.") else ""


def floor(name: str) -> int:
    return next((i for i, rooms in enumerate(FLOORS) if name in rooms), -1)


def rooms() -> dict[str, set[str]]:
    """Room -> rooms it imports."""
    found: dict[str, set[str]] = {}
    for path in sources(ENGINE):
        name = path.relative_to(ENGINE).parts[0].removesuffix(".py")
        if name != "__init__":  # the front door opens on every floor
            found.setdefault(name, set()).update(r for r in map(room, imported(path)) if r and r != name)
    return found


def test_every_room_of_the_engine_has_a_floor():
    assert {name for name in rooms() if floor(name) < 0} == set()


def test_imports_only_go_down():
    up = [
        f"{name} imports {other}" for name, others in rooms().items() for other in others if floor(other) > floor(name)
    ]
    assert up == []


def test_no_imports_go_in_a_circle():
    left = rooms()
    while free := [name for name, others in left.items() if not others & left.keys()]:
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


def test_the_engine_knows_no_screen_but_for_two_pages_that_commands_write():
    """`gasnet evaluate --report` and `gasnet report` hand what they found to a page's writer, inside one function."""
    pages = {
        ("engine/cli/measures.py", "gasnet_app.evaluation_page"),
        ("engine/cli/sharing.py", "gasnet_app.object_page"),
    }
    known = {(name_of(p), m) for p in sources(ENGINE) for m in imported(p) if m.split(".")[0] in SCREEN}
    assert known == pages
    for path, _ in pages:
        at_import = [n for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, ast.ImportFrom)]
        assert [n.module for n in at_import if (n.module or "").startswith("gasnet_app")] == []


def test_the_screen_knows_the_engines_front_door_only():
    doors = {"engine", "engine.jobs", "engine.inspections"}
    through = {(name_of(p), m) for p in sources(APP) for m in imported(p) if m.split(".")[0] == "engine"}
    assert {(where, module) for where, module in through if module not in doors} == set()


@pytest.mark.parametrize("path", sources(ENGINE, APP), ids=name_of)
def test_files_and_functions_are_short(path):
    text = path.read_text()
    assert text.count("\n") <= 350
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert [f.name for f in functions if (f.end_lineno or 0) - f.lineno > 60] == []


@pytest.mark.parametrize("path", sources(ENGINE, APP), ids=name_of)
def test_what_is_public_has_a_docstring_and_annotations(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree) or path == APP / "main.py", "the module has no docstring"
    scopes = [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef) and not n.name.startswith("_"))]
    public = [
        node
        for scope in scopes
        for node in scope.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
    ]
    assert [node.name for node in public if not ast.get_docstring(node)] == []
    functions = [node for node in public if not isinstance(node, ast.ClassDef)]
    assert [f.name for f in functions if f.returns is None] == []


def test_there_are_no_junk_drawers():
    junk = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [name_of(path) for path in sources(ENGINE, APP) if path.stem in junk or path.parent.name in junk] == []


def test_importing_has_no_side_effect(tmp_path):
    """Every module but the page's entry, in a fresh interpreter: no output, no file, no seed, no thread count."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources(ENGINE, APP)
        if path != APP / "main.py"
    ]
    program = f"""
import importlib, random, numpy, torch, typer
import rich.console, rich.table  # rich draws a random number when imported
state = lambda: (random.getstate(), numpy.random.get_state()[1].tolist(), torch.initial_seed(), torch.get_num_threads())
before = state()
for name in {modules!r}:
    importlib.import_module(name)
assert before == state(), "importing changed a random state or the number of threads"
"""
    environment = {
        "PYTHONPATH": str(ROOT),
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == []


def test_the_product_names_no_path_of_the_machine_it_was_written_on():
    outside = ("../" + "shared", str(ROOT.parent) + "/")
    suffixes = {".py", ".toml", ".md", ".csv", ".json", ".js", ".css", ".yml", ""}
    product = [ROOT / name for name in ("README.md", "CHANGELOG.md", "pyproject.toml", "Makefile", ".ci/run")]
    for folder in (ENGINE, APP, ROOT / "assets", ROOT / "docs", ROOT / "benchmarks"):
        product += [path for path in folder.rglob("*") if path.suffix in suffixes]
    named = [name_of(path) for path in product if path.is_file() and any(o in path.read_text() for o in outside)]
    assert named == []
