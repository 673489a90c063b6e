"""docs/api.md names every route with its scope, every scope, and every status that an error may have."""

import re

import app
from chalicelib import forms, openapi
from chalicelib.access import SCOPES
from chalicelib.sources import random_data_api
from local.folders import ROOT

TEXT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_route_is_in_the_table_with_its_scope():
    written = set(re.findall(r"^\| `(\w+) (/\S*)` \| (\w+) \|", TEXT, re.MULTILINE))

    assert written == {(route.method, route.path, route.scope or "open") for route in app.route.all}


def test_the_document_names_exactly_the_existing_scopes():
    sentence = TEXT.partition("Keys have scopes: ")[2].partition(".")[0]

    assert set(re.findall(r"`(\w+)`", sentence)) == SCOPES


def test_every_error_status_is_documented_and_no_other():
    document = openapi.document(app.route.all, random_data_api.DIALECT)
    answered = {
        int(status)
        for methods in document["paths"].values()
        for operation in methods.values()
        for status in operation["responses"]
    }
    table = re.findall(r"^\| ([\d, ]+) \|", TEXT.partition("## Errors")[2], re.MULTILINE)

    assert {int(status) for row in table for status in row.split(", ")} == {s for s in answered if s >= 400}


def test_the_fields_that_can_be_looked_up_are_the_documented_ones():
    sentence = TEXT.partition("**Look-up** takes any tokenised field (")[2].partition(")")[0]

    assert re.findall(r"`(\w+)`", sentence) == list(forms.Lookup.__struct_fields__)
