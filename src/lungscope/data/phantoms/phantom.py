"""Synthetic frontal chest radiographs whose truth is known: demo data, and a test bed for heat maps."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from lungscope.data.phantoms.exposure import HOSPITALS, Hospital, develop, expose, pose
from lungscope.data.phantoms.thorax import Map, View, draw_body, enlarge, lungs, smooth_step, solid_chest
from lungscope.errors import ConfigError, OutputError
from lungscope.system.files import cannot_write, write_atomically
from lungscope.system.parallel import cores, in_order
from lungscope.system.progress import track

AGE_GROUPS = ("adult", "child")
CLASSES = ("NORMAL", "PNEUMONIA")
AGENTS = {"consolidation": "bacteria", "interstitial": "virus"}
"""Kind of opacity → its word in the Kaggle set's file names."""
IMAGES = (1, 1, 1, 1, 2, 2, 2, 3, 3, 4)
"""Images of a patient, as often as they stand here."""


def _known(what: str, value: str, known: Sequence[str]) -> str:
    if value not in known:
        raise ConfigError(f"Phantoms have no {what} {value!r}. Choose one of: {', '.join(known)}.")
    return value


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"Phantoms cannot be drawn with {name} = {value}. Choose {name} from {low} to {high}.")


@dataclass(frozen=True)
class Lesion:
    """An opacity as an ellipse, in fractions of the picture's width (x) and height (y)."""

    x: float
    y: float
    radius_x: float
    radius_y: float
    kind: str


@dataclass(frozen=True)
class Disease:
    """What the opacities of an abnormal phantom are like.

    Attributes:
        kind: "consolidation" (one or two patches) or "interstitial" (diffuse, in both lungs).
        visibility: factor on their density, 0.05..3; at 1 some are faint and some plain.

    Raises:
        ConfigError: a kind that is unknown, or a visibility out of its range.
    """

    kind: str = "consolidation"
    visibility: float = 1.0

    def __post_init__(self) -> None:
        _known("kind", self.kind, tuple(AGENTS))
        _check_range("visibility", self.visibility, 0.05, 3)


PNEUMONIA = Disease()


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
    disease: Disease = PNEUMONIA,
    age_group: str = "",
    patient: int | None = None,
) -> Phantom:
    """Draw one radiograph.

    Generators in the same state draw twins: with `abnormal` off, the same picture without its opacities.

    Args:
        rng: decides pose, exposure and noise, and whatever is left open below.
        abnormal: with opacities.
        size: of the longer side, in pixels, 64..2048.
        hospital: a name in `HOSPITALS`; empty draws one.
        disease: of the opacities; nothing to one without them.
        age_group: "adult" or "child"; empty draws one.
        patient: images with the same number, from 0, share anatomy and disease; None draws one.

    Raises:
        ConfigError: an argument is unknown or out of its range.
    """
    _check_range("size", size, 64, 2048)
    number = int(rng.integers(2**63)) if patient is None else patient
    _check_range("patient", number, 0, 2**63)
    site = _hospital(hospital or HOSPITALS[rng.integers(len(HOSPITALS))].name)
    anatomy, vessels, illness = (np.random.default_rng([number, stream]) for stream in range(3))
    age_group = _known("age group", age_group or AGE_GROUPS[anatomy.integers(2)], AGE_GROUPS)
    view = pose(rng, draw_body(anatomy, age_group), site, size)
    course = rng.uniform(0.85, 1.15) * disease.visibility
    air = lungs(view)
    opacities = _opacities(view, illness, disease.kind) if abnormal else []
    healthy = solid_chest(view, vessels, air) - view.body.air * air
    filled = np.clip(course * sum(opacities, np.zeros_like(air)), 0, 0.95)
    grey = expose(rng, healthy + view.body.air * air * filled, healthy, site, view)
    return Phantom(
        pixels=develop(rng, grey, site),
        lesions=tuple(_ellipse(opacity * air, disease.kind) for opacity in opacities),
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
        visibility: as in `Disease`.

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
    disease = {kind: Disease(kind, visibility) for kind in AGENTS} | {"": PNEUMONIA}
    _claim(folder)
    enrolled = [_enrol(seed, index, prevalence, confounding) for index in range(patients)]

    def write(patient: _Patient) -> list[tuple[Lesion, ...]]:
        return [_write_image(folder, patient, i, size, disease[patient.kind]) for i in range(len(patient.images))]

    lesions = list(track(in_order(write, enrolled, cores()), "Drawing phantoms", patients, "patients"))
    _write_tables(folder, enrolled, lesions)
    return folder


def _opacities(view: View, rng: np.random.Generator, kind: str) -> list[Map]:
    """Share of the air that each opacity takes away."""
    if kind == "interstitial":
        both = _strands(view, rng) * rng.uniform(0.5, 1.2)
        return [both * (view.x < 0), both * (view.x > 0)]
    return [_patch(view, rng) * rng.uniform(0.5, 1.2) for _ in range(1 + int(rng.random() < 0.5))]


def _patch(view: View, rng: np.random.Generator) -> Map:
    """A soft-edged, mottled consolidation in one lung, at times cut off by a fissure."""
    side, wide, high = 1 - 2 * int(rng.integers(2)), rng.uniform(0.34, 0.64), rng.uniform(0.3, 0.62)
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
    # A little more than nothing, so that 100 * 0.29 counts as 29.
    before, ill = (int(patients * prevalence + 1e-9) for patients in (index, index + 1))
    kind = tuple(AGENTS)[ill % 2] if ill > before else ""
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


def _write_image(folder: Path, patient: _Patient, image: int, size: int, disease: Disease) -> tuple[Lesion, ...]:
    phantom = draw_phantom(
        np.random.default_rng(patient.images[image]),
        abnormal=bool(patient.kind),
        size=size,
        hospital=patient.hospital,
        disease=disease,
        age_group=patient.age_group,
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
            raise OutputError(f"{folder}: the folder is not empty. Name a new or an empty one for the phantoms.")
    except OSError as error:
        raise OutputError(cannot_write(folder, error)) from None


def _hospital(name: str) -> Hospital:
    names = [hospital.name for hospital in HOSPITALS]
    return HOSPITALS[names.index(_known("hospital", name, names))]
