"""What README, documentation and docstrings show is what happens: their Python and their commands are run.

They run page by page, in order, in a folder that has what the pages speak of: `chest_xray` and `other_hospital`
(phantoms), `new`, `study` (DICOM), `photographs`, `x.jpeg`, and two small trained runs. Trainings are made small by
settings that are appended to the command. What cannot run here says why in a comment above it, and is held against
the command line all the same.
"""

import ast
import doctest
import glob
import importlib.util
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

from lungscope.cli.app import app, main
from lungscope.config.recipe import load_recipe
from lungscope.data.phantoms.phantom import write_phantoms
from tests.contract.docs_blocks import PAGES, ROOT, SHELLS, Block, blocks
from tests.contract.test_same_answer import as_dicom

BLOCKS = [block for page in PAGES for block in blocks(page)]
RUN_PAGES = sorted({str(block.page.relative_to(ROOT)) for block in BLOCKS if block.is_run})
COMMANDS = typer.main.get_command(app).commands
SOURCES = sorted((ROOT / "src").rglob("*.py"))
SMALL = ("network.backbone=cnn-4-8", "image.size=32", "head.augmented_views=2", "finetune.frozen_batchnorm=false")
TRAIN = ("train", "compare", "strata")
NOT_RUN = {
    "demo": "trains on 400 phantoms; `make demo` is run by hand",
    "bench": "measures for minutes",
    "tune": "many trainings",
    "release": "needs a model that was trained in all layers on real images",
    "serve": "a server that runs until it is stopped",
    "export": "int8 changes a model as small as that of the tests too much, and is refused",
    "score": "its example is an object store",
    "ensemble": "its example names the runs of a comparison",
    "robustness": "its example trains again without each part",
}
"""Commands whose example in `--help` is not run, and why."""


# Running


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every page finds in its folder."""
    folder = tmp_path_factory.mktemp("docs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGSCOPE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        _draw(folder)
        patch.chdir(folder)
        for seed, name in enumerate(("first", "second")):
            run_command(["lungscope", "train", "chest_xray", "--out", f"runs/{name}", "--set", f"seed={seed}"])
    return folder


def _draw(folder: Path) -> None:
    phantoms = write_phantoms(folder / "phantoms", patients=60, seed=0, size=64)
    for path in list(phantoms.rglob("*.jpeg")):
        patient = int(re.findall(r"\d+", path.name)[0])
        split = ("train", "train", "train", "val", "test")[patient % 5]
        (folder / "chest_xray" / split / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(folder / "chest_xray" / split / path.parent.name / path.name)
    shutil.rmtree(phantoms)
    write_phantoms(folder / "other_hospital", patients=20, seed=1, size=64)
    for name in ("new", "study", "photographs", "runs"):
        (folder / name).mkdir()
    for number, path in enumerate(sorted((folder / "chest_xray" / "test").rglob("*.jpeg"))[-6:]):
        shutil.copy(path, folder / "new" / f"{'abcdef'[number]}.jpeg")
    shutil.copy(folder / "new" / "a.jpeg", folder / "x.jpeg")
    with Image.open(folder / "x.jpeg") as picture:
        pixels = np.asarray(picture.convert("L"))
    Image.fromarray(pixels).save(folder / "x.png")
    as_dicom(pixels, folder / "study" / "0001")
    rng = np.random.default_rng(0)
    for number in range(4):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photographs" / f"{number}.png")
    rows = (f"{label},{p:.2f}\n" for label in ("NORMAL", "PNEUMONIA") for p in rng.random(20))
    (folder / "scores.csv").write_text("label,PNEUMONIA\n" + "".join(rows))
    (folder / "list.csv").write_text("path\n" + "".join(f"new/{name}.jpeg\n" for name in "abc"))


def run_command(words: list[str]) -> None:
    """Run one command as a shell does: names with * are expanded, and a status other than 0 fails.

    Raises:
        AssertionError: it is no command that a test can run, or it failed.
    """
    assert words[0] == "lungscope", f"{words[0]!r} cannot be run here: say why above the block, '<!-- not run: ... -->'"
    words = [name for word in words for name in (sorted(glob.glob(word)) if "*" in word else [word])]
    if words[1] in TRAIN:
        words += small(words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        assert _status() == 0, " ".join(words)


def _status() -> object:
    try:
        main()
    except SystemExit as stop:
        return stop.code or 0
    return 0


def small(words: list[str]) -> list[str]:
    """Options to append so that a training takes a second: the last of an option that is given twice counts."""
    named = words[words.index("--recipe") + 1] if "--recipe" in words else "default"
    named = words[words.index("--recipes") + 1].split(",")[0] if "--recipes" in words else named
    recipe = load_recipe(named)
    epochs = (f"head.epochs={min(2, recipe.head.epochs)}", f"finetune.epochs={min(2, recipe.finetune.epochs)}")
    options = ["--weights", "none", *(["--force"] if words[1] == "train" else [])]
    return options + [word for setting in (*SMALL, *epochs) for word in ("--set", setting)]


def small_train(data, recipe="default", **options):
    """`lungscope.train` as the docs call it, with the settings of `small`."""
    from lungscope.api.training import train

    pairs = (setting.split("=") for setting in small(["lungscope", "compare", "--recipe", recipe])[3::2])
    settings = {name: value if name == "network.backbone" else json.loads(value) for name, value in pairs}
    return train(data, recipe, **{**options, "weights": "none", "settings": settings})


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN_PAGES, ids=str)
def test_what_a_page_shows_runs(page: str, world: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(world.parent / "cache"))
    shown = [block for block in BLOCKS if block.is_run and block.page == ROOT / page]
    if any("ls.train(" in block.text for block in shown):
        import lungscope

        monkeypatch.setattr(lungscope, "train", small_train)
    names: dict[str, object] = {}
    for block in shown:
        if block.language == "python":
            exec(compile(block.text, block.where, "exec"), names)
        else:
            for words in block.commands():
                run_command(words)


# Parsing what is not run


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language in SHELLS], ids=lambda block: block.where)
def test_commands_and_their_options_exist(block: Block) -> None:
    for words in block.commands():
        if words[0] == "lungscope":
            check_command(words[1:])
        elif words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), words


def check_command(words: list[str]) -> None:
    """Hold a command against the command line: its name, options, what they take, and the settings of a recipe."""
    name, *rest = words
    assert name in COMMANDS, f"no command {name!r}"
    given = COMMANDS[name].make_context(name, list(rest)).params
    recipe = str(given.get("recipe") or "default")
    load_recipe("default" if recipe.endswith(".toml") else recipe, given.get("overrides") or ())


def test_an_option_that_does_not_exist_is_found() -> None:
    for wrong in ("predict x.jpeg --heat", "train chest_xray --set head.epoch=3", "forecast x.jpeg"):
        with pytest.raises(Exception, match="No such option|head.epoch|no command"):
            check_command(wrong.split())


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "python"], ids=lambda block: block.where)
def test_python_that_is_not_run_is_python(block: Block) -> None:
    ast.parse(block.text)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.where)
def test_a_block_names_its_language(block: Block) -> None:
    assert block.language in ("python", *SHELLS, "text", "toml", "json"), block.where
    if block.language == "text":
        assert not re.search(r"^(\$ |lungscope |import )", block.text, re.MULTILINE), block.where


# Docstrings


def examples() -> Iterator[tuple[str, list[str]]]:
    """Every command that `--help` gives as an example."""
    for name, command in COMMANDS.items():
        for text in (command.help or "").split("Example:")[1:]:
            for line in re.split(r"&&|, then:", " ".join(text.split())):
                yield name, Block(ROOT, 0, "sh", line.strip(), "").commands()[0]


@pytest.mark.parametrize(
    ("name", "words"), list(examples()), ids=lambda value: value if isinstance(value, str) else " "
)
def test_the_example_of_a_command_is_one(name: str, words: list[str]) -> None:
    assert words[0] == "lungscope"
    check_command(words[1:])


def test_every_command_has_an_example() -> None:
    assert {name for name, _ in examples()} == set(COMMANDS)


@pytest.mark.slow
def test_the_examples_of_commands_run(world: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(world.parent / "cache"))
    for name, words in examples():
        if name not in NOT_RUN:
            run_command(words)


def docstrings() -> Iterator[tuple[str, str]]:
    """Every docstring of the package that shows Python, with its place."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                text = ast.get_docstring(node) or ""
                if ">>>" in text or "```" in text:
                    yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 1)}", text


def test_the_examples_in_docstrings_run(world: Path, tmp_path: Path, monkeypatch) -> None:
    shutil.copytree(world, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUNGSCOPE_CACHE", str(world.parent / "cache"))
    for where, text in docstrings():
        test = doctest.DocTestParser().get_doctest(text, {}, where, where, 0)
        outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test)
        assert not outcome.failed, where
        for fenced in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            exec(compile(fenced, where, "exec"), {})


# The pages as a whole


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


OLD_WORDS = (
    "abstention", "contests?", "declined?", "gated?", "hidden sites", "in the box", "mend", "misjudged", "re?sealed",
    "seal(ed)?", "soup", "suspicion", "--far", "lungscope (stress|sites|bundle)", "statistics = .kept",
)  # fmt: skip
"""Words of our own that the terms of the field have replaced; the glossary has those."""


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_use_the_terms_of_the_field(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.findall(rf"(?i)(?<![\w`])(?:{'|'.join(OLD_WORDS)})\b", text)


def test_architecture_shows_the_tree_as_it_is() -> None:
    spec = importlib.util.spec_from_file_location("tree", ROOT / "docs" / "tree.py")
    assert spec
    assert spec.loader
    tree = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tree)
    page = tree.PAGE.read_text(encoding="utf-8")
    assert tree.TREE.search(page)[0] == tree.tree(), "run: python docs/tree.py"
    for path in re.findall(r"`((?:\w+/)+\w+\.py)`", page):
        assert (tree.PACKAGE / path).exists() or (ROOT / path).exists(), path
