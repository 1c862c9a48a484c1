"""What the examples promise can be done."""

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
