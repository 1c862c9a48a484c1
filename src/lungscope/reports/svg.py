"""Matplotlib figures as inline SVG: accessible, following the page's colours, the same bytes every time."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that stand for the page's own: each leaves as a CSS variable, so that a figure follows dark mode.
INK, MUTED, GRID, ACCENT, REFERENCE, PAPER = (f"#0000{n:02d}" for n in range(1, 7))
VARIABLES = {
    INK: "--ink", MUTED: "--muted", GRID: "--line", ACCENT: "--accent", REFERENCE: "--reference", PAPER: "--paper",
}  # fmt: skip

TEXT, SMALL = 9.5, 8.5
"""Font sizes in units of the picture, which a phone shows at about its nominal size."""
UNITS_PER_INCH = 72
_LINK = re.compile(r"(?:url\()?#([\w.-]+)\)?")


@dataclass(frozen=True)
class Caption:
    """What stands for a plot to those who do not see it."""

    key: str
    """Unique within a page; begins every id of the plot."""
    title: str
    description: str


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of `width` × `height` units with one axes in the page's style."""
    figure = new_figure(width, height)
    axes = figure.add_subplot()
    dress(axes)
    return figure, axes


def new_figure(width: float, height: float) -> Figure:
    """An empty, transparent figure of `width` × `height` units."""
    figure = Figure(figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH), layout="constrained")
    figure.patch.set_visible(False)
    return figure


def dress(axes: Axes) -> None:
    """Give axes the page's style: no box, a light grid, quiet ticks."""
    axes.patch.set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5, labelsize=SMALL, labelcolor=MUTED)
    for spine in axes.spines.values():
        spine.set_visible(False)


def label(axes: Axes, x: str, y: str) -> None:
    """Name the axes."""
    axes.set_xlabel(x, color=MUTED, size=TEXT, labelpad=6)
    axes.set_ylabel(y, color=MUTED, size=TEXT, labelpad=6)


def render(figure: Figure, caption: Caption) -> Markup:
    """Draw a figure as an `<svg>` element to be put into HTML.

    Text stays text in the page's font, colours are the page's variables, every id begins with the
    caption's key, and nothing in it tells when or where it was drawn.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": caption.key}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(text.getvalue())
    _clean(root, caption.key)
    _explain(root, caption)
    markup = ElementTree.tostring(root, encoding="unicode")
    for colour, variable in VARIABLES.items():
        markup = markup.replace(colour, f"var({variable})")
    return Markup(markup)


def _clean(root: ElementTree.Element, key: str) -> None:
    for parent in list(root.iter()):
        parent.tag = _local(parent.tag)
        for child in list(parent):
            # A style sheet in an inline picture would apply to the whole page.
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
        parent.attrib.update(_attributes(parent))
        parent.tail = None
    linked = set(_links(root))
    for element in root.iter():
        if element.get("id") not in linked:
            element.attrib.pop("id", None)
        for name in ("id", "href", "clip-path"):
            if value := element.get(name):
                element.set(name, f"{key}-{value}" if name == "id" else value.replace("#", f"#{key}-"))


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    kept = {_local(name): value for name, value in element.attrib.items()}
    element.attrib.clear()
    if "style" in kept:
        kept["style"] = re.sub(r"font-family:[^;]*;?\s*", "", kept["style"])
    return kept


def _links(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for name in ("href", "clip-path"):
            if found := _LINK.fullmatch(element.get(name, "")):
                yield found[1]


def _explain(root: ElementTree.Element, caption: Caption) -> None:
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": view, "role": "img", "aria-labelledby": f"{caption.key}-title {caption.key}-description"}
    )
    for name, content in (("description", caption.description), ("title", caption.title)):
        element = ElementTree.Element("title" if name == "title" else "desc", id=f"{caption.key}-{name}")
        element.text = content
        root.insert(0, element)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
