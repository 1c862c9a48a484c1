"""Sort the DICOM files of a folder into a worklist: the likeliest to be abnormal first, what was not assessed last.

    python examples/dicom_folder.py study worklist.csv

Files need no suffix. Other modalities and views, photographs and turned images are not assessed, with the reason.
A third argument names a model; without it the bundled one is used. Needs only the base installation.
"""

import csv
import sys

import lungscope as ls


def main(folder: str, worklist: str, model: str | None = None) -> None:
    """Write one line per file."""
    results = ls.load_model(model).predict_files(folder, progress=True)
    order = sorted(results, key=lambda each: (each.finding is None, -(each.p_abnormal or 0)))
    with open(worklist, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["file", "finding", "p_abnormal", "why not"])
        for each in order:
            table.writerow([each.details.source, each.finding, each.p_abnormal, each.not_assessed or each.error])
    print(f"{results} → {worklist}\nResearch use only. Not a medical device.")


if __name__ == "__main__":
    main(*sys.argv[1:])
