"""What the README and the examples promise can be done."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_example_prints_the_most_suspicious_first(model: Path, pictures: list[Path]) -> None:
    command = [sys.executable, ROOT / "examples" / "predict_folder.py", model, pictures[0].parent]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    *rows, last = done.stdout.splitlines()
    p_abnormals = [float(row.split()[0]) for row in rows]
    assert len(rows) == len(pictures)
    assert p_abnormals == sorted(p_abnormals, reverse=True)
    assert last.startswith("Research use only")


def test_every_command_of_the_readme_exists_with_its_options() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"^lungscope ([a-z-]+)(.*?)(?:#.*)?$", readme, re.MULTILINE)
    assert len(commands) >= 5
    for name, rest in commands:
        arguments = [sys.executable, "-m", "lungscope", name, "--help"]
        done = subprocess.run(arguments, capture_output=True, text=True, env={"COLUMNS": "200"})
        assert done.returncode == 0, name
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in done.stdout, f"{name} {option}"


def test_every_target_of_the_readme_is_in_the_makefile() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make ([a-z]+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_links_and_pictures_of_the_documents_exist() -> None:
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert link.startswith("https://") or (document.parent / link).exists(), (
                f"{document.name}: {link}"
            )
