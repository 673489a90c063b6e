"""The shapes of the answers: a read and a load build the same body, in the order of the SQL."""

import json
import re
from pathlib import Path

import pytest

from chalicelib import stats, views
from chalicelib.clean import clean
from chalicelib.privacy import Tokeniser, protect
from tests.builders import RANDOM_DATA_API

QUERIES = Path(views.__file__).parent / "sql" / "queries"
MOMENT = "2024-02-29T12:00:00.000000Z"
UIDS = [f"00000000-0000-4000-8000-00000000000{digit}" for digit in (1, 2, 3)]


def selected(query: str) -> list[str]:
    """The names of the columns that a query selects, in order."""
    text = (QUERIES / query).read_text(encoding="utf-8")
    listed = re.search(r"SELECT(.*?)FROM", text, re.DOTALL)
    assert listed
    return [re.sub(r"::\w+|.* AS ", "", column.strip()) for column in listed[1].split(",")]


@pytest.fixture
def stored() -> dict[str, list]:
    """Three people, protected, as passed to the store."""
    users = [RANDOM_DATA_API.user({"uid": uid, "first_name": f"Name {uid}"}) for uid in UIDS]
    return protect(clean(users).columns, Tokeniser({1: bytes(32)}))


def test_a_view_is_made_from_the_columns_by_name():
    columns = reversed(selected("users.sql"))
    view = json.loads(views.encode(next(views.user_views({name: [f"the {name}"] for name in columns}))))
    assert view == {
        "uid": "the uid",
        "version": "the version",
        "updated_at": "the updated_at",
        "first_name": "the first_name",
        "last_name": "the last_name",
        "username": "the username",
        "email": "the email",
        "phone_number": "the phone_number",
        "social_insurance_number": "the social_insurance_number",
        "birth_year": "the birth_year",
        "gender": "the gender",
        "employment": {"title": "the employment_title", "key_skill": "the employment_key_skill"},
        "subscription": {
            "plan": "the subscription_plan",
            "status": "the subscription_status",
            "payment_method": "the subscription_payment_method",
            "term": "the subscription_term",
        },
        "address": {
            "city": "the city",
            "state": "the state",
            "country": "the country",
            "zip_prefix": "the zip_prefix",
            "street": "the street",
            "coordinates": {"lat": "the lat", "lng": "the lng"},
        },
        "custom": "the custom",
    }


def test_a_load_and_a_read_build_the_same_body(stored):
    moment, versions = MOMENT, {uid: number for number, uid in enumerate(UIDS, 1)}
    bodies = views.user_bodies(views.user_drafts(stored), versions, moment)
    known = stored | {"version": list(versions.values()), "updated_at": [moment] * 3, "custom": [None] * 3}
    read = views.user_views({name: known[name] for name in selected("users.sql")})
    assert bodies == {view.uid: views.encode(view) for view in read}


def test_only_changed_people_get_a_body(stored):
    assert list(views.user_bodies(views.user_drafts(stored), {UIDS[1]: 7}, MOMENT)) == [UIDS[1]]
    assert views.user_bodies(views.user_drafts(stored), {}, MOMENT) == {}


def test_a_body_has_the_version_and_the_time_of_its_load(stored):
    body = json.loads(views.user_bodies(views.user_drafts(stored), {UIDS[1]: 7}, MOMENT)[UIDS[1]])
    assert (body["uid"], body["version"], body["updated_at"]) == (UIDS[1], 7, MOMENT)


def test_columns_of_different_lengths_are_an_error(stored):
    stored["gender"].pop()
    with pytest.raises(ValueError, match="shorter"):
        views.user_drafts(stored)


def test_missing_values_are_null_and_not_left_out():
    (view,) = views.user_views({name: [None] for name in selected("users.sql")})
    body = json.loads(views.encode(view))
    assert set(body) == set(views.UserView.__struct_fields__) - {"custom"}
    assert body["employment"] == {"title": None, "key_skill": None}


def test_a_problem_without_a_type_is_about_blank():
    assert views.Problem("Not found", 404).type == "about:blank"  # RFC 9457, 4.2.1


def test_a_problem_leaves_out_empty_fields():
    assert json.loads(views.encode(views.Problem("Not found", 404))) == {"title": "Not found", "status": 404}


def test_counts_are_grouped_by_kind_in_their_given_order():
    counts = [("country", "Peru", 2), ("gender", None, 2), ("country", "Chad", 1), ("country", None, 1)]
    view = stats.stats_view(4, MOMENT, counts, stats.risk_view(4, 1, 4, 4, []))
    assert (view.total, view.computed_at) == (4, MOMENT)
    assert view.country == [stats.Count("Peru", 2), stats.Count("Chad", 1), stats.Count(None, 1)]
    assert view.gender == [stats.Count(None, 2)]
    assert view.birth_decade == view.plan == view.key_version == view.erasure_key_version == []


def test_without_people_the_risk_is_empty():
    assert stats.risk_view(0, None, 0, 0, [("email", 0, 0)]) == stats.Risk(
        list(stats.QUASI_IDENTIFIERS), None, 0, 5, 0, 0.0, []
    )


@pytest.mark.parametrize(
    ("total", "distinct", "is_reported"),
    [(10, 2, True), (10, 3, False), (4_999, 1_000, False), (5_000, 1_000, True), (90_000, 1_001, False)],
)
def test_repetitive_tokens_are_reported(total, distinct, is_reported):
    risk = stats.risk_view(total, 1, total, total, [("first_name", distinct, total), ("email", total, total)])
    assert risk.repetitive_tokens == ([stats.TokenFrequency("first_name", distinct)] if is_reported else [])
