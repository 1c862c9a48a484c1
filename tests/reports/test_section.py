"""Sections: what a topic adds to a report stands in it, escaped, linked and described."""

from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup

from lungscope.reports.html import render_report
from lungscope.reports.report import Report
from lungscope.reports.section import Picture, Plot, Section, SectionKey, Table, data_uri
from lungscope.reports.summary import cell
from lungscope.stats.estimate import Estimate


@pytest.fixture(scope="module")
def report(two) -> Report:
    return Report(two.evaluation())


def section() -> Section:
    undefined = cell(Estimate(None, reason="only 1 patient"))
    return Section(
        SectionKey.SUBGROUPS,
        "By age & sex",
        "Does it work for <everybody>?",
        warnings=("Worse for the young.",),
        tables=(Table("Groups", ("Group", "n", "AUROC"), (("0 to 4", "31", undefined),), "Larger is better."),),
        plots=(Plot("Curve", Markup('<svg role="img"></svg>'), "Up is better."),),
        pictures=(Picture(np.zeros((4, 4), np.uint8), "A dark one"),),
    )


def test_a_section_stands_in_the_report_with_all_its_parts(report):
    page = render_report(replace(report, sections=(section(),)))
    for part in (
        "Worse for the young.", "Larger is better.", "only 1 patient", '<svg role="img"></svg>', 'alt="A dark one"',
        "Does it work for &lt;everybody&gt;?",
    ):  # fmt: skip
        assert part in page


def test_a_section_is_linked_from_the_contents(report):
    page = render_report(replace(report, sections=(section(),)))
    assert '<a href="#subgroups">By age &amp; sex</a>' in page
    assert '<section id="subgroups">' in page


def test_a_report_without_sections_has_no_trace_of_them(report):
    assert 'class="section"' not in render_report(report).split("</style>")[1]


def test_a_picture_is_embedded():
    assert data_uri(np.zeros((2, 2, 3), np.uint8)).startswith("data:image/png;base64,")
