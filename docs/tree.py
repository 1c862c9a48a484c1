"""Write the tree of `src/lungscope` into docs/architecture.md: python docs/tree.py (or `make format`).

Packages say here what they are for; their modules are listed as they are.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lungscope"
PAGE = ROOT / "docs" / "architecture.md"
WIDTH = 86
TREE = re.compile(r"(?<=```text\n)src/lungscope/\n.*?(?=\n```)", re.DOTALL)
MEANING = {
    "__init__.py": "the public names, loaded when they are used",
    "__main__.py": "python -m lungscope",
    "errors.py": "the error tree; imports nothing",
    "system": "files written whole or not at all, progress, work on all cores",
    "config": "recipes (TOML in, TOML out, strict) and their settings",
    "stats": "estimates, intervals, tests, calibration; NumPy and SciPy only",
    "data": "class folders or a CSV → images, labels, patients, splits",
    "data/audit": "what makes figures lie: copies, leakage, shortcuts, names",
    "data/images": "a file or bytes → 8-bit grey; the only place that reads pixels",
    "data/phantoms": "synthetic radiographs with known lesions, patients and hospitals",
    "runtime": "which engine and precision a machine uses; sessions",
    "bundle": "the model file: card, checksum, input check, validation, origin",
    "inference": "images → results: the one path of predict, score, serve and evaluate",
    "scoring": "`score`: millions of files into Parquet, resumable",
    "networks": "PyTorch: stem, backbones, head, exact Grad-CAM; network → graph",
    "training": "PyTorch: both phases, imbalance, hard examples, averages",
    "training/augment": "batched, seeded changes of images; style transfer",
    "export": "a bundle in another format, behind a parity check",
    "evaluation": "predictions and labels → typed measurements; numbers only",
    "evaluation/heatmaps": "whether heat maps are to be believed",
    "reports": "measurements → words, plots, HTML, JSON, CSV, cards, checklists",
    "reports/sections": "one topic of the report each",
    "experiments": "jobs: train, evaluate, compare, tune, robustness, release",
    "serve": "the service: uploads → batches → stored → answered",
    "serve/routes": "what is asked by HTTP",
    "serve/store": "SQLite or PostgreSQL; the audit log",
    "serve/store/migrations": "changes of its tables",
    "serve/store/migrations/versions": "one each",
    "api": "what is behind `import lungscope as ls`",
    "cli": "one command per file: its arguments and what it prints",
}
"""What each file and package is for; packages are shown in this order, the lowest first."""


def tree() -> str:
    """The package as it is on the disk."""
    packages = [str(path.parent.relative_to(PACKAGE)) for path in PACKAGE.rglob("__init__.py")]
    order = list(MEANING)
    if unknown := sorted(set(packages) - set(order) - {"."}):
        raise SystemExit(f"docs/tree.py: say in MEANING what {', '.join(unknown)} is for.")
    lines = ["src/lungscope/", *(f"  {path.name:<18} {MEANING[path.name]}" for path in sorted(PACKAGE.glob("*.py")))]
    for name in sorted(set(packages) - {"."}, key=order.index):
        lines += _package(name)
    return "\n".join(lines)


def _package(name: str) -> Iterator[str]:
    indent = "  " * (name.count("/") + 1)
    folder = name.rpartition("/")[2] + "/"
    yield f"{indent}{folder:<{20 - len(indent)}} {MEANING[name]}"
    modules = sorted(path.stem for path in (PACKAGE / name).glob("*.py") if path.stem != "__init__")
    inner = indent + "    "
    yield from textwrap.wrap(
        " · ".join(modules), WIDTH, initial_indent=inner, subsequent_indent=inner, break_on_hyphens=False
    )


if __name__ == "__main__":
    PAGE.write_text(TREE.sub(lambda _: tree(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
