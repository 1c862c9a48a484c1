"""The transfer-learning pipeline of published Keras notebooks. Run by `lungscope bench` where TensorFlow is.

`image_dataset_from_directory`, pixels to 0..1, ImageNet backbone without its top → global average pooling →
dense 512 ReLU → dropout → 1 sigmoid, Adam 1e-3, binary cross-entropy, batch 32. The same jobs and the same turns
as `plain_torch.py`. Weights are random, which does not change the speed.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

BATCH = 32
BACKBONES = {"mobilenetv2_100": "MobileNetV2", "resnet50": "ResNet50"}


def main() -> None:
    """Take turns at the job named on the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=["train", "train-head", "predict", "one"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    model = build(given)
    jobs = {"train": train, "train-head": train, "predict": predict, "one": one}
    turns = jobs[given.job](model, given)
    next(turns)  # builds the graph
    print("{}", flush=True)
    for _ in sys.stdin:
        print(json.dumps(next(turns)), flush=True)


def build(given: argparse.Namespace) -> Any:
    """Backbone and head, compiled."""
    layers, shape = tf.keras.layers, (given.size, given.size, 3)
    backbone = getattr(tf.keras.applications, BACKBONES[given.backbone])(
        include_top=False, weights=None, input_shape=shape
    )
    backbone.trainable = given.job != "train-head"
    model = tf.keras.Sequential(
        [
            layers.Input(shape),
            layers.Rescaling(1 / 255),
            backbone,
            layers.GlobalAveragePooling2D(),
            layers.Dense(512, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(tf.keras.optimizers.Adam(1e-3), "binary_crossentropy", metrics=["accuracy"])
    return model


def images(given: argparse.Namespace) -> Any:
    """Shuffled batches without end; read once, so that a turn begins in the middle of an epoch."""
    data = tf.keras.utils.image_dataset_from_directory(
        given.folder, labels="inferred", label_mode="binary", batch_size=BATCH,
        image_size=(given.size, given.size), verbose=False,
    )  # fmt: skip
    return iter(data.repeat())


def train(model: Any, given: argparse.Namespace) -> Iterator[dict[str, float]]:
    """Train all layers, or only the head."""
    data, seconds = images(given), 0.0
    while True:
        # Not counted: it fetches memory that was taken back while others had their turn.
        model.train_on_batch(*next(data))
        started, seen = time.perf_counter(), 0
        for x, y in data:
            model.train_on_batch(x, y)
            seen += len(x)
            if time.perf_counter() - started >= seconds:
                break
        yield {"images": seen, "seconds": time.perf_counter() - started}
        seconds = given.seconds


def predict(model: Any, given: argparse.Namespace) -> Iterator[dict[str, float]]:
    """From files to probabilities."""
    data, seconds = images(given), 0.0
    while True:
        model.predict_on_batch(next(data)[0])  # not counted, as in training
        started, seen = time.perf_counter(), 0
        for x, _ in data:
            seen += len(model.predict_on_batch(x))
            if time.perf_counter() - started >= seconds:
                break
        yield {"images": seen, "seconds": time.perf_counter() - started}
        seconds = given.seconds


def one(model: Any, given: argparse.Namespace) -> Iterator[dict[str, list[float]]]:
    """From one file to its probability, one after another, without a heat map."""
    paths = cycle(sorted(str(path) for path in given.folder.rglob("*.jp*g")))
    seconds = 0.5
    while True:
        times: list[float] = []
        began = time.perf_counter()
        while time.perf_counter() - began < seconds:
            started = time.perf_counter()
            image = tf.keras.utils.load_img(next(paths), target_size=(given.size, given.size))
            model.predict(tf.keras.utils.img_to_array(image)[None], verbose=0)
            times.append(1000 * (time.perf_counter() - started))
        yield {"ms": times}
        seconds = given.seconds


if __name__ == "__main__":
    main()
