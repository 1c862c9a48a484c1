"""What stands in the place of a measurement that does not apply."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Skipped:
    """A measurement that does not apply to these data or to this model."""

    reason: str
    """As a clause, without a full stop."""
