"""The OpenAPI 3.1 document, built from the declared routes and the types of their input and output."""

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import msgspec

from chalicelib import __version__, custom, forms, shapes, stats, views
from chalicelib.answers import CONTENT_TYPES, CSV, JSON, NDJSON, PROBLEM
from chalicelib.gate import Route

if TYPE_CHECKING:
    from chalicelib.dialect import Dialect

_REF = "#/components/schemas/{name}"
_ABOUT = "People, as tokens and generalised values. Send an API key as `Authorization: Bearer …`."

_EXAMPLES = {
    NDJSON: {"examples": ['{"uid":"f80b9b0d-c04d-4a77-86b5-43981186a788","version":1}\n']},
    CSV: {"examples": ["uid,version\r\nf80b9b0d-c04d-4a77-86b5-43981186a788,1\r\n"]},
}
_HEADERS_OF: dict[type[msgspec.Struct] | None, tuple[str, ...]] = {
    views.UserList: ("X-Data-Source", "Link"),
    views.RunList: ("Link",),
    views.RejectList: ("Link",),
    views.UserView: ("X-Data-Source", "ETag"),
    stats.Stats: ("X-Data-Source",),
    views.RunStarted: ("Location",),
}
_REPLAY_WITH_PAGES = {"anyOf": [{"required": ["replay", "pages"]}, {"required": ["replay", "page_size"]}]}
_HEADERS = {
    "X-Request-Id": "Identifies the request in the log.",
    "X-Data-Source": "Where the response came from: redis or postgres.",
    "ETag": "Version of the response.",
    "Link": 'URL of the next page, as rel="next", relative to the request URL; absent on the last page.',
    "Location": "URL of the run, relative to the request URL.",
}


def document(routes: Iterable[Route], dialect: "Dialect[Any]") -> dict[str, Any]:
    """The document, with the custom fields of the source's dialect. Its routes are relative to the URL it was
    fetched from, without the last segment.
    """
    declared = list(routes)
    types = [route.returns for route in declared if route.returns]
    types += [route.body for route in declared if route.body]
    forms_used = list(dict.fromkeys(route.query for route in declared))
    _, schemas = msgspec.json.schema_components([*types, *forms_used, views.Problem], ref_template=_REF)
    _name_custom_fields(schemas.get("Users"), dialect, "keep")
    _name_custom_fields(schemas.get("Lookup"), dialect, "token")
    parameters = {form: _query_parameters(schemas.pop(form.__name__)) for form in forms_used}
    schemas.get("Lookup", {})["minProperties"] = 1
    schemas.get("NewRun", {})["not"] = _REPLAY_WITH_PAGES
    paths: dict[str, dict[str, Any]] = {}
    for route in declared:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, parameters[route.query])
    return {
        "openapi": "3.1.0",
        "info": {"title": "Decant", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "."}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"apiKey": {"type": "http", "scheme": "bearer"}},
        },
    }


def _name_custom_fields(form: dict[str, Any] | None, dialect: "Dialect[Any]", treatment: str) -> None:
    """Lists the custom fields that a form may hold, with their types; or removes the place for them."""
    if form is None:
        return
    whole = form["properties"].pop("custom")
    written = whole.pop("additionalProperties")
    named = {
        name: written
        if treatment == "token"
        else _written_as(custom.single_type(dialect.user_type, name), written)
        for name, treated in dialect.custom.items()
        if treated == treatment
    }
    if named:
        form["properties"]["custom"] = {**whole, "properties": named, "additionalProperties": False}


def _written_as(kind: Any, text: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value in a query, which is never null, nor empty if it is a text."""
    if datetime in shapes.choices(kind):  # msgspec names no format, since a time may lack its offset
        text = {**text, "format": "date-time"}
    schema = msgspec.json.schema(kind)
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice != {"type": "null"}]
    schemas = [{**text, **choice} if choice.get("type") == "string" else choice for choice in choices]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, **_style(property_), "schema": property_}
        for name, property_ in schema.get("properties", {}).items()
    ]


def _style(schema: dict[str, Any]) -> dict[str, Any]:
    """How a query writes an object: ``custom[language]=pt``."""
    return {"style": "deepObject", "explode": True} if schema.get("type") == "object" else {}


def _operation(route: Route, query: list[dict[str, Any]]) -> dict[str, Any]:
    summary = (route.handler.__doc__ or "").strip().partition("\n")[0]
    operation: dict[str, Any] = {
        "operationId": route.handler.__name__,
        "summary": summary,
        "parameters": [_path_parameter(name) for name in route.parameters] + query,
        "responses": _responses(route),
    }
    if route.scope:
        operation["security"] = [{"apiKey": [route.scope]}]
        operation["description"] = f"Needs a key with the scope `{route.scope}`."
    if route.body:
        schema = {"$ref": _REF.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": schema}}}
    return operation


def _path_parameter(name: str) -> dict[str, Any]:
    form = forms.PATH_PARAMETERS.get(name)
    kind = {"pattern": form.pattern} if form else {"format": "uuid"}
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", **kind}}


def _responses(route: Route) -> dict[str, Any]:
    responses = {str(route.status): _success(route)}
    if route.path == "/":
        to = {"Location": {"description": "The same URL with the slash.", "schema": {"type": "string"}}}
        headers = _headers(route) | to
        responses["307"] = {"description": "The URL lacks its trailing slash.", "headers": headers}
    if route.returns is views.UserView:
        responses["304"] = {"description": "The caller already has this version.", "headers": _headers(route)}
    responses |= {str(status): _problem(status) for status in sorted(_refusals(route))}
    if route.returns is views.Health:
        responses["503"] = _success(route) | {"description": "Postgres does not answer."}
    return responses


def _success(route: Route) -> dict[str, Any]:
    content: dict[str, Any] = {
        media: {"schema": {"type": "string", **_EXAMPLES.get(media, {})}} for media in _media(route)
    }
    if JSON in content:
        named = getattr(route.returns, "__name__", None)
        content[JSON] = {"schema": {"$ref": _REF.format(name=named)} if named else {"type": "object"}}
    return {"description": HTTPStatus(route.status).phrase, "headers": _headers(route), "content": content}


def _media(route: Route) -> tuple[str, ...]:
    return tuple(CONTENT_TYPES) if route.returns is views.UserList else (route.media,)


def _headers(route: Route) -> dict[str, Any]:
    names = ["X-Request-Id", *_HEADERS_OF.get(route.returns, ())]
    return {name: {"description": _HEADERS[name], "schema": {"type": "string"}} for name in names}


def _problem(status: int) -> dict[str, Any]:
    content = {PROBLEM: {"schema": {"$ref": _REF.format(name="Problem")}}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _refusals(route: Route) -> set[int]:
    """The statuses of all errors that a route can answer with, including the gateway's."""
    refusals = {400, 429, 500, 503, 504}
    if route.scope:
        refusals |= {401, 403}
    if route.parameters or "cursor" in route.query.__struct_fields__:
        refusals |= {404}
    if len(_media(route)) > 1:
        refusals |= {406}
    if route.method == "DELETE":
        refusals |= {409}  # a table of the user's own refers to it
    if route.body:
        refusals |= {413, 415}
    if route.body is forms.NewRun:
        refusals |= {404, 409}  # for the run to replay
    return refusals
