"""The code blocks of the documentation, as the tests of it read them."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
SHELLS = ("sh", "bash", "console")
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n`]*$")
NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>.+) -->$")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    not_run: str
    """Why it cannot run in a test; empty where it can."""

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_run(self) -> bool:
        return not self.not_run and self.language in ("python", *SHELLS)

    def commands(self) -> list[list[str]]:
        """The words of each command of a shell block; of a console block, those after a `$`."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        words = [shlex.split(part, comments=True) for line in lines for part in line.split(" && ")]
        return [command for command in words if command]


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    start, above = None, ""
    for number, line in enumerate(lines):
        fence = FENCE.match(line)
        if fence and start is None:
            start, language = number, fence["language"]
        elif start is not None and line.strip() == "```":
            marked = NOT_RUN.match(above.strip())
            yield Block(
                page, start + 2, language, "\n".join(lines[start + 1 : number]), marked["reason"] if marked else ""
            )
            start = None
        elif start is None and line.strip():
            above = line
            continue
        if start is None:
            above = ""
