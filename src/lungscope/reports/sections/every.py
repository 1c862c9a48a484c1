"""All further sections of a report, in their order."""

from lungscope.evaluation.measurements import Measurements
from lungscope.reports.section import Section
from lungscope.reports.sections.calibration import calibration_section
from lungscope.reports.sections.decision_curve import decision_section
from lungscope.reports.sections.heatmaps import heatmap_section
from lungscope.reports.sections.input_check import input_check_section
from lungscope.reports.sections.prevalence import adaptation_section
from lungscope.reports.sections.shift import shift_section
from lungscope.reports.sections.strata import strata_section
from lungscope.reports.sections.subgroups import subgroups_section


def report_sections(found: Measurements, *, of_model: bool = True) -> tuple[Section, ...]:
    """A section for everything that was measured.

    Args:
        found: of a model, or of scores.
        of_model: whether there is a model; of one without an input check the report says so.
    """
    sections = (
        found.shift and shift_section(found.shift),
        found.calibration and calibration_section(found.calibration),
        found.decision_curve and decision_section(found.decision_curve),
        found.subgroups and subgroups_section(found.subgroups),
        found.adaptation and adaptation_section(found.adaptation),
        of_model and input_check_section(found.input_check, found.prediction_sets, found.evaluation.classes),
        found.heatmaps and heatmap_section(found.heatmaps),
        found.strata and strata_section(found.strata),
    )
    return tuple(each for each in sections if each)
