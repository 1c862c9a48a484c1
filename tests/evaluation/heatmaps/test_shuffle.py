"""Shuffled weights: the same numbers in other places, only where the heat map comes from, and the bundle untouched."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from lungscope.bundle.bundle import Bundle, load_bundle
from lungscope.errors import BundleError
from lungscope.evaluation.heatmaps.shuffle import shuffle_weights
from lungscope.inference.predictor import Predictor


@pytest.fixture(scope="module")
def bundle(model: Path) -> Bundle:
    return load_bundle(model)


def weights(bundle: Bundle) -> dict[str, NDArray[np.float32]]:
    """As the onnx library reads them, which the code under test does not use."""
    graph = onnx.load_from_string(bundle.graph).graph
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def changed(a: Bundle, b: Bundle) -> set[str]:
    before, after = weights(a), weights(b)
    return {name for name in before if not np.array_equal(before[name], after[name])}


def test_the_head_alone_is_shuffled_at_share_zero(bundle: Bundle) -> None:
    names = changed(bundle, shuffle_weights(bundle, 0.0, seed=0))
    assert names
    assert all(name.startswith("tail/") for name in names)


def test_every_layer_is_shuffled_at_share_one_and_norms_and_biases_stay(bundle: Bundle) -> None:
    names = changed(bundle, shuffle_weights(bundle, 1.0, seed=0))
    kernels = {
        name for name, values in weights(bundle).items() if "conv" in name and values.ndim == 4 and values.size > 9
    }
    assert kernels <= names
    assert all(weights(bundle)[name].ndim > 1 for name in names)


def test_the_deepest_layers_come_first(bundle: Bundle) -> None:
    names = changed(bundle, shuffle_weights(bundle, 0.1, seed=0))
    assert any("conv_head" in name for name in names)
    assert not any("conv_stem" in name for name in names)


def test_the_numbers_of_a_layer_stay_the_same(bundle: Bundle) -> None:
    before, after = weights(bundle), weights(shuffle_weights(bundle, 1.0, seed=0))
    for name, values in before.items():
        np.testing.assert_array_equal(np.sort(values, axis=None), np.sort(after[name], axis=None))


def test_the_same_seed_shuffles_alike_and_another_otherwise(bundle: Bundle) -> None:
    first, again, other = (shuffle_weights(bundle, 0.0, seed=seed).graph for seed in (3, 3, 4))
    assert first == again != other


def test_the_bundle_itself_is_left_alone(bundle: Bundle, model: Path) -> None:
    shuffle_weights(bundle, 1.0, seed=0)
    assert bundle.graph == model.read_bytes()


def test_a_shuffled_bundle_predicts_and_its_maps_differ(bundle: Bundle) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    maps = [Predictor(each).predict(pixels).heatmaps for each in (bundle, shuffle_weights(bundle, 0.0, seed=0))]
    assert maps[0] is not None
    assert maps[1] is not None
    assert maps[0].shape == maps[1].shape
    assert not np.allclose(maps[0], maps[1])


def test_what_the_heat_map_does_not_depend_on_stays(bundle: Bundle) -> None:
    graph = onnx.load_from_string(bundle.graph)
    beside = np.arange(6, dtype=np.float32).reshape(2, 3)
    graph.graph.initializer.append(numpy_helper.from_array(beside, "beside"))
    graph.graph.node.append(onnx.helper.make_node("Identity", ["beside"], ["elsewhere"]))
    with_more = replace(bundle, graph=graph.SerializeToString())
    assert "beside" not in changed(with_more, shuffle_weights(with_more, 1.0, seed=0))


def test_a_graph_without_weights_is_refused(bundle: Bundle) -> None:
    empty = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
    with pytest.raises(BundleError, match="Export it again"):
        shuffle_weights(replace(bundle, graph=empty.SerializeToString()), 1.0, seed=0)
