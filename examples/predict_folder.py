"""Classify every radiograph below a folder with a trained model, from Python.

    python examples/predict_folder.py runs/first chest_xray/test

Needs only the base installation: no PyTorch.
"""

import sys
from pathlib import Path

from lungscope.bundle.bundle import load_bundle
from lungscope.data.images.radiograph import find_images
from lungscope.inference.predictor import Predictor


def main(model: Path, folder: Path) -> None:
    """Print the p_abnormal of every image, the most suspicious first."""
    predictor = Predictor(load_bundle(model))
    readings = list(predictor.assess_files(find_images(folder)))
    failed = [reading for reading in readings if reading.decision is None]
    read = [(reading.decision.p_abnormal, reading) for reading in readings if reading.decision]
    for p_abnormal, reading in sorted(read, key=lambda pair: -pair[0]):
        print(f"{p_abnormal:.3f}  {reading.source}")
    for reading in failed:
        print(f"failed  {reading.error}")
    print("Research use only. Not a medical device.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
