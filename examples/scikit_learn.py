"""Measure a model of another framework: here a logistic regression of scikit-learn on very small pictures.

    python examples/scikit_learn.py chest_xray report.html

Lungscope reads the images and splits them by patient; scikit-learn learns; Lungscope measures. A network of torchvision
is measured in the same way: the softmax of its outputs are the probabilities, and `data.torch("train")` its images.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lungscope as ls


def main(folder: str, report: str) -> None:
    """Fit on the training split, measure on the test split."""
    data = ls.load_dataset(folder)
    pictures = np.stack([ls.read_image(row.path, size=32).pixels.ravel() for row in data.rows]).astype(np.float64)
    train, test = (np.array(data.splits) == split for split in ("train", "test"))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
    model.fit(pictures[train], data.labels[train])
    found = ls.evaluate(
        data.labels[test],
        model.predict_proba(pictures[test]),
        patients=np.array(data.patients)[test],
        classes=data.classes,
    )
    print(found)
    print(f"Report: {found.report(report)}\nResearch use only. Not a medical device.")


if __name__ == "__main__":
    main(*sys.argv[1:])
