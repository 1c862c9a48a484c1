"""Reporting checklists, answered where the run knows the answer; the topics are in our own words.

CLAIM: Tejani, Klontzas, Gatti et al., Checklist for Artificial Intelligence in Medical Imaging, 2024 update,
Radiology: Artificial Intelligence 2024;6(4):e240300. TRIPOD+AI: Collins, Moons, Dhiman et al., BMJ
2024;385:e078378. Read both before submitting: an answer here is material for an item, not the item itself.
"""

import csv
import io
from dataclasses import dataclass
from typing import Any

from lungscope.reports.facts import Facts, read_template
from lungscope.reports.section import slug

MISSING = "A person must supply this."
FILES = ("claim-2024.toml", "tripod-ai.toml")


@dataclass(frozen=True)
class Item:
    """One item of a checklist."""

    number: str
    part: str
    """Of a manuscript."""
    topic: str
    answer: str = ""
    """What the run knows; empty where a person must say it."""
    where: str = ""
    """In which file of the run the details are."""
    asked: str = ""
    """What a person must add to the answer, or to nothing."""

    @property
    def state(self) -> str:
        """Whether the run answers it "whole", in "part" or "not"."""
        return "not" if not self.answer else "part" if self.asked else "whole"


@dataclass(frozen=True)
class Checklist:
    """A reporting guideline with its items."""

    name: str
    source: str
    items: tuple[Item, ...]

    @property
    def anchor(self) -> str:
        """Its place in the page."""
        return slug(self.name)

    def count(self, state: str) -> int:
        """How many items are in that state."""
        return sum(item.state == state for item in self.items)


def fill_checklists(facts: Facts) -> tuple[Checklist, ...]:
    """Every checklist, answered as far as the facts go."""
    return tuple(_fill(name, facts) for name in FILES)


def checklists_csv(lists: tuple[Checklist, ...]) -> str:
    """All items, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("checklist", "item", "part", "topic", "answered", "answer", "where", "a_person_must_supply"))
    for checklist in lists:
        for each in checklist.items:
            asked = each.asked or ("" if each.answer else each.topic)
            known = (each.number, each.part, each.topic, each.state, each.answer, each.where)
            writer.writerow((checklist.name, *known, asked))
    return text.getvalue()


def checklists_markdown(lists: tuple[Checklist, ...]) -> str:
    """All items as Markdown tables."""
    lines = ["# Reporting checklists", "", INTRODUCTION]
    for checklist in lists:
        lines += ["", f"## {checklist.name}", "", f"{standing(checklist)} Source: {checklist.source}.", ""]
        lines += ["| Item | Topic | Answer | Where |", "| --- | --- | --- | --- |"]
        for each in checklist.items:
            answer = f"{each.answer} {wanted(each)}".strip().replace("|", "\\|")
            lines.append(f"| {each.number} | {each.part}: {each.topic} | {answer} | {each.where} |")
    return "\n".join(lines) + "\n"


INTRODUCTION = (
    "Filled from the run where it knows the answer. Topics are in our own words; read the guidelines themselves before "
    "submitting. An answer here is material for an item, not the item as it will stand in a manuscript."
)


def wanted(item: Item) -> str:
    """What a person must supply for an item; empty when nothing."""
    if item.state == "whole":
        return ""
    return f"{MISSING[:-1]}: {item.asked}." if item.asked else MISSING


def standing(checklist: Checklist) -> str:
    """How far the run fills a checklist, in a sentence."""
    whole, part, no = (checklist.count(state) for state in ("whole", "part", "not"))
    n = len(checklist.items)
    return f"{n} items: {whole} answered from the run, {part} in part, {no} that a person must supply."


def _fill(name: str, facts: Facts) -> Checklist:
    table = read_template(name)
    return Checklist(table["name"], table["source"], tuple(_item(each, facts) for each in table["items"]))


def _item(row: dict[str, Any], facts: Facts) -> Item:
    known = [facts[name] for name in row.get("facts", ())]
    answer = " ".join(each for each in (*known, row.get("says", "")) if each)
    return Item(
        number=row["number"],
        part=row["part"],
        topic=row["topic"],
        answer=answer,
        where=row.get("where", "") if answer else "",
        asked=row.get("asked", ""),
    )
