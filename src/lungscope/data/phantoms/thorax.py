"""The chest of a phantom as maps of line integrals: what a beam straight through front to back is weakened by.

The frame is anatomical: the rib cage spans -1..1 across and the lungs about -1..1 downwards. The patient's
left is on the right, as on the view box.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

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
        x, y, side, radius = (np.tile(xs[-1], 2), np.tile(ys[-1], 2), np.tile(side, 2), np.tile(radius, 2) * 0.78)
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
