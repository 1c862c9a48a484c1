"""The one place where pages are made of templates: self-contained, escaped, and an unknown name is an error."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from lungscope import __version__
from lungscope.reports import summary


def render_page(template: str, **content: object) -> str:
    """A page as HTML.

    Args:
        template: its file in `templates/`, which extends base.html.
        content: what it names.
    """
    return _environment().get_template(template).render(content)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("lungscope.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals.update(version=__version__, summary=summary)
    return environment
