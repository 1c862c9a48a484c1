from pathlib import Path

import pytest

from lungscope.errors import OutputError
from lungscope.system.files import claim_folder, open_atomically, write_atomically


def test_a_file_appears_whole_in_a_new_folder(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "größer")
    assert (tmp_path / "a" / "b.txt").read_text(encoding="utf-8") == "größer"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


@pytest.mark.parametrize("durable", [False, True])
def test_a_failed_write_keeps_the_former_file(tmp_path: Path, durable: bool) -> None:
    path = tmp_path / "a.txt"
    path.write_text("former")

    def write() -> None:
        with open_atomically(path, durable=durable) as file:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device.* Choose a place with room"):
        write()
    assert path.read_text() == "former"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_an_empty_or_new_folder_is_claimed(tmp_path: Path) -> None:
    claim_folder(tmp_path / "new" / "run")
    claim_folder(tmp_path / "new" / "run")
    assert list((tmp_path / "new" / "run").iterdir()) == []


def test_a_former_run_is_emptied_only_when_forced(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("")
    (tmp_path / "model.onnx").write_text("")
    with pytest.raises(OutputError, match="not empty. Choose another --out, or pass --force"):
        claim_folder(tmp_path)
    claim_folder(tmp_path, force=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_never_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("three years")
    with pytest.raises(OutputError, match="not a run folder"):
        claim_folder(tmp_path, force=True)
    assert (tmp_path / "thesis.tex").exists()


def test_a_place_that_cannot_be_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        claim_folder(tmp_path / "file" / "run")
