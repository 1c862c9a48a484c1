"""Run the graph without Lungscope: ONNX Runtime, Pillow and NumPy are enough.

    python examples/onnxruntime_alone.py runs/first/model.onnx x.png

The graph takes 8-bit grey images (N, S, S), air dark; normalisation, calibration and heat maps are inside it. Outside
are the reading of files (here a plain 8-bit picture; DICOM needs more), the operating points, which stand in the card,
and the words for why an image is not assessed.
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image


def main(model: str, image: str) -> None:
    """Print the probability of every class, and whether the default operating point flags the image."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    card = json.loads(session.get_modelmeta().custom_metadata_map["lungscope.card"])
    size, (entry,) = card["size"], session.get_inputs()
    with Image.open(image) as picture:
        grey = picture.convert("L").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0)
    probabilities, heatmaps = session.run(["probabilities", "heatmap"], {entry.name: np.asarray(grey)[None]})
    for name, p in zip(card["classes"], probabilities[0], strict=True):
        print(f"p({name}) = {p:.4f}")
    for point in card["operating_points"][:1]:
        flagged = 1 - probabilities[0, 0] >= point["threshold"]
        print(f"{'flagged' if flagged else 'not flagged'} at {point['name']} (p_abnormal ≥ {point['threshold']:.3f})")
    print(f"Heat maps of {heatmaps.shape[1]} classes, {heatmaps.shape[2]} × {heatmaps.shape[3]} cells.")
    print("Research use only. Not a medical device.")


if __name__ == "__main__":
    main(*sys.argv[1:])
