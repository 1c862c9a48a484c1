"""What the export command prints."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.console import Console

from lungscope.cli.show import plain_table

if TYPE_CHECKING:
    from lungscope.export.run import Exported


def exported(done: "Exported", *, as_json: bool = False) -> None:
    """Print what was written, how far it is from the original, and what it brings on this machine."""
    if as_json:
        print(json.dumps({**asdict(done), "path": str(done.path)}, indent=2))
        return
    console, export = Console(highlight=False), done.export
    console.print(f"{done.path}: {export.made_by}", soft_wrap=True)
    if found := export.agreement:
        console.print(f"Held against the original on {found.images} images ({done.source}):", soft_wrap=True)
        table = plain_table("difference", "found", "accepted")
        for row in _differences(done):
            table.add_row(*row)
        console.print(table)
    table = plain_table("on this machine", "original", "export")
    before, after = done.original_speed, done.speed
    table.add_row("engine", before.engine, after.engine)
    table.add_row("size", f"{done.original_bytes / 1e6:.1f} MB", f"{done.bytes / 1e6:.1f} MB")
    table.add_row("many images", f"{before.images_per_s:.0f}/s", f"{after.images_per_s:.0f}/s")
    table.add_row("one image", f"{before.milliseconds:.1f} ms", f"{after.milliseconds:.1f} ms")
    console.print("", table)
    console.print(f"sha256 {done.sha256}", soft_wrap=True)


def _differences(done: "Exported") -> list[tuple[str, str, str]]:
    from lungscope.export.parity import TOLERANCES, flips_accepted

    found, allowed = done.export.agreement, TOLERANCES[done.export.precision]
    if found is None:
        return []
    most = str(flips_accepted(done.export.precision, found.images))
    return [
        ("largest |Δp|", f"{found.largest_difference:.2g}", f"{allowed.probability:g}"),
        *((f"decisions flipped, {each.decision}", str(each.images), most) for each in found.flips),
        (f"AUROC, now {found.auroc:.4f}", f"{found.auroc_difference:+.4f}", f"±{allowed.auroc:g}"),
        ("heat maps, relative", f"{found.of('heatmap'):.2g}", f"{allowed.heatmap:g}"),
        *(
            (f"{each.output}, relative", f"{each.relative:.2g}", "–")
            for each in found.outputs
            if each.output not in ("heatmap", "probabilities")
        ),
    ]
