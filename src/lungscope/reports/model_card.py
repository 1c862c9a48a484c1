"""The model card (Mitchell et al. 2019): what a model is, is for, was measured to do, and what a person must add."""

from dataclasses import dataclass, replace
from typing import Any

from lungscope.bundle.card import Card
from lungscope.data.audit.checks import AuditReport
from lungscope.evaluation.evaluate import Evaluation
from lungscope.reports.facts import Facts, gather, read_template
from lungscope.reports.report import Origin, Report
from lungscope.reports.section import Section, Table, slug
from lungscope.reports.summary import Cell, cell, decimal, sentences

PERSON = "A person must supply this"
TEMPLATE = "model_card.toml"
MEASURED = 4
"""Place of the section whose sentences are those of the report."""


@dataclass(frozen=True)
class CardSection:
    """One topic of a card."""

    title: str
    paragraphs: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    missing: tuple[str, ...] = ()
    """What the run cannot know."""

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return slug(self.title)


@dataclass(frozen=True)
class ModelCard:
    """A card, ready to be written as text or as a page."""

    title: str
    sections: tuple[CardSection, ...]


def model_card(report: Report, card: Card, origin: Origin, *, alone: bool = False) -> ModelCard:
    """Fill a model card from a run, and from what a person said of the model.

    Args:
        report: of its evaluation.
        card: of the bundle.
        origin: of the model and of the images evaluated.
        alone: whether it stands without the report; then it has all tables.
    """
    facts, found = gather(report, card, origin), report.evaluation
    tables = {
        "Data": () if report.audit is None else (_by_class(report.audit),),
        "What was measured": (_overall(facts, found), *((_points(found),) if found.operating_points else ())),
    }
    own = [_section(row, facts, card, tables.get(row["title"], ())) for row in read_template(TEMPLATE)["sections"]]
    own[MEASURED] = replace(own[MEASURED], paragraphs=sentences(found))
    return ModelCard(
        f"{origin.model.recipe}: {', '.join(card.classes)}",
        (*own[:-2], *(_report_section(each, alone) for each in report.sections), *own[-2:]),
    )


def card_markdown(card: ModelCard) -> str:
    """The card as Markdown."""
    lines = [
        f"# Model card: {card.title}",
        "",
        "**Research use only.** Not a medical device; not for diagnosis or treatment.",
    ]
    for section in card.sections:
        lines += ["", f"## {section.title}"]
        for paragraph in section.paragraphs:
            lines += ["", paragraph]
        lines += ["", *(f"- **Warning:** {each}" for each in section.warnings)] if section.warnings else []
        for table in section.tables:
            lines += ["", *table_markdown(table)]
        lines += ["", *(f"- **{PERSON}:** {each}" for each in section.missing)] if section.missing else []
    return "\n".join(lines) + "\n"


def table_markdown(table: Table) -> list[str]:
    """A table as lines of Markdown."""
    rows = [[_text(each) for each in row] for row in table.rows]
    body = ["| " + " | ".join(each.replace("|", "\\|") for each in row) + " |" for row in (list(table.header), *rows)]
    return [f"**{table.caption}.** {table.meaning}", "", body[0], "|" + " --- |" * len(table.header), *body[1:]]


def _text(shown: str | Cell) -> str:
    if isinstance(shown, str):
        return shown
    note = shown.interval or shown.reason
    return f"{shown.value} ({note})" if note else shown.value


def _section(row: dict[str, Any], facts: Facts, card: Card, tables: tuple[Table, ...]) -> CardSection:
    """A section of the template, with what a person said of some topics, and what is still asked of one."""
    said = {topic: getattr(card.statement, topic, "") for topic in row.get("asked", {})}
    paragraphs = (*(each.format_map(facts) for each in row["paragraphs"]), *said.values())
    missing = tuple(words for topic, words in row.get("asked", {}).items() if not said[topic])
    return CardSection(row["title"], tuple(filter(None, paragraphs)), tables=tables, missing=missing)


def _by_class(audit: AuditReport) -> Table:
    return Table(
        "Radiographs and patients by class and part",
        ("Class", *(split or "no split" for split in audit.splits)),
        tuple(
            (name, *(f"{n:,} ({p:,} patients)" for n, p in zip(audit.counts[i], audit.patients[i], strict=True)))
            for i, name in enumerate(audit.classes)
        ),
        "Of the data that were given for this evaluation.",
    )


def _overall(facts: Facts, found: Evaluation) -> Table:
    rows = (
        ("AUROC", cell(found.auroc, decimal)),
        ("Average precision", cell(found.average_precision, decimal)),
        ("Balanced accuracy", cell(found.balanced_accuracy)),
        ("Brier score", cell(found.brier, decimal)),
    )
    return Table("Overall", ("Estimate", "Value (95 % interval)"), rows, facts["uncertainty"])


def _points(found: Evaluation) -> Table:
    return Table(
        "Operating points",
        ("Name", "Threshold", "Sensitivity", "Specificity", "PPV here", "NPV here"),
        tuple(
            (
                each.point.name, f"{each.point.threshold:.3f}", cell(each.estimates.sensitivity),
                cell(each.estimates.specificity), cell(each.estimates.ppv), cell(each.estimates.npv),
            )
            for each in found.operating_points
        ),
        "Chosen on validation, measured here; predictive values hold at the prevalence of these data only.",
    )  # fmt: skip


def _report_section(section: Section, alone: bool) -> CardSection:
    """The section without its plots; of its tables the first, which is the main one, unless there is no report."""
    if alone:
        return CardSection(section.title, (section.lead,), section.warnings, section.tables)
    more = (f"More in report.html, section “{section.title}”.",) if len(section.tables) > 1 or section.plots else ()
    return CardSection(section.title, (section.lead, *more), section.warnings, section.tables[:1])
