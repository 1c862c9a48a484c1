"""Imports go downward only, and none of the entry points needs PyTorch."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "lungscope"
GROUND = {"errors", "config", "system"}
MODEL = {*GROUND, "stats", "data", "runtime", "bundle"}
BELOW_THE_TOP = {
    *MODEL, "inference", "scoring", "networks", "training", "evaluation", "reports", "export", "experiments", "serve",
}  # fmt: skip
MAY_IMPORT = {
    "errors": set(),
    "system": {"errors"},
    "config": {"errors"},
    "stats": {"errors"},
    "data": {*GROUND, "stats"},
    "runtime": {"errors"},
    "bundle": {*GROUND, "stats", "data", "runtime"},
    "inference": MODEL,
    "scoring": {*MODEL, "inference"},
    "networks": MODEL,
    "training": {*MODEL, "networks"},
    "evaluation": {*MODEL, "inference"},
    "reports": {*MODEL, "inference", "evaluation"},
    "export": {*MODEL, "inference", "networks"},
    "experiments": {*MODEL, "inference", "networks", "training", "evaluation", "reports", "export"},
    "serve": {*MODEL, "inference"},
    "api": BELOW_THE_TOP,
    "cli": {*BELOW_THE_TOP, "api"},
    "__init__": {"errors", "stats", "api"},
    "__main__": {"cli"},
}
HEAVY = (
    "torch", "scipy", "sklearn", "matplotlib", "pydantic", "pydicom", "openvino", "pandas", "jinja2", "pyarrow",
    "tomllib", "multiprocessing",
)  # fmt: skip
"""What no prediction of a JPEG or PNG file needs, and would make it slow to start."""
TORCH_PACKAGES = {"torch", "torchvision", "timm", "lightning_fabric"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """All that a file imports: in functions too, and for types alone, since what a type needs is needed as well."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_downward(path: Path) -> None:
    above = {
        name
        for name in imported(path)
        if name.startswith("lungscope.")
        and name.split(".")[1] not in MAY_IMPORT[layer(path)] | {layer(path), "__version__"}
    }
    assert not above


def test_no_import_goes_round_in_a_circle() -> None:
    files = {".".join(("lungscope", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in modules()}
    graph = {name: (imported(path) & files.keys()) - {name} for name, path in files.items()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules
    packages: dict[str, set[str]] = {}
    for name, needed in graph.items():
        own = name.split(".")[1]
        packages.setdefault(own, set()).update({other.split(".")[1] for other in needed} - {own})
    assert packages["experiments"] > {"training", "networks"}  # lazy ones are seen
    TopologicalSorter(packages).prepare()


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if layer(path) not in {"cli", "__main__"}],
    ids=lambda path: str(path.relative_to(SOURCE)),
)
def test_library_code_neither_prints_nor_exits_nor_takes_any_options(path: Path) -> None:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and node.id in {"print", "exit", "quit", "SystemExit"}:
            found.append(node.id)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.exit", "os._exit"}:
            found.append(ast.unparse(node))
        if isinstance(node, ast.arguments) and node.kwarg and "Any" in ast.unparse(node.kwarg):
            found.append(f"**{ast.unparse(node.kwarg)}")
    assert not found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_only_training_imports_pytorch(path: Path) -> None:
    if layer(path) in {"networks", "training", "experiments", "export"}:
        return
    found = {name.split(".")[0] for name in imported(path)} & TORCH_PACKAGES
    assert not found


def test_package_files_are_empty_but_those_of_public_names() -> None:
    public = {SOURCE, SOURCE / "stats"}
    found = [path for path in SOURCE.rglob("__init__.py") if path.parent not in public and path.read_text()]
    assert found == []


def test_modules_stay_short() -> None:
    long = {str(path.relative_to(SOURCE)): n for path in modules() if (n := len(path.read_text().splitlines())) > 350}
    assert not long


@pytest.mark.parametrize(
    "module",
    ["lungscope.cli.app", "lungscope.cli.predict", "lungscope.inference.result_table", "lungscope.inference.predictor"],
)
def test_the_way_to_a_prediction_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*[name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("options", [[], ["--out", "rows.csv", "--heatmaps", "heat"], ["--out", "rows.jsonl"]])
def test_a_prediction_loads_nothing_heavy(
    checked_model: Path, pictures: list[Path], tmp_path: Path, options: list[str]
) -> None:
    """To its end, since much is imported where it is first used; only Typer itself loads pydantic."""
    heavy = [name for name in HEAVY if name != "pydantic"]
    code = f"""
import atexit, sys
from lungscope.cli.app import main
atexit.register(lambda: print("loaded:", *[name for name in {heavy!r} if name in sys.modules], file=sys.stderr))
sys.argv = ["lungscope", "predict", {str(pictures[0])!r}, "--model", {str(checked_model)!r}, *{options!r}]
main()
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert found.stderr.splitlines()[-1] == "loaded:"


@pytest.mark.parametrize(
    "path", [path for path in modules() if layer(path) != "cli"], ids=lambda path: str(path.relative_to(SOURCE))
)
def test_functions_stay_short_and_take_few_arguments(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            n = len(given) - (given[:1] != [] and given[0].arg in ("self", "cls"))
            assert node.end_lineno - node.lineno < 50, node.name
            assert n <= 7, node.name
