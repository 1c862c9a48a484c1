"""Columns of the table, such as site, age or sex, as properties that may tell the label in place of the disease."""

import numpy as np

from lungscope.data.audit.traits import Trait
from lungscope.data.lesions import BOX
from lungscope.data.manifest import Manifest
from lungscope.stats.bands import Bands, into_bands

NOT_OF_THE_IMAGE = {"stratum", "finding", "findings", *BOX}
"""Columns that say what was found, or were made from it."""
REMEDY = (
    "A model sees the picture, not the table, but may recognise the one and so guess the other. Judge each value by "
    "itself (lungscope compare --leave-out COLUMN), or train with every class from every value alike "
    "(column 'site', imbalance = 'oversample-sites')."
)


def column_traits(manifest: Manifest) -> tuple[Trait, ...]:
    """One trait for each further column that falls into groups: its groups as columns of 0 and 1."""
    grouped = {
        column: into_bands(column, values)
        for column, values in manifest.extra.items()
        if column.lower() not in NOT_OF_THE_IMAGE
    }
    return tuple(
        Trait(f"column {column}", "table", np.eye(len(bands.names), dtype=np.float32)[bands.index], REMEDY)
        for column, bands in grouped.items()
        if isinstance(bands, Bands)
    )
