"""A model or a cache from somebody else must not be able to run code: nothing is ever unpickled."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "lungscope"
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}


def offences(text: str) -> list[str]:
    """Imports of unpicklers, `torch.load` without weights_only=True, and `allow_pickle` that is not False."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [each.name for each in node.names if each.name.split(".")[0] in UNPICKLERS]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLERS:
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            if given.get("allow_pickle", "False") != "False":
                found.append("allow_pickle")
            if ast.unparse(node.func) == "torch.load" and given.get("weights_only") != "True":
                found.append("torch.load")
            if ast.unparse(node.func).endswith(("read_pickle", "torch.package.PackageImporter")):
                found.append(ast.unparse(node.func))
    return found


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_nothing_is_unpickled(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "pandas.read_pickle(path)",
    ],
)
def test_what_unpickles_is_found(line: str) -> None:
    assert offences(line)


@pytest.mark.parametrize("line", ["torch.load(path, weights_only=True)", "np.load(path, allow_pickle=False)"])
def test_what_does_not_is_not(line: str) -> None:
    assert offences(line) == []
