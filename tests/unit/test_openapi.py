"""The OpenAPI document: it describes what each route really does, and is generated from the same types."""

import inspect
import json
import re

import msgspec
import openapi_spec_validator
import pytest

import app
from chalicelib import forms, manual, openapi, people, stats, views
from chalicelib.access import SCOPES
from chalicelib.sources import random_data_api
from tests.integration.api_support import ROUTES
from tests.unit.test_custom import EMPLOYEES

# The statuses that each operation can answer with, repeated here independently.
ALWAYS = {400, 429, 500, 503, 504}
SCOPED = ALWAYS | {401, 403}
STATUSES = {
    ("GET", "/"): ALWAYS | {200, 307},
    ("GET", "/web/{version}/{asset}"): ALWAYS | {200, 404},
    ("GET", "/health"): ALWAYS | {200},
    ("GET", "/openapi.json"): ALWAYS | {200},
    ("GET", "/docs"): ALWAYS | {200},
    ("GET", "/contract"): SCOPED | {200},
    ("GET", "/users"): SCOPED | {200, 404, 406},
    ("POST", "/users/lookup"): SCOPED | {200, 404, 406, 413, 415},
    ("GET", "/users/{uid}"): SCOPED | {200, 304, 404},
    ("DELETE", "/users/{uid}"): SCOPED | {200, 409},
    ("GET", "/stats"): SCOPED | {200},
    ("GET", "/runs"): SCOPED | {200},
    ("POST", "/runs"): SCOPED | {202, 404, 409, 413, 415},
    ("GET", "/runs/{run_id}"): SCOPED | {200, 404},
    ("POST", "/runs/{run_id}/stop"): SCOPED | {200, 404},
    ("GET", "/runs/{run_id}/rejects"): SCOPED | {200, 404},
}

HEADERS = {
    ("GET", "/users"): {"Link", "X-Data-Source"},
    ("GET", "/runs"): {"Link"},
    ("GET", "/runs/{run_id}/rejects"): {"Link"},
    ("POST", "/users/lookup"): {"Link", "X-Data-Source"},
    ("GET", "/users/{uid}"): {"ETag", "X-Data-Source"},
    ("GET", "/stats"): {"X-Data-Source"},
    ("POST", "/runs"): {"Location"},
}


@pytest.fixture(scope="module")
def document():
    """The document as sent over HTTP."""
    return json.loads(json.dumps(openapi.document(app.route.all, random_data_api.DIALECT)))


def operations(document):
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_it_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1.")
    openapi_spec_validator.validate(document)


def test_it_holds_exactly_the_routes_of_the_app(document):
    registered = {
        (method, path) for path, methods in app.app.routes.items() for method in methods if method != "HEAD"
    }

    assert set(operations(document)) == registered == {(method, path) for method, path, _ in ROUTES}


def test_it_names_the_scope_of_every_route(document):
    for method, path, scope in ROUTES:
        operation = operations(document)[method, path]
        if scope is None:
            assert "security" not in operation
        else:
            assert [set(one) for one in operation["security"]] == [{"apiKey"}]
            assert f"`{scope}`" in operation["description"]
            assert not [other for other in SCOPES - {scope} if f"`{other}`" in operation["description"]]
    assert document["components"]["securitySchemes"]["apiKey"] == {"type": "http", "scheme": "bearer"}


def test_every_operation_documents_the_statuses_that_it_can_give(document):
    for which, operation in operations(document).items():
        documented = {int(status) for status in operation["responses"]}
        assert documented >= STATUSES[which], which
        assert documented - STATUSES[which] <= {404}, which  # erasing nobody is no 404, but may document it


def test_every_error_is_a_problem_document(document):
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for which, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and (which, status) != (("GET", "/health"), "503"):
                assert response["content"] == problem, (which, status)


def test_a_failing_health_check_is_documented_in_full(document):
    health = operations(document)["GET", "/health"]["responses"]["503"]["content"]

    assert {"$ref": "#/components/schemas/Health"} in [media["schema"] for media in health.values()]


def test_every_success_and_redirection_documents_its_headers(document):
    for which, operation in operations(document).items():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                own = {"Location"} if status == "307" else HEADERS.get(which, set())
                assert set(response["headers"]) == {"X-Request-Id"} | own, which


def test_every_view_type_is_a_component(document):
    types = {
        name
        for room in (views, stats)
        for name, one in inspect.getmembers(room, inspect.isclass)
        if issubclass(one, msgspec.Struct) and one.__module__ == room.__name__
    }

    assert types <= set(document["components"]["schemas"])


def test_every_component_is_one_of_our_types_and_is_referenced(document):
    text = json.dumps(document)
    for name in document["components"]["schemas"]:
        assert any(hasattr(room, name) for room in (views, people, stats, forms))
        assert f'"#/components/schemas/{name}"' in text, name


def test_a_component_has_the_fields_of_its_type(document):
    for name, schema in document["components"]["schemas"].items():
        room = next(room for room in (views, people, stats, forms) if hasattr(room, name))
        fields = getattr(room, name).__struct_fields__
        none = {"custom"} if name == "Lookup" else set()  # the dialect has no custom fields
        assert set(schema["properties"]) == set(fields) - none, name


def test_every_parameter_is_one_that_the_route_accepts(document):
    declared = {(route.method, route.path): route for route in app.route.all}
    for which, operation in operations(document).items():
        in_query = {one["name"] for one in operation["parameters"] if one["in"] == "query"}
        in_path = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert in_query == set(declared[which].query.__struct_fields__) - {
            "custom"
        }  # of which there are none
        assert in_path == set(re.findall(r"{(\w+)}", which[1]))


def test_the_custom_fields_of_the_dialect_are_named_with_their_types(document):
    described = openapi.document(app.route.all, EMPLOYEES)
    parameters = operations(described)["GET", "/users"]["parameters"]

    (custom,) = (one for one in parameters if one["schema"].get("type") == "object")
    assert (custom["name"], custom["style"], custom["explode"]) == ("custom", "deepObject", True)
    assert {one.get("style") for one in parameters if one is not custom} == {None}
    assert custom["schema"]["additionalProperties"] is False
    text = {"type": "string", "minLength": 1, "pattern": "^[^\\x00]+$"}
    assert custom["schema"]["properties"] == {
        "tongue": {**text, "maxLength": 200},
        "level": {"type": "integer"},
        "score": {"type": "number"},
        "active": {"type": "boolean"},
        "hired": {**text, "maxLength": 500, "format": "date"},
        "seen": {**text, "maxLength": 500, "format": "date-time"},
        "team": {**text, "maxLength": 500, "format": "uuid"},
        "roles": {**text, "maxLength": 200},
        "scores": {"type": "number"},
    }
    looked_up = described["components"]["schemas"]["Lookup"]["properties"]["custom"]
    raw = {"type": "string", "minLength": 1, "maxLength": 500}
    assert looked_up["properties"] == {"boss": raw, "aliases": raw}
    assert (looked_up["minProperties"], looked_up["additionalProperties"]) == (1, False)
    page = manual.page(described)
    assert "object with tongue (string, " in page
    assert "object with boss (string, " in page


def test_a_look_up_needs_at_least_one_value_and_allows_no_other_fields(document):
    lookup = document["components"]["schemas"]["Lookup"]

    assert (lookup["minProperties"], lookup["additionalProperties"]) == (1, False)


@pytest.mark.parametrize("field", [name for name in forms.Lookup.__struct_fields__ if name != "custom"])
def test_no_raw_value_has_a_pattern(document, field):
    """Python and the regex engines of the document's readers differ on what is a space, digit or letter."""
    schemas = document["components"]["schemas"]

    assert "pattern" not in str(schemas["Lookup"]["properties"][field])


def test_exports_are_documented_with_their_media_types(document):
    for which in (("GET", "/users"), ("POST", "/users/lookup")):
        content = operations(document)[which]["responses"]["200"]["content"]
        assert set(content) == {"application/json", "application/x-ndjson", "text/csv"}


def test_every_operation_has_a_one_sentence_summary_and_a_unique_name(document):
    all_of_them = operations(document).values()

    assert all(re.fullmatch(r"[A-Z].*\.", operation["summary"]) for operation in all_of_them)
    assert len({operation["operationId"] for operation in all_of_them}) == len(all_of_them)


def examples_of(schema, document):
    """The examples of a schema, of what it refers to, and of its parts."""
    if "$ref" in schema:
        return examples_of(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    own = [*schema.get("examples", []), *([schema["example"]] if "example" in schema else [])]
    parts = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    parts += [schema["items"]] if "items" in schema else []
    return own or [example for part in parts for example in examples_of(part, document)]


def has_example(media, document):
    return "example" in media or "examples" in media or bool(examples_of(media["schema"], document))


def test_every_request_body_has_an_example(document):
    bodies = {
        which: operation["requestBody"]["content"]["application/json"]
        for which, operation in operations(document).items()
        if "requestBody" in operation
    }

    assert len(bodies) == 2
    assert [which for which, media in bodies.items() if not has_example(media, document)] == []


def test_a_route_that_takes_a_body_requires_one(document):
    bodies = [one["requestBody"] for one in operations(document).values() if "requestBody" in one]

    assert [body["required"] for body in bodies] == [True, True]


def test_every_json_response_has_an_example(document):
    without = [
        (which, status)
        for which, operation in operations(document).items()
        for status, response in operation["responses"].items()
        for kind, media in response.get("content", {}).items()
        if kind.endswith("json") and not has_example(media, document) and which != ("GET", "/openapi.json")
    ]

    assert without == []


def test_the_server_url_is_where_the_document_was_requested():
    """Whatever the prefix before the routes: a stage's name, LocalStack's path, or none."""
    assert openapi.document(app.route.all, random_data_api.DIALECT)["servers"] == [{"url": "."}]


def test_it_is_built_anew_each_time_so_that_no_caller_can_change_it():
    first = openapi.document(app.route.all, random_data_api.DIALECT)
    first["paths"].clear()
    first["components"]["schemas"]["Lookup"].clear()

    assert (
        openapi.document(app.route.all, random_data_api.DIALECT)["components"]["schemas"]["Lookup"][
            "minProperties"
        ]
        == 1
    )
