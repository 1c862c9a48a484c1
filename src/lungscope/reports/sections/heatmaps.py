"""The checks of heat maps as a section of the report: what was found, in plain words, with pictures."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lungscope.data.lesions import Region
from lungscope.evaluation.heatmaps.cases import GRID, HeatCases, shares
from lungscope.evaluation.heatmaps.checks import HeatChecks, MarkedCases
from lungscope.evaluation.heatmaps.deletion import HeatCurves
from lungscope.evaluation.heatmaps.pointing import Pointing
from lungscope.evaluation.heatmaps.randomised import DRAWS, Randomisation
from lungscope.evaluation.heatmaps.regions import border
from lungscope.evaluation.skipped import Skipped
from lungscope.inference.overlay import overlay
from lungscope.reports.heatmap_plots import deletion_plot, insertion_plot
from lungscope.reports.section import Picture, Plot, Row, Section, SectionKey, Table
from lungscope.reports.sections.heatmap_warnings import heat_warnings
from lungscope.reports.summary import cell, decimal, percent
from lungscope.stats.estimate import Estimate

SHOWN = 4
"""Pictures of each kind."""
SIDE = 240


def heatmap_section(checks: HeatChecks) -> Section:
    """What the checks of heat maps found, with pictures."""
    tables = [_places(checks)]
    plots: list[Plot] = []
    if isinstance(checks.pointing, Pointing):
        tables.append(_pointing(checks.pointing))
    if isinstance(checks.curves, HeatCurves):
        tables.append(_curves(checks.curves))
        plots += _plots(checks.curves)
    if isinstance(checks.randomisation, Randomisation):
        tables.append(_randomisation(checks.randomisation))
    return Section(
        SectionKey.HEATMAPS,
        "Heat maps",
        " ".join(_lead(checks)),
        warnings=heat_warnings(checks),
        tables=tuple(tables),
        plots=tuple(plots),
        pictures=(*_border_pictures(checks.sample), *_marked_pictures(checks.marked)),
    )


def _lead(checks: HeatChecks) -> Iterator[str]:
    down, across = checks.grid
    yield (
        f"Does a heat map show what decides? These have {down} × {across} cells, so nothing smaller than a "
        f"{_part(min(down, across))} of the picture's side can be told apart on them, however smooth they look."
    )
    yield from _verdicts(checks)
    for name, found in (
        ("The pointing game does not apply", checks.pointing),
        ("Deletion and insertion do not apply", checks.curves),
        ("The test with shuffled weights does not apply", checks.randomisation),
    ):
        if isinstance(found, Skipped):
            yield f"{name}: {found.reason.rstrip('.')}."
    yield f"Samples are drawn at random with seed {checks.seed}; maps are of the class called unless said otherwise."


def _part(cells: int) -> str:
    words = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth"}
    return words.get(cells, f"{cells}th part")


def _verdicts(checks: HeatChecks) -> Iterator[str]:
    if isinstance(checks.pointing, Pointing):
        found = checks.pointing
        yield (
            f"Where disease was marked, the hottest point is inside on {percent(found.own.hits.value or 0)} of the "
            f"images; chance is {percent(found.area.value or 0)}."
        )
    if isinstance(checks.curves, HeatCurves):
        verdict = _compared(checks.curves.over_random)
        centre = _compared(checks.curves.over_centre)
        yield (
            f"Taking away the hottest places first moves the decision {verdict} random ones, and {centre} what lies "
            "in the middle of the picture."
        )
    if isinstance(checks.randomisation, Randomisation):
        whole = checks.randomisation.stages[-1].spearman.value or 0.0
        yield (
            "With all weights shuffled the maps change, as they should."
            if whole < 0.5
            else "With all weights shuffled the maps stay much as they were, which they should not."
        )


def _compared(difference: Estimate) -> str:
    if difference.low is not None and difference.low > 0:
        return "faster than"
    if difference.high is not None and difference.high < 0:
        return "slower than"
    return "not measurably faster than"


def _places(checks: HeatChecks) -> Table:
    rows = tuple(
        (
            f"{found.name}, {place.name}", percent(place.area), cell(place.heat), cell(place.changed),
            cell(place.loss, decimal),
        )
        for found in checks.regions
        for place in found.regions
    )  # fmt: skip
    counts = ", ".join(f"{found.images} called {found.name}" for found in checks.regions)
    return Table(
        "Border, corners and letters",
        ("Called, place", "Share of picture", "Share of heat", "Calls changed without it", "Fall of probability"),
        rows,
        f"A map that knows nothing has as much heat in a place as the place has of the picture; {counts}. "
        "The two last columns smooth the place away and predict again.",
    )


def _pointing(found: Pointing) -> Table:
    area = cell(found.area)
    return Table(
        "Heat on marked disease",
        ("Map", "Hottest point inside", "Heat inside"),
        (
            ("of this image", cell(found.own.hits), cell(found.own.energy)),
            ("of another patient", cell(found.other.hits), cell(found.other.energy)),
            ("chance: the marked area", area, area),
        ),
        f"Maps of the labelled class on {found.images} images of {found.patients} patients, marked by {found.source}; "
        "another patient's map tells what knowing the chest in general is worth.",
    )


def _curves(found: HeatCurves) -> Table:
    gains: Row = ("", cell(found.over_random, decimal), cell(found.over_centre, decimal))
    return Table(
        "Deletion and insertion",
        ("Order", "Deletion area (low is good)", "Insertion area (high is good)", "Heat map is better by"),
        tuple(
            (each.order, cell(each.deletion_area, decimal), cell(each.insertion_area, decimal), better)
            for each, better in zip(found.orders, gains, strict=True)
        ),
        f"Mean probability of the class called on {found.images} images while places are replaced by those of the most "
        "similar picture that is called otherwise. The last column: insertion less deletion, compared image by image.",
    )


def _plots(found: HeatCurves) -> list[Plot]:
    return [
        Plot("Deletion", deletion_plot(found),
             "The faster the heat map's line falls, the more its hot places decide."),
        Plot("Insertion", insertion_plot(found),
             "The faster the heat map's line rises, the more the hot places suffice."),
    ]  # fmt: skip


def _randomisation(found: Randomisation) -> Table:
    rows = [
        (f"{'shuffled: ' if i == 0 else ''}{each.name}", cell(each.spearman, decimal), cell(each.ssim, decimal))
        for i, each in enumerate(found.stages)
    ]
    if found.other:
        rows.append(("same model, another image", cell(found.other.spearman, decimal), cell(found.other.ssim, decimal)))
    return Table(
        "Shuffled weights",
        ("Compared with the map of", "Rank correlation", "Structural similarity"),
        tuple(rows),
        f"Maps that depend on what was learned lose their likeness (near 0) once it is shuffled. "
        f"{found.images} images, {DRAWS} shufflings. The last row tells how alike the maps of different pictures are.",
    )


def _border_pictures(sample: HeatCases) -> Iterator[Picture]:
    """The images with the largest share of heat in the outer tenth, of whatever class was called."""
    heat = sample.heat(sample.called)
    share = (shares(heat) * border(GRID)).sum(axis=(1, 2))
    for row in np.argsort(-share, kind="stable")[:SHOWN]:
        if share[row] > 0:
            drawn = _framed(_drawn(sample.pixels[row], heat[row]))
            called = sample.classes[sample.called[row]]
            yield Picture(
                drawn, f"Called {called}, {percent(share[row])} of the heat in the outer tenth (outside the frame)."
            )


def _marked_pictures(marked: MarkedCases | Skipped) -> Iterator[Picture]:
    """The first few marked images with their marks."""
    if isinstance(marked, Skipped):
        return
    heat = marked.cases.heat(marked.labels)
    for row in range(min(SHOWN, len(marked.cases))):
        drawn = _outlined(_drawn(marked.cases.pixels[row], heat[row]), marked.lesions.regions[row])
        yield Picture(drawn, f"Labelled {marked.cases.classes[marked.labels[row]]}; the line is what was marked.")


def _drawn(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> Image.Image:
    large = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return Image.fromarray(overlay(large, heat))


def _framed(picture: Image.Image) -> NDArray[np.uint8]:
    edge = SIDE // 10
    ImageDraw.Draw(picture).rectangle((edge, edge, SIDE - 1 - edge, SIDE - 1 - edge), outline="white")
    return np.asarray(picture)


def _outlined(picture: Image.Image, regions: tuple[Region, ...]) -> NDArray[np.uint8]:
    pen = ImageDraw.Draw(picture)
    for each in regions:
        place = tuple(
            SIDE * end
            for end in (each.x - each.radius_x, each.y - each.radius_y, each.x + each.radius_x, each.y + each.radius_y)
        )
        (pen.rectangle if each.box else pen.ellipse)(place, outline="white", width=2)
    return np.asarray(picture)
