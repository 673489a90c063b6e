"""The OpenAPI document as a page: complete, plain HTML, without scripts and external resources."""

import re
from html.parser import HTMLParser

import pytest

import app
from chalicelib import manual, openapi
from chalicelib.sources import random_data_api
from tests.integration.api_support import ROUTES

ANCHORS = {f"{method}{path}" for method, path, _ in ROUTES}
VOID = {"meta", "!doctype"}


class Page(HTMLParser):
    """Collects what is on the page; fails on a wrongly closed tag."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.texts = [], set(), [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        self.ids += [value for name, value in attrs if name == "id"]
        self.links += [value for name, value in attrs if name in {"href", "src"}]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def document():
    return openapi.document(app.route.all, random_data_api.DIALECT)


@pytest.fixture(scope="module")
def page(document):
    return Page(manual.page(document))


def test_every_tag_is_closed(page):
    assert page.open == []


def test_every_route_is_on_the_page(page):
    text = "".join(page.texts)

    for method, path, scope in ROUTES:
        assert f"{method} {path}" in text
        assert scope is None or f"scope {scope}" in text


def test_the_page_says_how_to_send_a_key(page):
    assert "Authorization: Bearer" in "".join(page.texts)


def test_what_the_document_marks_as_code_is_shown_as_code(page):
    assert "`" not in "".join(page.texts)
    assert "read" in page.texts


def test_every_schema_is_on_the_page_and_every_link_leads_to_one(page, document):
    assert sorted(page.ids) == sorted([*ANCHORS, *document["components"]["schemas"]])
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)


def test_what_a_body_may_hold_is_linked_from_its_route(page):
    assert {"#Lookup", "#NewRun"} <= set(page.links)


def test_the_routes_are_listed_first(page):
    assert {link.removeprefix("#") for link in page.links[: len(ROUTES)]} == ANCHORS


def test_errors_that_are_described_alike_are_named_together(page):
    assert (
        page.texts.count("Problem") == len(ROUTES) + 2
    )  # its heading, and /health describes 503 differently


def test_what_is_required_is_called_so(page, document):
    required = sum(len(schema.get("required", ())) for schema in document["components"]["schemas"].values())
    assert page.texts.count(", required") == required > 0


def test_every_parameter_field_and_status_is_on_the_page(page, document):
    text = "".join(page.texts)

    for methods in document["paths"].values():
        for operation in methods.values():
            assert all(parameter["name"] in text for parameter in operation["parameters"])
            assert all(status in text for status in operation["responses"])
    for schema in document["components"]["schemas"].values():
        assert all(field in text for field in schema["properties"])


def test_the_page_has_no_script_and_loads_nothing(page):
    """The Content-Security-Policy would forbid it anyway."""
    assert not page.tags & {"script", "style", "link", "img", "iframe", "object", "form", "svg"}
    assert all(link.startswith("#") for link in page.links)


def test_the_documents_text_is_never_read_as_html():
    hostile = "<script>alert('&')</script>"
    schema = {"type": "object", "description": hostile, "properties": {hostile: {"type": "string"}}}
    document = {
        "info": {"title": hostile},
        "components": {"schemas": {hostile: schema}},
        "paths": {
            f"/{hostile}": {
                "get": {
                    "summary": hostile,
                    "description": hostile,
                    "parameters": [{"name": hostile, "in": "query", "schema": {"description": hostile}}],
                    "responses": {"200": {"description": hostile}},
                }
            }
        },
    }

    page = Page(manual.page(document))

    assert "script" not in page.tags
    assert sum(len(re.findall(re.escape(hostile), text)) for text in page.texts) >= 8
