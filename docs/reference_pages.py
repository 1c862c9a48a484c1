"""Pages of the reference that are made from the code when the site is built, so that they cannot be out of date.

A page asks for one by a line `<!-- made here: NAME -->`; mkdocs calls `on_page_markdown` for every page.
"""

import ast
import inspect
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import griffe
import typer
from mkdocs.exceptions import PluginError
from mkdocs.utils import get_relative_url

import lungscope
from lungscope.cli.app import app
from lungscope.config.recipe import Recipe, load_recipe, recipe_names

ROOT = Path(__file__).parents[1]
TERM = re.compile(r"^(\S.*)(?=\n:   )", re.MULTILINE)
ELSEWHERE = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>")
REQUEST = re.compile(r"^<!-- made here: ([a-z]+) -->$", re.MULTILINE)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each request by what it asks for, and give every defined term an anchor to link to."""
    return TERM.sub(_anchored, REQUEST.sub(lambda found: MADE[found[1]](), markdown))


def _anchored(term: re.Match[str]) -> str:
    anchor = re.sub(r"[^a-z0-9_]+", "-", term[1].lower()).strip("-")
    return f'<span id="{anchor}"></span>{term[1]}'


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Take our own script for the search of a site without a server, where the theme names one on another host."""
    return _local(output, get_relative_url("search.js", page.url))


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for pages that are no page, such as 404.html."""
    return _local(output_content, "/search.js")


def _local(html: str, script: str) -> str:
    return html.replace('<script src="https://unpkg.com/iframe-worker/shim">', f'<script src="{script}">')


def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a site that would load anything from another host when it is read.

    Raises:
        PluginError: a page names a script, style, picture or frame elsewhere.
    """
    for page in Path(config.site_dir).rglob("*.html"):
        if elsewhere := ELSEWHERE.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page.name} loads something from another host: {elsewhere[0]}")


def python() -> str:
    """Every public name of the package, for mkdocstrings to fill."""
    lines = []
    for name in getattr(lungscope, "__all__", ()):
        thing = getattr(lungscope, name)
        if hasattr(thing, "__path__") or type(thing).__name__ == "module":
            lines += [f"## `lungscope.{name}`", "", *_module(thing)]
        elif hasattr(thing, "__module__"):
            lines.append(f"::: {thing.__module__}.{thing.__qualname__}")
    return "\n\n".join(lines)


def _module(module: Any) -> Iterable[str]:
    yield (module.__doc__ or "").strip()
    for name in module.__all__:
        thing = getattr(module, name)
        yield f"::: {thing.__module__}.{thing.__qualname__}\n    options: {{heading_level: 3}}"


def commands() -> str:
    """What `lungscope COMMAND --help` says of every command."""
    group = typer.main.get_command(app)
    return "\n\n".join(_command(name, command) for name, command in group.commands.items())


def _command(name: str, command: Any) -> str:
    what, _, example = (command.help or "").partition("Example:")
    parts = [f"## {name}", _cell(what)]
    if example:
        parts.append(f"```sh\n{' '.join(example.split())}\n```")
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    if arguments:
        rows = ((f"`{each.metavar or each.name.upper()}`", each.help) for each in arguments)
        parts.append(_table(("Argument", "Meaning"), rows))
    rows = ((", ".join(f"`{name}`" for name in each.opts), each.help, _default(each)) for each in options)
    parts.append(_table(("Option", "Meaning", "Default"), rows))
    return "\n\n".join(parts)


def _default(option: Any) -> str:
    if option.required:
        return "must be given"
    value = option.default
    return "" if value in (None, False, "", ()) else f"`{value}`"


def recipes() -> str:
    """The recipes in the package, with what they say of themselves."""
    read = [load_recipe(name) for name in recipe_names()]
    return _table(
        ("Recipe", "What it is", "Source"), ((f"`{each.name}`", each.description, each.source) for each in read)
    )


def settings() -> str:
    """Every setting of a recipe: type, value in `default`, meaning."""
    default = load_recipe().model_dump(mode="json")
    top = [name for name, field in Recipe.model_fields.items() if not _is_group(field)]
    parts = ["### Top level", _settings_table(Recipe, top, default, prefix="")]
    for name, field in Recipe.model_fields.items():
        if _is_group(field):
            group: Any = field.annotation
            parts += [f"### [{name}]", (group.__doc__ or "").strip()]
            parts.append(_settings_table(group, group.model_fields, default[name], prefix=f"{name}."))
    return "\n\n".join(parts)


def _is_group(field: Any) -> bool:
    return hasattr(field.annotation, "model_fields")


def _settings_table(model: Any, names: Iterable[str], values: dict[str, Any], prefix: str) -> str:
    rows = ((f"`{prefix}{name}`", f"`{_toml(values[name])}`", _meaning(model, name)) for name in names)
    return _table(("Setting", "In `default`", "Meaning"), rows)


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("{", "{ ").replace("}", " }")


def _meaning(model: Any, name: str) -> str:
    for owner in model.__mro__:
        if name in inspect.get_annotations(owner):
            attribute = _module_source(owner.__module__)[owner.__name__][name]
            kind = re.sub(r"\s+", " ", str(attribute.annotation)).replace("|", "or")
            words = attribute.docstring.value if attribute.docstring else ""
            return f"{words} ({_kind(kind)})" if words else _kind(kind)
    raise KeyError(name)


@cache
def _module_source(name: str) -> Any:
    return griffe.load(name, search_paths=[ROOT / "src"])


def _kind(annotation: str) -> str:
    kinds = {
        "str": "text", "bool": "true or false", "Fraction": "0 to 1", "Positive": "above 0",
        "NotNegative": "0 or more", "Count": "whole number, 0 or more", "AtLeastOne": "whole number, 1 or more",
        "dict[str, str]": "name and goal of each", "tuple[AtLeastOne, ...]": "list of whole numbers",
    }  # fmt: skip
    if annotation in kinds:
        return kinds[annotation]
    if bounds := re.findall(r"(ge|gt|le|lt)=([\d.]+)", annotation):
        words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        return " and ".join(f"{words[bound]} {number}" for bound, number in bounds)
    choices = re.findall(r"'([^']+)'", annotation)
    return "one of " + ", ".join(f"`{choice}`" for choice in choices) if choices else f"`{annotation}`"


def schema() -> str:
    """The keys of `evaluation.json`, from its JSON schema."""
    document = json.loads((ROOT / "docs" / "evaluation.schema.json").read_text(encoding="utf-8"))
    parts = [document["description"], _schema_table(document)]
    for name, definition in document["$defs"].items():
        parts += [f"### {name}", definition.get("description", "")]
        if definition.get("properties"):
            parts.append(_schema_table(definition))
    return "\n\n".join(part for part in parts if part)


def _schema_table(node: dict[str, Any]) -> str:
    required = node.get("required", ())
    rows = (
        (f"`{name}`", _schema_type(value), "always" if name in required else "when measured",
         value.get("description", ""))
        for name, value in node["properties"].items()
    )  # fmt: skip
    return _table(("Key", "Type", "There", "Meaning"), rows)


def _schema_type(node: dict[str, Any]) -> str:
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return f"[{name}](#{name})"
    for several in ("anyOf", "oneOf"):
        if several in node:
            return " or ".join(dict.fromkeys(_schema_type(each) for each in node[several]))
    if "const" in node:
        return f"`{json.dumps(node['const'])}`"
    if "enum" in node:
        return " or ".join(f"`{json.dumps(value)}`" for value in node["enum"])
    kinds = node.get("type", "object")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if "items" in node and isinstance(node["items"], dict):
        return f"{kind} of {_schema_type(node['items'])}"
    if isinstance(node.get("additionalProperties"), dict):
        key = node.get("propertyNames", {}).get("description", "name")
        return f"{key} → {_schema_type(node['additionalProperties'])}"
    if "properties" in node:
        return f"{kind} with " + ", ".join(f"`{name}`" for name in node["properties"])
    return kind


def modules() -> str:
    """Every package with its modules and what they say of themselves, the lowest first."""
    package = ROOT / "src" / "lungscope"
    parts = []
    for folder in sorted(path.parent for path in package.rglob("__init__.py")):
        rows = [(f"`{path.name}`", _first_sentence(path)) for path in sorted(folder.glob("*.py"))]
        known = [row for row in rows if row[0] != "`__init__.py`" or folder == package]
        parts += [f"## {folder.relative_to(package.parent)}", _table(("Module", "What it is"), known)] if known else []
    return "\n\n".join(parts)


def _first_sentence(path: Path) -> str:
    words = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return words.partition("\n\n")[0]


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text or "").replace("|", "\\|").strip()


MADE = {
    "python": python, "commands": commands, "recipes": recipes,
    "settings": settings, "schema": schema, "modules": modules,
}  # fmt: skip
