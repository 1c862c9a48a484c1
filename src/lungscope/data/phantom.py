"""Synthetic frontal chest radiographs whose truth is known: demo data, and a test bed for heat maps.

Organs are maps of line integrals (what a beam straight through front to back is weakened by) in an
anatomical frame: the rib cage spans -1..1 across and the lungs about -1..1 downwards; the patient's left is on
the right, as on the view box. They are exposed (Beer-Lambert, scatter, blur, noise) and shown with the grey
scale of one of several hospitals.
"""

import csv
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lungscope.console import track
from lungscope.errors import ConfigError, OutputError
from lungscope.output import cannot_write, write_atomically

RIB_SPACING = 0.185

Map = NDArray[Any]
"""(H, W) float32. NumPy's stubs widen it at every step, so the type of its elements is left open."""


def _range(adult: tuple[float, float], child: tuple[float, float] | None = None) -> Any:
    return field(metadata={"adult": adult, "child": child or adult})


@dataclass(frozen=True)
class Body:
    """What the images of one patient share, each drawn evenly from the range of the age group.

    Attributes:
        tall: height of the lungs over width of the cage.
        depth: line integral through the middle of the trunk, were it all flesh.
        air: what the deepest lung takes off it.
        heart: factor on the width of the heart.
        thymus: additional width of the upper mediastinum, and how high the shoulders are drawn.
        drop: fall of a rib from the spine to the flank.
        phase: height of the first rib, in rib spacings.
        right_dome: height of the right diaphragm.
        left_dome: height of the left diaphragm.
        left_lung: width of the left lung over that of the right one.
        girth: width of the trunk over that of the cage.
        arm: angle of the upper arms below the horizontal, in radians.
        breast: thickness; none below 0.
        bubble: amount of gas in the stomach; none below 0.35.
        curve: sideways bend of the spine.
        blood: line integral per length of vessel.
    """

    tall: float = _range((0.88, 1.02), (0.74, 0.84))
    depth: float = _range((3.3, 4.4), (2.3, 2.8))
    air: float = _range((1.6, 2.0), (1.05, 1.3))
    heart: float = _range((0.80, 1.06), (0.94, 1.12))
    thymus: float = _range((0.0, 0.0), (0.02, 0.09))
    drop: float = _range((0.30, 0.42), (0.22, 0.30))
    phase: float = _range((-0.4, 0.4))
    right_dome: float = _range((0.50, 0.60))
    left_dome: float = _range((0.58, 0.68))
    left_lung: float = _range((0.93, 0.97))
    girth: float = _range((1.08, 1.2), (1.05, 1.15))
    arm: float = _range((0.5, 1.0), (-0.6, 0.3))
    breast: float = _range((-0.2, 0.2), (0.0, 0.0))
    bubble: float = _range((0.0, 1.0))
    curve: float = _range((-0.03, 0.03))
    blood: float = _range((2.0, 3.6))


@dataclass(frozen=True)
class View:
    """A body before the detector.

    Attributes:
        body: whose.
        x: (H, W), anatomical coordinate of every pixel.
        y: (H, W), the same downwards.
        turn: (2, 2), from anatomical coordinates to pixels.
        centre: (2,), column and row of the anatomical origin.
        breath: how much lower the diaphragm stands.
        twist: how far the middle of the chest is turned to the right of the picture.
    """

    body: Body
    x: Map
    y: Map
    turn: NDArray[np.float64]
    centre: NDArray[np.float64]
    breath: float
    twist: float

    @property
    def scale(self) -> float:
        """Pixels per half width of the cage."""
        return float(np.hypot(self.turn[0, 0], self.turn[1, 0]))

    def part(self, *, step: int = 1, columns: slice = np.s_[:]) -> "View":
        """Every `step`-th pixel of some columns, for what needs no more."""
        return replace(self, x=self.x[::step, columns][:, ::step], y=self.y[::step, columns][:, ::step])


def draw_body(rng: np.random.Generator, age_group: str) -> Body:
    """Draw the anatomy of a patient, "adult" or "child"."""
    return Body(**{item.name: rng.uniform(*item.metadata[age_group]) for item in fields(Body)})


def smooth_step(value: Map, width: float) -> Map:
    """0 → 1 as `value` passes from -width to width."""
    t = np.clip(value * (0.5 / width) + 0.5, 0, 1)
    step: Map = t * t * (3 - 2 * t)
    return step


def enlarge(coarse: Map, step: float, shape: tuple[int, ...]) -> Map:
    """Bilinear interpolation to `shape`; sample i of `coarse` lies at pixel i * step."""
    for axis, length in enumerate(shape):
        at = np.arange(length, dtype=np.float32) / np.float32(step)
        low = np.minimum(at.astype(np.intp), coarse.shape[axis] - 2)
        share = np.expand_dims(np.minimum(at - low.astype(np.float32), 1), 1 - axis)
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(low + 1, axis) * share
    return coarse


def _chord(square: Map) -> Map:
    """Path through a round body whose surface is at square = 1."""
    path: Map = np.sqrt(np.maximum(1 - square, 0))
    return path


def _tube(square: Map) -> Map:
    """Path through a long bone: a dense shell around marrow."""
    return _chord(square) - 0.5 * _chord(square * 2)


def _curve(at: Map, knots: Sequence[float], values: Sequence[float]) -> Map:
    """A smooth curve through a few points, looked up for every pixel."""
    table = ndimage.gaussian_filter1d(np.interp(np.linspace(-2, 2, 1024), knots, values), 10)
    found: Map = table.astype(np.float32).take(np.clip((at + 2) * 255.75, 0, 1023).astype(np.intp))
    return found


def _stroke(view: View, points: Sequence[tuple[float, float]]) -> Map:
    """Squared distance to a line through points of the picture's right, and to its mirror image."""
    side, tall = np.abs(view.x), view.body.tall
    nearest: Map = np.full_like(side, np.inf)
    for (x0, y0), (x1, y1) in pairwise(points):
        x, y, dx, dy = side - x0, (view.y - y0) * tall, x1 - x0, (y1 - y0) * tall
        t = np.clip((x * dx + y * dy) * (1 / (dx * dx + dy * dy)), 0, 1)
        nearest = np.minimum(nearest, np.square(x - t * dx) + np.square(y - t * dy))
    return nearest


def _cage(view: View) -> Map:
    """0 at the midline, 1 at the wall of the rib cage."""
    t = np.clip((0.75 - view.y) * (1 / 1.83), 0, 1)
    across: Map = np.abs(view.x) / np.sqrt(np.maximum(1 - t * t * t, 1e-3))
    return across


def _beside_heart(view: View) -> Map:
    """How far a pixel lies outside the heart and the great vessels."""
    size, wide, x = view.body.heart * (1 - 0.5 * view.breath), view.body.thymus, view.x - view.twist
    atrium = (0.27 * size, 0.37 * size, 0.37 * size, 0.27 * size)
    ventricle = (0.31 * size, 0.38 * size, 0.55 * size, 0.65 * size, 0.69 * size, 0.62 * size)
    right = _curve(
        view.y,
        (-1.2, -0.9, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.1),
        (0.22, 0.19 + wide, 0.2 + wide, 0.22, *atrium, 0.18),
    )
    left = _curve(
        view.y,
        (-1.2, -0.85, -0.62, -0.5, -0.36, -0.2, 0.0, 0.2, 0.4, 0.58, 0.72, 0.9),
        (0.21, 0.19 + wide, 0.29 + wide, 0.29 + wide, 0.22 + wide, *ventricle, 0.3),
    )
    return np.where(x < 0, -x - right, x - left)


def lungs(view: View) -> Map:
    """Path through aerated lung, 0..1, also behind the heart and in the recess behind the diaphragm."""
    body, side, left = view.body, np.abs(view.x), (view.x > 0).astype(np.float32)
    across = _cage(view) / (0.97 * (1 - (1 - body.left_lung) * left))
    apex = smooth_step(view.y + 0.97 - 4.5 * np.square(side - 0.42), 0.05)
    heart = 0.2 + 0.8 * smooth_step(_beside_heart(view), 0.02)
    t = 2 * side - 1
    flank = np.square(np.maximum(t, 0))
    below = view.y - (body.right_dome + view.breath) - (body.left_dome - body.right_dome) * left
    below -= 0.1 * t * t + 0.4 * flank * flank
    base = 0.88 * smooth_step(-below, 0.02) + 0.12 * smooth_step(0.12 - below, 0.2)
    return _chord(across * across) * apex * heart * base * smooth_step(side - 0.17, 0.07)


def _ribs(view: View) -> Map:
    """Pairs of slanted hoops: behind they fall outwards, in front inwards."""
    body, cage = view.body, _cage(view)
    across = np.minimum(cage, 0.999)
    cosine = _chord(across * across)
    slant = RIB_SPACING * body.tall / 0.039 / np.sqrt(1 + np.square(body.drop * body.tall * across / cosine))
    total: Map = np.zeros_like(cosine)
    for fall, end, last, density in ((1 - cosine, 1.5 - across, 11, 1.0), (1 + cosine, across - 0.5, 7, 0.7)):
        phase = (view.y + 1.06 - body.drop * fall * (1 + 0.35 * view.y)) * (1 / RIB_SPACING) + body.phase
        rib = np.rint(phase)
        band = _tube(np.square((phase - rib) * slant)) * smooth_step(end - 0.04 * np.sin(2.1 * rib), 0.08)
        total += band * ((rib >= 0) & (rib <= last)) * density
    total *= 1 + np.square(np.square(np.square(across)))
    total *= (1 - 0.55 * smooth_step(view.y - 0.85, 0.3)) * smooth_step(1 - cage, 0.015)
    return total


def _spine(view: View) -> Map:
    """Vertebrae with their end plates, pedicles and spinous processes."""
    reach = 0.3 * view.scale
    columns = slice(max(int(view.centre[0] - reach), 0), int(view.centre[0] + reach))
    part = view.part(columns=columns)
    x = np.abs(part.x - view.body.curve * np.square(part.y))
    phase = part.y / RIB_SPACING + view.body.phase
    within = phase - np.rint(phase)
    disc = np.abs(within)
    plate = np.exp(-np.square((disc - 0.39) / 0.06)) - 1.3 * smooth_step(disc - 0.47, 0.03)
    pedicle = np.exp(-np.square((x - 0.065) / 0.022) - np.square((within + 0.1) / 0.17))
    process = np.exp(-np.square(x / 0.018) - np.square((within - 0.2) / 0.2))
    total: Map = np.zeros_like(view.x)
    total[:, columns] = smooth_step(0.1 + 0.08 * disc * disc - x, 0.02) * (1 + 0.35 * plate)
    total[:, columns] += 0.4 * pedicle + 0.3 * process
    return total


def _girdle(view: View) -> Map:
    """Collar bones, shoulder blades and upper arms."""
    side, tall, lift = np.abs(view.x), view.body.tall, view.body.thymus
    collar = ((0.13, -0.76), (0.35, -0.82 - lift), (0.85, -0.97 - 3 * lift), (1.08, -0.95 - 3 * lift))
    edge = ((1.14, -0.74), (0.93, -0.62), (0.89, -0.4), (0.91, -0.1), (0.97, 0.05), (1.05, -0.1))
    shoulder = (1.24, -0.8 - lift)
    elbow = (1.24 + np.cos(view.body.arm), shoulder[1] + np.sin(view.body.arm) / tall)
    clavicle = _tube(_stroke(view, collar) / 0.042**2)
    margin = np.exp(-_stroke(view, edge) / 0.02**2)
    plate = smooth_step(side - 0.93, 0.04) * smooth_step(1.2 - side, 0.1)
    plate *= smooth_step(0.28 - np.abs(view.y + 0.4), 0.2)
    head = _chord((np.square(side - shoulder[0]) + np.square((view.y - shoulder[1]) * tall)) / 0.15**2)
    humerus = np.maximum(head, _tube(_stroke(view, (shoulder, elbow)) / 0.09**2))
    bones: Map = clavicle + 0.3 * margin + 0.15 * plate + 1.2 * humerus
    return bones


def _flesh(view: View) -> Map:
    """Soft parts, 0..1: trunk, neck, shoulders, arms and breasts."""
    body, side, y = view.body, np.abs(view.x), view.y
    waist = _curve(y, (-1.3, -0.95, -0.5, 0.2, 1.0, 2.0), (0.3, 0.75, 1.08, 1.1, 1.03, 1.05)) * body.girth
    trunk = _chord((side / waist) ** 3) * (0.86 + 0.14 * smooth_step(y - 0.6, 0.5))
    neck = 0.6 * _chord(np.square(side / (0.36 + 0.3 * np.square(np.clip(y + 0.9, -1, 0)))))
    elbow = (1.25 + np.cos(body.arm), -0.72 + np.sin(body.arm) / body.tall)
    arm = 0.5 * _chord(_stroke(view, ((0.85, -0.72), (1.25, -0.72), elbow)) / 0.3**2)
    shoulder = 0.5 * _chord(_stroke(view, ((0.2, -1.0), (1.0, -0.78))) / 0.24**2)
    breast = _chord(np.square((side - 0.62) / 0.4) + np.square((y - 0.5) / 0.34))
    joined = np.cbrt(trunk**3 + neck**3 + arm**3 + shoulder**3) + max(body.breast, 0) * breast
    soft: Map = ndimage.gaussian_filter(joined, 0.012 * view.scale)
    return soft


def _gas(view: View) -> Map:
    """Air in the windpipe, the main bronchi and the stomach."""
    body, x, y = view.body, view.x - 0.5 * view.twist, view.y
    pipe = _chord(np.square((x + 0.01) / 0.062)) * smooth_step(-0.42 - y, 0.08)
    bronchus = _chord(np.square((y + 0.42 - 0.75 * np.abs(x)) / 0.06)) * smooth_step(0.25 - np.abs(x), 0.06)
    wide, high, top = 0.1 + 0.16 * body.bubble, 0.07 + 0.06 * body.bubble, body.left_dome + view.breath + 0.05
    stomach = _chord(np.square((view.x - 0.45) / wide) + np.square((y - top - 0.13) / high))
    stomach *= smooth_step(y - top, 0.02) * (body.bubble > 0.35)
    return 0.22 * pipe + 0.1 * bronchus + 0.3 * stomach


def _vessels(view: View, rng: np.random.Generator) -> Map:
    """Two trees that leave the hila and fork, thinner with every fork; path through blood."""
    side, stride = np.repeat((-1.0, 1.0), 13), 0.012
    angle = np.tile(np.linspace(-1.3, 1.45, 13), 2) + rng.normal(0, 0.12, 26)
    x = side * (0.24 + 0.04 * rng.random(26))
    y = -0.08 - 0.04 * side + 0.10 * np.sin(angle) + rng.normal(0, 0.02, 26)
    radius = rng.uniform(0.018, 0.034, 26)
    total: Map = np.zeros_like(view.x)
    for _ in range(4):
        bends = rng.normal(0, 0.03, len(x)) + rng.normal(0, 0.04, (rng.integers(12, 20), len(x)))
        angles = angle + np.cumsum(bends, axis=0)
        xs = x + side * stride * np.cumsum(np.cos(angles), axis=0)
        ys = y + stride / view.body.tall * np.cumsum(np.sin(angles), axis=0)
        volume = np.broadcast_to(np.pi * stride * np.square(radius * view.scale), xs.shape)
        total += _splat(view, xs, ys, volume, 0.6 * float(radius.mean()))
        spread = rng.uniform(0.1, 0.5, (2, len(x)))
        angle = np.concatenate([angles[-1] - spread[0], angles[-1] + spread[1]])
        x, y, side, radius = (
            np.tile(xs[-1], 2),
            np.tile(ys[-1], 2),
            np.tile(side, 2),
            np.tile(radius, 2) * 0.78,
        )
    return total


def _splat(view: View, x: Map, y: Map, volume: Map, spread: float) -> Map:
    (height, width), points = view.x.shape, np.stack([x.ravel(), y.ravel()])
    column, row = np.rint(view.turn @ points + view.centre[:, None]).astype(np.intp)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    flat = np.bincount(row[inside] * width + column[inside], volume.ravel()[inside], height * width)
    image = flat.reshape(height, width).astype(np.float32)
    blurred: Map = ndimage.gaussian_filter(image, max(spread * view.scale, 0.6))
    return blurred


def solid_chest(view: View, rng: np.random.Generator, air: Map) -> Map:
    """Line integral through the chest, were its lungs as dense as flesh.

    Args:
        view: who, and how.
        rng: draws the tree of vessels, the same one in every view of a patient.
        air: (H, W), as `lungs` gives it.
    """
    body, shape, half = view.body, view.x.shape, view.part(step=2)
    flesh = enlarge(body.depth * _flesh(view.part(step=4)), 4, shape)
    smooth = enlarge(0.32 * _girdle(half) - body.depth * _gas(half), 2, shape)
    blood: Map = body.blood * _vessels(view, rng) * np.sqrt(air)
    return flesh + smooth + 0.34 * _ribs(view) + 0.28 * _spine(view) + blood


LETTERS = {"L": (16, 16, 16, 16, 16, 16, 31), "R": (30, 17, 17, 30, 20, 18, 17)}
"""Rows of five dots, as bits."""


@dataclass(frozen=True)
class Hospital:
    """How one site exposes, displays and stores; nothing in it depends on health.

    Attributes:
        name: what tables call it.
        aspect: height over width of the picture.
        squash: height over width at which a square of the patient is shown.
        quanta: detected per pixel behind the lungs, in a picture of 320 pixels.
        scatter: scattered over primary radiation.
        blur: standard deviation of the detector's blur in pixels, in a picture of 320 pixels.
        grey: 0..1, of plain air and of the densest tissue.
        gamma: exponent of the grey scale.
        contrast: 0 leaves the grey scale as it is, 1 bends it to an S.
        marker: lead letter, R on the left of the picture or L on its right; empty for none.
        marker_y: its place from the top, 0..1.
        border: width of the collimator's black frame, as a fraction of the longer side.
        quality: of the JPEG.
    """

    name: str
    aspect: float
    squash: float
    quanta: float
    scatter: float
    blur: float
    grey: tuple[float, float]
    gamma: float
    contrast: float
    marker: str
    marker_y: float
    border: float
    quality: int


HOSPITALS = (
    Hospital("alder", 0.82, 1.00, 6000, 0.30, 0.50, (0.00, 0.86), 1.05, 0.3, "R", 0.05, 0.000, 90),
    Hospital("birch", 1.00, 1.00, 4000, 0.55, 0.60, (0.03, 0.93), 0.80, 0.2, "L", 0.06, 0.000, 92),
    Hospital("cedar", 0.74, 1.06, 2500, 0.40, 0.85, (0.01, 0.80), 0.95, 0.5, "R", 0.28, 0.040, 88),
    Hospital("maple", 0.95, 0.96, 9000, 0.25, 0.45, (0.00, 0.92), 1.20, 0.2, "", 0.00, 0.030, 95),
    Hospital("rowan", 0.88, 1.00, 1500, 0.65, 0.75, (0.06, 0.88), 0.85, 0.4, "L", 0.86, 0.000, 90),
)


def pose(rng: np.random.Generator, body: Body, hospital: Hospital, size: int) -> View:
    """Place a patient before the detector; `size` is the longer side in pixels."""
    width, height = round(size / max(hospital.aspect, 1)), round(size * min(hospital.aspect, 1))
    angle = np.deg2rad(rng.normal(0, 1.5))
    reach = max(rng.uniform(1.2, 1.4), 1.18 * body.tall / hospital.aspect) + 2 * hospital.border
    unit = width / 2 / reach
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn = rotation @ np.diag([unit, unit * body.tall * hospital.squash])
    centre = np.array([width * rng.normal(0.5, 0.012), height * rng.normal(0.48, 0.012)])
    column, row = np.arange(width)[None, :] - centre[0], np.arange(height)[:, None] - centre[1]
    (a, b), (c, d) = np.linalg.inv(turn)
    x, y = (a * column + b * row).astype(np.float32), (c * column + d * row).astype(np.float32)
    return View(body, x, y, turn, centre, breath=rng.normal(0, 0.03), twist=rng.normal(0, 0.025))


def expose(rng: np.random.Generator, path: Map, healthy: Map, hospital: Hospital, view: View) -> Map:
    """Turn line integrals into grey, about 0..1, before marker and collimator.

    Args:
        rng: draws dose, grey scale and noise, whatever the line integrals are.
        path: (H, W), line integrals of the patient.
        healthy: (H, W), the same without opacities; the exposure is set on it, so that an opacity
            changes nothing far from itself.
        hospital: the site.
        view: for the scale of the scatter.
    """
    trial = -np.log(_with_scatter(healthy[::4, ::4], hospital.scatter, view.scale / 4))
    lightest, lung, densest = (float(value) for value in np.percentile(trial, (0, 35, 97)))
    zoom, empty = max(path.shape) / 320, 0.7 * lightest + 0.3 * lung
    signal = ndimage.gaussian_filter(_with_scatter(path, hospital.scatter, view.scale), hospital.blur * zoom)
    dose = hospital.quanta * rng.uniform(0.6, 1.6) * float(np.exp(lung)) / zoom**2
    signal += np.sqrt(signal / dose) * rng.standard_normal(path.shape, dtype=np.float32)
    film = (-np.log(np.maximum(signal, 1e-5)) - empty) / ((densest - empty) * rng.uniform(0.97, 1.06))
    film = np.clip(film, 0, 1.08) ** (hospital.gamma * rng.uniform(0.92, 1.08))
    film += hospital.contrast * (film * film * (3 - 2 * film) - film)
    grey: Map = hospital.grey[0] + (hospital.grey[1] - hospital.grey[0]) * film
    return grey


def develop(rng: np.random.Generator, grey: Map, hospital: Hospital) -> NDArray[np.uint8]:
    """Add the collimator's frame and the lead letter, and round to 8 bits."""
    height, width = grey.shape
    left, right, top, bottom = (hospital.border * rng.uniform(0.5, 1.3, 4) * max(grey.shape)).astype(int)
    film: Map = np.zeros_like(grey)
    film[top : height - bottom, left : width - right] = grey[top : height - bottom, left : width - right]
    if hospital.marker:
        letter = _letter(hospital.marker, 0.055 * height)
        row = int((hospital.marker_y + rng.uniform(0, 0.03)) * height)
        column = int((hospital.border * 1.3 + rng.uniform(0.02, 0.05)) * width)
        column = column if hospital.marker == "R" else width - column - letter.shape[1]
        place = film[row : row + letter.shape[0], column : column + letter.shape[1]]
        np.maximum(place, letter, out=place)
    return (np.clip(film, 0, 1) * 255 + 0.5).astype(np.uint8)


def _with_scatter(path: Map, ratio: float, scale: float) -> Map:
    primary = np.exp(-np.maximum(path, 0))
    # Bare air would flood the trunk with scatter that in truth arises in the trunk only.
    coarse = ndimage.gaussian_filter(np.minimum(primary, 0.25)[::4, ::4], 0.06 * scale)
    signal: Map = primary + ratio * enlarge(coarse, 4, path.shape)
    return signal


def _letter(name: str, height: float) -> Map:
    dots = np.pad(np.unpackbits(np.array(LETTERS[name], np.uint8)[:, None], axis=1)[:, 3:], 1)
    lead = enlarge(dots.astype(np.float32), height / 9, (int(height), int(0.78 * height)))
    strokes: Map = np.minimum(1.6 * lead, 1)
    return strokes


AGE_GROUPS = ("adult", "child")
CLASSES = ("NORMAL", "PNEUMONIA")
AGENTS = {"consolidation": "bacteria", "interstitial": "virus"}
"""Kind of opacity → its word in the Kaggle set's file names."""
IMAGES = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)
"""Images of a patient, as often as they stand here."""


@dataclass(frozen=True)
class Lesion:
    """An opacity as an ellipse, in fractions of the picture's width (x) and height (y)."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    kind: str


@dataclass(frozen=True)
class Phantom:
    """A drawn radiograph and its truth.

    Attributes:
        pixels: (H, W); air dark, bone bright.
        lesions: the opacities; none when healthy.
        mask: (H, W), where an opacity takes the place of air.
        lungs: (H, W), where the beam crosses aerated lung, also behind the heart.
        hospital: where it was taken.
        age_group: "adult" or "child".
    """

    pixels: NDArray[np.uint8]
    lesions: tuple[Lesion, ...]
    mask: NDArray[np.bool_]
    lungs: NDArray[np.bool_]
    hospital: str
    age_group: str


def draw_phantom(
    rng: np.random.Generator,
    *,
    abnormal: bool,
    size: int = 320,
    hospital: str = "",
    kind: str = "consolidation",
    age_group: str = "",
    visibility: float = 1.0,
    patient: int | None = None,
) -> Phantom:
    """Draw one radiograph.

    Generators in the same state draw twins: with `abnormal` off, the same picture without its opacities.

    Args:
        rng: decides pose, exposure and noise, and whatever is left open below.
        abnormal: with opacities.
        size: of the longer side, in pixels, 64..2048.
        hospital: a name in `HOSPITALS`; empty draws one.
        kind: "consolidation" (one or two patches) or "interstitial" (diffuse, in both lungs).
        age_group: "adult" or "child"; empty draws one.
        visibility: factor on the density of the opacities, 0.05..3; at 1 some are faint and some plain.
        patient: images with the same number, from 0, share anatomy and disease; None draws one.

    Raises:
        ConfigError: an argument is unknown or out of its range.
    """
    _check_range("size", size, 64, 2048)
    _check_range("visibility", visibility, 0.05, 3)
    _known("kind", kind, tuple(AGENTS))
    number = int(rng.integers(2**63)) if patient is None else patient
    _check_range("patient", number, 0, 2**63)
    site = _hospital(hospital or HOSPITALS[rng.integers(len(HOSPITALS))].name)
    anatomy, vessels, disease = (np.random.default_rng([number, stream]) for stream in range(3))
    age_group = _known("age group", age_group or AGE_GROUPS[anatomy.integers(2)], AGE_GROUPS)
    view = pose(rng, draw_body(anatomy, age_group), site, size)
    course = rng.uniform(0.85, 1.15) * visibility
    air = lungs(view)
    opacities = _opacities(view, disease, kind) if abnormal else []
    healthy = solid_chest(view, vessels, air) - view.body.air * air
    filled = np.clip(course * sum(opacities, np.zeros_like(air)), 0, 0.95)
    grey = expose(rng, healthy + view.body.air * air * filled, healthy, site, view)
    return Phantom(
        pixels=develop(rng, grey, site),
        lesions=tuple(_ellipse(opacity * air, kind) for opacity in opacities),
        mask=_mask(view, opacities) & (air > 0.15),
        lungs=air > 0.15,
        hospital=site.name,
        age_group=age_group,
    )


def write_phantoms(
    folder: Path,
    *,
    patients: int,
    seed: int,
    size: int = 320,
    prevalence: float = 0.5,
    confounding: float = 0.0,
    visibility: float = 1.0,
) -> Path:
    """Write a data set of phantoms, one to four images per patient, as class folders NORMAL and PNEUMONIA.

    Files are named as in the Kaggle set (`IM-0012-0001.jpeg`, `person13_bacteria_49.jpeg` for consolidation,
    `person15_virus_57.jpeg` for interstitial disease), so that patients and three classes follow from names.
    `lesions.csv` (path, kind, x, y, radius_x, radius_y; fractions of the picture) and `phantoms.csv` (path,
    label, patient, hospital, age_group) lie beside the class folders. The same arguments write the same bytes,
    and more patients leave the first ones as they are.

    Args:
        folder: new or empty.
        patients: how many, from 1.
        seed: of everything, from 0.
        size: of the longer side, in pixels, 64..2048.
        prevalence: share of patients with pneumonia, 0..1, evenly spread over the numbers.
        confounding: 0: the hospital says nothing about the label; 1: it tells the label.
        visibility: as in `draw_phantom`.

    Returns:
        `folder`.

    Raises:
        ConfigError: an argument out of its range.
        OutputError: the folder is not empty, or cannot be written.
    """
    _check_range("patients", patients, 1, 1_000_000)
    _check_range("seed", seed, 0, 2**63)
    _check_range("size", size, 64, 2048)
    _check_range("prevalence", prevalence, 0, 1)
    _check_range("confounding", confounding, 0, 1)
    _check_range("visibility", visibility, 0.05, 3)
    _claim(folder)
    enrolled = [_enrol(seed, index, prevalence, confounding) for index in range(patients)]

    def write(patient: _Patient) -> list[tuple[Lesion, ...]]:
        return [
            _write_image(folder, patient, image, size, visibility) for image in range(len(patient.images))
        ]

    pool = ThreadPoolExecutor()
    try:
        lesions = list(track(pool.map(write, enrolled), "Drawing phantoms", patients, "patients"))
    finally:
        pool.shutdown(cancel_futures=True)
    _write_tables(folder, enrolled, lesions)
    return folder


def _opacities(view: View, rng: np.random.Generator, kind: str) -> list[Map]:
    """Share of the air that each opacity takes away."""
    if kind == "interstitial":
        both = _strands(view, rng) * rng.uniform(0.5, 1.2)
        return [both * (view.x < 0), both * (view.x > 0)]
    return [_patch(view, rng) * rng.uniform(0.4, 1.1) for _ in range(1 + int(rng.random() < 0.5))]


def _patch(view: View, rng: np.random.Generator) -> Map:
    """A soft-edged, mottled consolidation in one lung, at times cut off by a fissure."""
    side, wide, high = 1 - 2 * int(rng.integers(2)), rng.uniform(0.3, 0.6), rng.uniform(0.26, 0.6)
    zone = (-0.5, 0.0, 0.35)[rng.integers(3)] + rng.uniform(-0.12, 0.12)
    dx, dy = (view.x - side * rng.uniform(0.48, 0.68)) / wide, (view.y - zone) / high
    reach = np.sqrt(dx * dx + dy * dy) + 0.28 * _noise(rng, view.x.shape, 0.15 * view.scale)
    mottled = np.clip(0.85 + 0.15 * _noise(rng, view.x.shape, 0.035 * view.scale), 0.4, 1.1)
    fissure = dy + 0.15 * dx + (rng.uniform(0.1, 0.5) if rng.random() < 0.4 else 9.0)
    inside = smooth_step(0.95 - reach, rng.uniform(0.2, 0.45)) * smooth_step(fissure, 0.06)
    return inside * mottled * (side * view.x > 0)


def _strands(view: View, rng: np.random.Generator) -> Map:
    """Patchy strands and haze around both hila."""
    shape = view.x.shape
    dx = (np.abs(view.x) - 0.46) / rng.uniform(0.36, 0.5)
    dy = (view.y - rng.uniform(-0.1, 0.2)) / rng.uniform(0.5, 0.75)
    fine, coarse = (np.abs(_noise(rng, shape, grain * view.scale)) for grain in (0.025, 0.045))
    weave: Map = np.maximum(1 - 2 * fine, 0) + np.maximum(1 - 2 * coarse, 0)
    patchy: Map = np.clip(0.75 + 0.35 * _noise(rng, shape, 0.16 * view.scale), 0.2, 1.2)
    near: Map = smooth_step(1 - np.sqrt(dx * dx + dy * dy), 0.35)
    return near * patchy * (0.4 + 0.3 * weave)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> Map:
    """Smooth noise of unit deviation, its grain in pixels."""
    coarse = rng.standard_normal([int(n / grain) + 3 for n in shape], dtype=np.float32)
    smooth: Map = ndimage.gaussian_filter(coarse, 0.8)
    return enlarge(smooth / smooth.std(), grain, shape)


def _mask(view: View, opacities: Sequence[Map]) -> NDArray[np.bool_]:
    mask = np.zeros(view.x.shape, np.bool_)
    for opacity in opacities:
        smooth = ndimage.gaussian_filter(opacity, 0.03 * view.scale)
        mask |= smooth > 0.3 * smooth.max()
    return mask


def _ellipse(added: Map, kind: str) -> Lesion:
    """The ellipse of the same centre and spread as the attenuation that was added."""
    (height, width), total = added.shape, added.sum(dtype=np.float64)
    across, down = added.sum(axis=0, dtype=np.float64) / total, added.sum(axis=1, dtype=np.float64) / total
    at_x, at_y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    x, y = across @ at_x, down @ at_y
    # A uniform ellipse spreads over half its radius.
    radius_x, radius_y = 2 * np.sqrt(across @ np.square(at_x - x)), 2 * np.sqrt(down @ np.square(at_y - y))
    return Lesion(float(x), float(y), float(radius_x), float(radius_y), kind)


@dataclass(frozen=True)
class _Patient:
    """Who is drawn into a folder, and under which names; `kind` is empty for the healthy."""

    index: int
    kind: str
    hospital: str
    age_group: str
    anatomy: int
    images: tuple[np.random.SeedSequence, ...]

    @property
    def label(self) -> str:
        return CLASSES[bool(self.kind)]

    @property
    def name(self) -> str:
        return f"person{self.index + 1}_{AGENTS[self.kind]}" if self.kind else f"IM-{self.index + 1:04d}"

    def path(self, image: int) -> str:
        running = f"_{max(IMAGES) * self.index + image + 1}" if self.kind else f"-{image + 1:04d}"
        return f"{self.label}/{self.name}{running}.jpeg"


def _enrol(seed: int, index: int, prevalence: float, confounding: float) -> _Patient:
    # What SeedSequence.spawn gives this patient, whatever the number of patients.
    root = np.random.SeedSequence(seed, spawn_key=(index,))
    rng = np.random.default_rng(root)
    ill = int((index + 1) * prevalence)
    kind = tuple(AGENTS)[ill % 2] if ill > int(index * prevalence) else ""
    tied = HOSPITALS[:2] if kind else HOSPITALS[2:]
    sites = tied if rng.random() < confounding else HOSPITALS
    return _Patient(
        index=index,
        kind=kind,
        hospital=sites[rng.integers(len(sites))].name,
        age_group=AGE_GROUPS[rng.integers(2)],
        anatomy=int(rng.integers(2**63)),
        images=tuple(root.spawn(IMAGES[rng.integers(len(IMAGES))])),
    )


def _write_image(
    folder: Path, patient: _Patient, image: int, size: int, visibility: float
) -> tuple[Lesion, ...]:
    phantom = draw_phantom(
        np.random.default_rng(patient.images[image]),
        abnormal=bool(patient.kind),
        size=size,
        hospital=patient.hospital,
        kind=patient.kind or "consolidation",
        age_group=patient.age_group,
        visibility=visibility,
        patient=patient.anatomy,
    )
    buffer = io.BytesIO()
    Image.fromarray(phantom.pixels).save(buffer, "JPEG", quality=_hospital(patient.hospital).quality)
    write_atomically(folder / patient.path(image), buffer.getvalue())
    return phantom.lesions


def _write_tables(folder: Path, patients: list[_Patient], lesions: list[list[tuple[Lesion, ...]]]) -> None:
    images, places = io.StringIO(), io.StringIO()
    image_table, lesion_table = (csv.writer(text, lineterminator="\n") for text in (images, places))
    image_table.writerow(("path", "label", "patient", "hospital", "age_group"))
    lesion_table.writerow(("path", "kind", "x", "y", "radius_x", "radius_y"))
    for patient, of_patient in zip(patients, lesions, strict=True):
        for image, of_image in enumerate(of_patient):
            path = patient.path(image)
            image_table.writerow((path, patient.label, patient.name, patient.hospital, patient.age_group))
            for one in of_image:
                numbers = (one.x, one.y, one.radius_x, one.radius_y)
                lesion_table.writerow((path, one.kind, *(f"{number:.4f}" for number in numbers)))
    write_atomically(folder / "lesions.csv", places.getvalue())
    write_atomically(folder / "phantoms.csv", images.getvalue())


def _claim(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(
                f"{folder}: the folder is not empty. Name a new or an empty one for the phantoms."
            )
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from None


def _hospital(name: str) -> Hospital:
    names = [hospital.name for hospital in HOSPITALS]
    return HOSPITALS[names.index(_known("hospital", name, names))]


def _known(what: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f"Phantoms have no {what} {value!r}. Choose one of: {', '.join(known)}.")
    return value


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(
            f"Phantoms cannot be drawn with {name} = {value}. Choose {name} from {low} to {high}."
        )
