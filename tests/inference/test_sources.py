import pytest

from lungscope.errors import ManifestError
from lungscope.inference.sources import find_sources


@pytest.mark.parametrize(("name", "message"), [("", "no image in this folder"), ("gone", "no such file or folder")])
def test_inputs_without_images_are_refused(tmp_path, name: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        find_sources([tmp_path / name])
