"""What an exporter makes, before it is measured and written."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Artefact:
    """A graph in the form its runtime reads."""

    graph: bytes = field(repr=False)
    made_by: str
    """Tools and settings, in plain words."""
    weights: bytes = field(default=b"", repr=False)
    """Of OpenVINO; empty where the graph holds them."""
