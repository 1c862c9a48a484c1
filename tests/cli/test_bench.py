"""`lungscope bench` where the scripts of the peers are not: in an installed package."""

import sys
from pathlib import Path


def test_without_a_checkout_it_says_in_one_line_what_to_do(refused, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not Path(each, "benchmarks").is_dir()])
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "editable" not in repr(each).lower()])
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    line = refused("bench", tmp_path)
    assert "Clone the repository" in line
    assert "pip install -e" in line
