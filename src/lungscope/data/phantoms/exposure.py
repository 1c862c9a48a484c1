"""How a hospital takes, shows and stores a phantom: pose, Beer-Lambert, scatter, blur, noise, grey scale."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungscope.data.phantoms.thorax import Body, Map, View, enlarge

LETTERS = {"L": (16, 16, 16, 16, 16, 16, 31), "R": (30, 17, 17, 30, 20, 18, 17)}
"""Rows of five dots, as bits."""


@dataclass(frozen=True)
class Hospital:
    """How one hospital exposes, displays and stores; nothing in it depends on health.

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
    Hospital("alder", 0.82, 1.00, 6000, 0.30, 0.50, (0.00, 0.86), 0.92, 0.3, "R", 0.05, 0.000, 90),
    Hospital("birch", 1.00, 1.00, 4000, 0.55, 0.60, (0.03, 0.93), 0.80, 0.2, "L", 0.06, 0.000, 92),
    Hospital("cedar", 0.74, 1.06, 2500, 0.40, 0.85, (0.02, 0.74), 0.95, 0.5, "R", 0.28, 0.040, 88),
    Hospital("maple", 0.95, 0.96, 9000, 0.25, 0.45, (0.00, 0.90), 1.20, 0.2, "", 0.00, 0.030, 95),
    Hospital("rowan", 0.88, 1.00, 1500, 0.65, 0.75, (0.09, 0.80), 0.85, 0.4, "L", 0.86, 0.000, 90),
)


def pose(rng: np.random.Generator, body: Body, hospital: Hospital, size: int) -> View:
    """Place a patient before the detector; `size` is the longer side in pixels."""
    width, height = round(size / max(hospital.aspect, 1)), round(size * min(hospital.aspect, 1))
    angle = np.deg2rad(rng.normal(0, 1.5))
    reach = max(rng.uniform(1.12, 1.32), 1.18 * body.tall / hospital.aspect) + 2 * hospital.border
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
        hospital: whose exposure it is.
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
