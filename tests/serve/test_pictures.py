import io

import numpy as np
import pytest
from PIL import Image

from lungscope.serve.pictures import HEATMAP_SIDE, heat_layer, radiograph
from lungscope.serve.pipeline import grey_png


def layer(heatmap: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(heat_layer(heatmap, width, height))))


def test_a_layer_is_opaque_where_hottest_and_transparent_without_heat() -> None:
    heatmap = np.zeros((5, 5), np.float16)
    heatmap[0, 4] = 3
    drawn = layer(heatmap, 100, 80)
    assert drawn.shape == (80, 100, 4)
    assert drawn[0, -1, 3] == 255
    assert drawn[-1, 0, 3] == 0


def test_no_heat_is_a_transparent_layer() -> None:
    assert layer(np.zeros((5, 5), np.float16), 60, 40)[:, :, 3].max() == 0


@pytest.mark.parametrize(("width", "height"), [(4000, 2000), (1, 100_000_000)])
def test_a_layer_is_of_bounded_size_and_of_the_pictures_shape(width: int, height: int) -> None:
    drawn = layer(np.ones((5, 5), np.float16), width, height)
    assert max(drawn.shape[:2]) == HEATMAP_SIDE
    assert drawn.shape[1] == max(1, round(width * HEATMAP_SIDE / max(width, height)))


def test_a_radiograph_is_shrunk_and_never_enlarged() -> None:
    png = grey_png(np.random.default_rng(0).integers(0, 256, (120, 90), np.uint8))
    assert radiograph(png, None).shape == (120, 90)
    assert radiograph(png, 60).shape == (60, 45)
    assert radiograph(png, 500).shape == (120, 90)
