"""The OpenAPI document as an HTML page: no script, no style, nothing to fetch."""

import re
from collections.abc import Iterator
from html import escape
from itertools import groupby
from typing import Any

_CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>{title} API</title>
<h1>{title} API</h1>
<p>{about}</p>
<ul>
{index}
</ul>
{operations}
<h1>Schemas</h1>
{shapes}
</html>
"""


def page(document: dict[str, Any]) -> str:
    """The document as HTML."""
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    schemas = document["components"]["schemas"]
    return _PAGE.format(
        title=escape(document["info"]["title"]),
        about=_prose(document["info"].get("description", "")),
        index="\n".join(
            f'<li><a href="#{_id(one)}"><code>{escape(one)}</code></a></li>' for one in operations
        ),
        operations="\n".join(line for one in operations.items() for line in _operation(*one)),
        shapes="\n".join(line for shape in schemas.items() for line in _shape(*shape)),
    )


def _id(name: str) -> str:
    """The name of a route or a schema as the id of its heading, which may hold no space."""
    return escape(name.replace(" ", ""))


def _operation(name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_id(name)}"><code>{escape(name)}</code></h2>'
    yield f"<p>{_prose(operation['summary'])} {_prose(operation.get('description', ''))}</p>"
    yield "<dl>"
    for parameter in operation["parameters"]:
        yield f"<dt><code>{escape(parameter['name'])}</code> in the {parameter['in']}</dt>"
        yield f"<dd>{_described(parameter['schema'])}</dd>"
    if "requestBody" in operation:
        yield f"<dt>body</dt><dd>{_content(operation['requestBody'])}</dd>"
    for content, responses in groupby(operation["responses"].items(), lambda one: _content(one[1])):
        statuses = (f"{status} {escape(response['description'])}" for status, response in responses)
        yield f"<dt>{', '.join(statuses)}</dt><dd>{content}</dd>"
    yield "</dl>"


def _shape(name: str, schema: dict[str, Any]) -> Iterator[str]:
    yield f'<h2 id="{_id(name)}">{escape(name)}</h2><p>{_prose(schema.get("description", ""))}</p><dl>'
    for field, described in schema.get("properties", {}).items():
        need = ", required" if field in schema.get("required", ()) else ""
        yield f"<dt><code>{escape(field)}</code>{need}</dt><dd>{_described(described)}</dd>"
    yield "</dl>"


def _content(holder: dict[str, Any]) -> str:
    content = holder.get("content", {})
    return ", ".join(f"{escape(media)}: {_described(body['schema'])}" for media, body in content.items())


def _described(schema: dict[str, Any]) -> str:
    """A schema in a few words, with links to other schemas."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#{_id(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return " or ".join(map(_described, schema["anyOf"]))
    if schema.get("type") == "array":
        return f"list of {_described(schema['items'])}"
    about = _prose(schema.get("description", ""))
    if values := schema.get("additionalProperties"):
        return ", ".join(filter(None, [f"object whose values are {_described(values)}", about]))
    if "properties" in schema:
        fields = (f"{escape(name)} ({_described(one)})" for name, one in schema["properties"].items())
        return ", ".join(filter(None, [f"object with {', '.join(fields)}", about]))
    details = (f"{name} {value}" for name, value in schema.items() if name not in {"type", "description"})
    words = [escape(word) for word in (schema.get("type", ""), *details)]
    return ", ".join(filter(None, [*words, about]))


def _prose(text: str) -> str:
    """A text of the document, in which backticks mark code."""
    return _CODE.sub(r"<code>\2</code>", escape(text))
