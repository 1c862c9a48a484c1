"""The model card (Mitchell et al. 2019): what a model is, is for, was measured to do, and what a person must add."""

from dataclasses import dataclass

from lungscope.bundle.card import Card
from lungscope.data.audit.checks import AuditReport
from lungscope.evaluation.evaluate import Evaluation
from lungscope.reports.facts import Facts, gather
from lungscope.reports.report import Origin, Relation, Report
from lungscope.reports.section import Section, Table, slug
from lungscope.reports.summary import Cell, cell, decimal, sentences

PERSON = "A person must supply this"


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
    facts = gather(report, card, origin)
    return ModelCard(
        f"{origin.model.recipe}: {', '.join(card.classes)}",
        (
            _what(facts, card),
            _use(card),
            _data(facts, report, card),
            _training(facts, card),
            _measured(facts, report.evaluation),
            CardSection("Calibration and decisions", _given(facts.calibration, facts.operating_points)),
            *(_report_section(each, alone) for each in report.sections),
            _limits(card, origin.images),
            _provenance(facts, card),
        ),
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
    return [
        f"**{table.caption}.** {table.meaning}",
        "",
        body[0],
        "|" + " --- |" * len(table.header),
        *body[1:],
    ]


def _text(shown: str | Cell) -> str:
    if isinstance(shown, str):
        return shown
    note = shown.interval or shown.reason
    return f"{shown.value} ({note})" if note else shown.value


def _given(*paragraphs: str) -> tuple[str, ...]:
    return tuple(each for each in paragraphs if each)


def _section(
    title: str,
    paragraphs: tuple[str, ...],
    card: Card,
    asked: dict[str, str],
    tables: tuple[Table, ...] = (),
) -> CardSection:
    """A section with what a person said of some topics, and what is still `asked` of one."""
    said = {topic: getattr(card.statement, topic, "") for topic in asked}
    missing = tuple(text for topic, text in asked.items() if not said[topic])
    return CardSection(title, (*paragraphs, *_given(*said.values())), tables=tables, missing=missing)


def _what(facts: Facts, card: Card) -> CardSection:
    return _section(
        "What it is",
        _given(facts.task, facts.model, facts.preprocessing, facts.parity),
        card,
        {
            "maker": "who made it, when, and whom to ask",
            "version": "a version number that your institution gives it",
        },
    )


def _use(card: Card) -> CardSection:
    return _section(
        "Use",
        (
            "Made for research on the classification of frontal chest radiographs, by people who can judge the "
            "pictures themselves.",
            "Not for diagnosis, triage or treatment; not for lateral views, CT or other modalities; not for other "
            f"diseases than its classes ({', '.join(card.classes)}): any other still gets one of these names.",
        ),
        card,
        {
            "question": "the question it is to answer, where in the care pathway, and who acts on the answer",
            "scope": "the age groups, hospitals and devices it may be used for",
        },
    )


def _data(facts: Facts, report: Report, card: Card) -> CardSection:
    tables = () if report.audit is None else (_by_class(report.audit),)
    return _section(
        "Data",
        _given(facts.counts, f"Evaluated: {facts.evaluated}", facts.partitions, facts.disjoint, facts.excluded),
        card,
        {
            "images": "where the images come from, when they were taken, with which devices, and under which licence",
            "patients": "ages, sexes and ethnic groups of the patients, and who is under-represented",
            "labels": "how the labels were made, by whom, and how well readers agree",
            "approval": "approval by an ethics committee, and how the images were de-identified",
        },
        tables,
    )


def _by_class(audit: AuditReport) -> Table:
    return Table(
        "Radiographs and patients by class and part",
        ("Class", *(split or "no split" for split in audit.splits)),
        tuple(
            (
                name,
                *(f"{n:,} ({p:,} patients)" for n, p in zip(audit.counts[i], audit.patients[i], strict=True)),
            )
            for i, name in enumerate(audit.classes)
        ),
        "Of the data that were given for this evaluation.",
    )


def _training(facts: Facts, card: Card) -> CardSection:
    return _section(
        "Training",
        _given(
            facts.training,
            facts.augmentation,
            facts.imbalance,
            facts.selection,
            f"Software: {facts.software}.",
        ),
        card,
        {"weights": "which weights it started from (--weights), and their licence"},
    )


def _measured(facts: Facts, found: Evaluation) -> CardSection:
    rows = [
        ("AUROC", cell(found.auroc, decimal)),
        ("Average precision", cell(found.average_precision, decimal)),
        ("Balanced accuracy", cell(found.balanced_accuracy)),
        ("Brier score", cell(found.brier, decimal)),
    ]
    tables = [Table("Overall", ("Estimate", "Value (95 % interval)"), tuple(rows), facts.uncertainty)]
    if found.operating_points:
        tables.append(_points(found))
    return CardSection("What was measured", sentences(found), tables=tuple(tables))


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


def _limits(card: Card, images: Relation) -> CardSection:
    whence = (
        "All that was measured comes from images of the same source as the training images. Elsewhere it can be far "
        "worse: "
        "evaluate on images of the hospital in question before believing any of it."
        if images != "other"
        else "What was measured holds for the images evaluated here; another hospital, device or age group needs an "
        "evaluation of its own."
    )
    paragraphs = [
        whence,
        "A heat map shows where evidence for a class is found, not why, and is no proof of a finding.",
    ]
    if card.input_check is None:
        paragraphs.append("It assesses every picture that can be read, also one that is no chest radiograph.")
    return _section(
        "Limits",
        tuple(paragraphs),
        card,
        {
            "weaknesses": "how it performs on groups of patients that these data do not tell apart",
            "harms": "known harms and who watches for them",
        },
    )


def _provenance(facts: Facts, card: Card) -> CardSection:
    licence = "Made with Lungscope, which is under the Apache License 2.0"
    if not (card.statement and card.statement.licence):
        licence += "; that licence does not cover the model"
    return _section(
        "Provenance, licence and attribution",
        (facts.provenance, f"{licence}."),
        card,
        {
            "licence": "the licence of this model",
            "attribution": "attribution that the licences of images and starting weights ask for",
        },
    )
