"""Train and evaluate on a folder of your own images.

    python examples/own_data.py chest_xray runs/own

The folder holds one folder per class, or train/ val/ test/ above them. Further arguments name another recipe or TOML
file, and other weights than ImageNet's: "none" or a safetensors file. Needs `pip install 'lungscope[train]'`.
"""

import sys

import lungscope as ls


def main(folder: str, out: str, recipe: str = "default", weights: str = "imagenet") -> None:
    """Audit, train, and say what came of it."""
    data = ls.load_dataset(folder, progress=True)
    print(data)
    for finding in data.audit.findings:
        print(f"{finding.severity}: {finding.message}")
    run = ls.train(data, recipe, out=out, weights=weights, progress=True)
    print(f"AUROC {run.evaluation.auroc} on {run.evaluation.n} images of {run.evaluation.patients} patients")
    for each in run.evaluation.operating_points:
        print(f"{each.point.name}: sensitivity {each.estimates.sensitivity}, specificity {each.estimates.specificity}")
    print(f"Report: {run.report}\nResearch use only. Not a medical device.")


if __name__ == "__main__":
    main(*sys.argv[1:])
