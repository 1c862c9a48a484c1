"""From turns to figures: values in a section's unit, ratios of turns taken one after the other, and targets."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.contender import Measured, Turn
from benchmarks.sections import BF16, Unit


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of the turns."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Target:
    """What a ratio of ours to another contender, or to a limit, is to reach."""

    section: str
    against: str
    """How the name of the other contender begins; several are joined by the smallest value."""
    at_least: float
    meaning: str
    ours: str = ""
    """Which of our contenders; the first of the section without one."""


@dataclass(frozen=True)
class Verdict:
    """A target and what was measured."""

    target: Target
    ratio: Spread

    @property
    def reached(self) -> bool:
        """Whether the median does."""
        return self.ratio.median >= self.target.at_least


_TARGETS = (
    Target("bulk", "plain PyTorch, 160 px", 6, "same input size"),
    Target("bulk", "plain PyTorch, 224 px", 6, "the tutorials' size"),
    Target("bulk", "Keras, 160 px", 5, "same input size"),
    Target("bulk", "Keras, 224 px", 5, "the tutorials' size"),
    Target("bulk", "decoding alone|runtime alone", 0.85, "of the slower of the two"),
    Target("full-size", "decoding alone", 0.80, "of decoding alone"),
    Target("resnet50", "plain PyTorch, 224 px", 6, "same input size"),
    Target("latency", "plain PyTorch, 160 px", 5, "ours with heat map, same input size"),
    Target("latency", "plain PyTorch, 224 px", 5, "ours with heat map, the tutorials' size"),
    Target("heatmap", "exported without it", 1 / 1.1, "at most 10 % more"),
    Target("cold", "import tensorflow", 5, "a whole prediction against an import"),
    Target("frozen", "plain PyTorch, 160 px", 30, "same input size"),
    Target("frozen", "plain PyTorch, 224 px", 30, "the tutorials' size"),
    Target("finetune", "plain PyTorch, 224 px", 1.8, "same input size, batch 32"),
    Target("finetune", "Keras, 224 px", 3.5, "same input size, batch 32"),
    Target("gpu", "training on synthetic tensors", 0.95, "what the loader costs"),
)

# What computes in half the bits is held against the peers too, but not against limits measured in all bits.
TARGETS = _TARGETS + tuple(
    replace(target, ours=BF16, meaning=f"{target.meaning}, ours in bf16")
    for target in _TARGETS
    if target.section in ("bulk", "full-size", "resnet50") and "runtime" not in target.against
)


def value(turn: Turn, unit: Unit) -> float:
    """A turn in the section's unit; of single images the median time."""
    if unit == "images/s":
        return turn.images / turn.seconds
    return percentile(turn.ms, 50) if unit == "ms" else turn.seconds


def percentile(times: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(percent / 100 * len(ordered)))]


def spread(values: Sequence[float]) -> Spread:
    """Summary of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))


def values(measured: Measured, unit: Unit) -> list[float]:
    """All turns in the section's unit."""
    return [value(turn, unit) for turn in measured.turns]


def cpu_ms_per_image(measured: Measured) -> float | None:
    """Processor time of all threads per image, which load beside it changes less than the rate."""
    spent = [(turn.cpu_s, turn.images) for turn in measured.turns if turn.cpu_s is not None and turn.images]
    return statistics.median(1000 * cpu / images for cpu, images in spent) if spent else None


def how_many_times(ours: Measured, other: Measured, unit: Unit) -> Spread | None:
    """How many times as fast ours is, turn by turn; None where one took no turn."""
    pairs = list(zip(values(ours, unit), values(other, unit), strict=False))
    if not pairs:
        return None
    return spread([a / b if unit == "images/s" else b / a for a, b in pairs])


def compare(key: str, unit: Unit, measured: Sequence[Measured]) -> list[Verdict]:
    """Hold a section against its targets, as far as the other contenders are there."""
    verdicts = []
    for target in TARGETS:
        name = target.ours or measured[0].contender.name
        ours = next((one for one in measured if one.contender.name == name), None)
        if target.section != key or ours is None:
            continue
        starts = tuple(target.against.split("|"))
        others = [one for one in measured if one.contender.name.startswith(starts)]
        ratios = [ratio for one in others if (ratio := how_many_times(ours, one, unit)) is not None]
        if len(ratios) == len(starts):
            # Against several limits the lowest one counts, which is the one with the largest ratio.
            verdicts.append(Verdict(target, max(ratios, key=lambda ratio: ratio.median)))
    return verdicts
