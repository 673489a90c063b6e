"""The cleaner: it tidies text, generalises dates and places, and keeps each person once."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from datetime import date
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import privacy
from chalicelib.clean import clean
from chalicelib.users import Address, Coordinates, Employment, Subscription, User
from tests.builders import RANDOM_DATA_API, RANDOMUSER, leaves_of

TEXTS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "username": "username",
    "phone_number": "phone_number",
    "social_insurance_number": "social_insurance_number",
    "gender": "gender",
    "employment.title": "employment_title",
    "employment.key_skill": "employment_key_skill",
    "subscription.plan": "subscription_plan",
    "subscription.status": "subscription_status",
    "subscription.payment_method": "subscription_payment_method",
    "subscription.term": "subscription_term",
    "address.city": "city",
    "address.state": "state",
    "address.country": "country",
    "address.zip_code": "zip_code",
    "address.street_name": "street_name",
    "address.street_address": "street_address",
}
ODDITIES = ("", " ", "n/a", " N/A\t", "N/a", "\u00a0Å ", "A\u030a", "\u212b", "ẞ", " ΑΣ", "\u0301x", " x")

texts = st.sampled_from(ODDITIES) | st.text(max_size=8)
uncombined = st.text(
    st.characters(codec="utf-8", exclude_categories=["M"], exclude_characters="İ"), max_size=8
)
maybe = st.none() | texts
few_uids = st.sampled_from([UUID(int=number) for number in range(4)])


def people(uids: st.SearchStrategy[UUID] = few_uids) -> st.SearchStrategy[User]:
    """Valid people, some of them repeated."""
    return st.builds(
        User,
        uid=uids,
        first_name=texts,
        last_name=texts,
        username=uncombined,
        email=st.sampled_from(["a@ex.org", " Å@EX.org\n", "ßΣ@ex.org", "\tA\u030a@ex.org"]),
        date_of_birth=st.dates(),
        address=st.builds(
            Address,
            city=texts,
            street_name=texts,
            street_address=texts,
            zip_code=texts,
            state=texts,
            country=texts,
            coordinates=st.builds(Coordinates, lat=st.floats(-90, 90), lng=st.floats(-180, 180)),
        ),
        phone_number=maybe,
        social_insurance_number=maybe,
        gender=maybe,
        employment=st.none() | st.builds(Employment, title=maybe, key_skill=maybe),
        subscription=st.none()
        | st.builds(Subscription, plan=maybe, status=maybe, payment_method=maybe, term=maybe),
    )


pages = st.lists(people(), max_size=4)


def cleaned(changes: dict[str, Any]) -> dict[str, Any]:
    """One person's cleaned row."""
    return {name: column[0] for name, column in clean([RANDOM_DATA_API.user(changes)]).columns.items()}


def rows(users: Sequence[User]) -> list[tuple[Any, ...]]:
    return list(zip(*clean(list(users)).columns.values(), strict=True))


# Text


def cleaned_texts(written: str) -> dict[str, str | None]:
    """The cleaned form of a text in each column that can hold it."""
    row = cleaned(dict.fromkeys(TEXTS, written))
    return {column: row[column] for column in TEXTS.values()}


@pytest.mark.parametrize("written", ["", " ", "\t\n", "n/a", "N/A", " n/A\u00a0"], ids=ascii)
def test_empty_and_not_available_become_missing(written):
    assert cleaned_texts(written) == dict.fromkeys(TEXTS.values())


def test_outer_space_is_removed_and_inner_space_stays():
    assert cleaned_texts("\u2003 two  words\n") == dict.fromkeys(TEXTS.values(), "two  words")


def test_text_is_composed_so_that_equivalent_texts_are_equal():
    assert cleaned_texts("a\u030a") == dict.fromkeys(TEXTS.values(), "å")


def test_only_email_and_username_are_lowercased():
    assert cleaned_texts("McÅ") == dict.fromkeys(TEXTS.values(), "McÅ") | {"username": "mcå"}


def test_an_email_is_tidied_and_lowercased():
    assert cleaned({"email": " JO\u0308RG@Example.ORG\n"})["email"] == "jörg@example.org"


@pytest.mark.parametrize("written", ["J\u030ca", "H\u0331"], ids=ascii)
def test_a_username_is_composed_after_lowercasing(written):
    # Unicode has a composed letter for j with caron and for h with a line below, but not for their capitals.
    assert unicodedata.is_normalized("NFC", cleaned({"username": written})["username"])


@pytest.mark.parametrize("name", ["Null", "None", "NaN", "NA", "nan", "-", "n/a.", "0"])
def test_a_name_that_looks_like_a_missing_value_is_kept(name):
    assert cleaned({"last_name": name})["last_name"] == name


@pytest.mark.parametrize("group", ["employment", "subscription"])
def test_a_group_that_is_missing_leaves_its_columns_missing(group):
    row = cleaned({group: None})
    columns = [name for name in row if name.startswith(group)]
    assert columns
    assert [row[name] for name in columns] == [None] * len(columns)


# Generalisation


def test_only_the_year_of_a_date_of_birth_is_kept():
    assert cleaned({"date_of_birth": "1999-12-31"})["birth_year"] == 1999


@pytest.mark.parametrize(
    ("code", "prefix"),
    [
        ("02920-2516", "029"),
        ("029", "029"),
        ("02", "02"),
        (" 98104", "981"),
        ("M1 1AE", "M1"),  # the third character is a space, which is trimmed
        ("n/a", None),
        ("", None),
    ],
)
def test_at_most_three_characters_of_a_zip_code_are_kept(code, prefix):
    assert cleaned({"address.zip_code": code})["zip_prefix"] == prefix


@pytest.mark.parametrize(
    ("degrees", "rounded"),
    [
        (58.515311144234516, 58.5),
        (58.56, 58.6),
        (-58.56, -58.6),
        (89.96, 90.0),
        (-90, -90.0),
        (7, 7.0),
        (0.04, 0.0),
        (12.35, 12.4),  # a half is rounded to the even tenth
        (12.25, 12.2),
        (-0.05, 0.0),
    ],
)
def test_a_coordinate_is_rounded_to_a_tenth_of_a_degree(degrees, rounded):
    row = cleaned({"address.coordinates.lat": degrees, "address.coordinates.lng": degrees})
    assert (row["lat"], row["lng"]) == (rounded, rounded)


def test_no_coordinate_is_a_negative_zero():
    row = cleaned({"address.coordinates.lat": -0.04, "address.coordinates.lng": -0.0})
    assert [math.copysign(1, row[name]) for name in ("lat", "lng")] == [1, 1]


@pytest.mark.parametrize(
    ("address", "name", "street"),
    [
        ("98 School Lane", "School Lane", "98 School Lane, School Lane"),
        ("98 School Lane", "n/a", "98 School Lane"),
        ("", " School  Lane ", "School  Lane"),
        ("", "N/A", None),
    ],
)
def test_a_street_is_one_text_of_its_known_parts(address, name, street):
    assert cleaned({"address.street_address": address, "address.street_name": name})["street"] == street


# Each person once


def test_the_last_record_of_a_uid_wins_and_the_others_are_counted():
    names = ["first", "second", "third"]
    page = clean([RANDOM_DATA_API.user({"first_name": name}) for name in names])
    assert (page.columns["first_name"], page.duplicates) == (["third"], 2)


def test_the_case_of_a_uid_does_not_matter():
    uid = RANDOM_DATA_API.record()["uid"]
    page = clean([RANDOM_DATA_API.user({"uid": written}) for written in (uid, uid.upper())])
    assert (page.columns["uid"], page.duplicates) == ([uid], 1)


def test_a_page_without_people_has_all_columns_empty():
    page = clean([])
    assert page.columns.keys() == clean([RANDOM_DATA_API.user()]).columns.keys()
    assert ([column for column in page.columns.values() if column], page.duplicates) == ([], 0)


def test_every_stored_column_is_present():
    assert privacy.TREATMENT_OF.keys() <= clean([]).columns.keys()


@given(users=pages)
def test_columns_hold_each_person_once_and_duplicates_are_counted(users):
    page = clean(users)
    assert {len(column) for column in page.columns.values()} == {len({user.uid for user in users})}
    assert page.duplicates == len(users) - len(page.columns["uid"])


@given(users=pages)
def test_the_last_record_of_a_uid_wins_in_every_column(users):
    last = [user for place, user in enumerate(users) if user.uid not in {u.uid for u in users[place + 1 :]}]
    assert rows(users) == rows(last)
    assert [row[0] for row in rows(users)] == [str(user.uid) for user in last]


@given(users=st.lists(people(st.uuids()), max_size=4, unique_by=lambda user: user.uid))
def test_cleaning_a_person_does_not_depend_on_the_rest_of_the_page(users):
    assert rows(users) == [row for user in users for row in rows([user])]


# The output


@given(users=pages)
def test_values_are_plain_python_and_never_nan(users):
    kinds = {"uid": {str}, "birth_year": {int}, "lat": {float}, "lng": {float}}
    for name, column in clean(users).columns.items():
        assert {type(value) for value in column} <= kinds.get(name, {str, type(None)})
        assert [value for value in column if isinstance(value, float) and not math.isfinite(value)] == []


@given(users=pages)
def test_no_text_is_empty_or_padded_or_decomposed(users):
    columns = clean(users).columns
    texts = [value for name in TEXTS.values() for value in columns[name] if value is not None]
    texts += [value for name in ("zip_prefix", "street") for value in columns[name] if value is not None]
    assert [text for text in texts if not text or text != text.strip()] == []
    assert [text for text in texts if not unicodedata.is_normalized("NFC", text)] == []


@given(users=pages)
def test_cleaning_twice_changes_nothing(users):
    page = clean(users)
    again = clean([again_as_user(page.columns, place) for place in range(len(page.columns["uid"]))])
    assert again.columns == page.columns
    assert again.duplicates == 0


def again_as_user(columns: dict[str, list[Any]], place: int) -> User:
    def text(name: str) -> str:
        return columns[name][place] or ""

    return User(
        uid=UUID(columns["uid"][place]),
        first_name=text("first_name"),
        last_name=text("last_name"),
        username=text("username"),
        email=text("email"),
        date_of_birth=date(columns["birth_year"][place], 1, 1),
        address=Address(
            city=text("city"),
            street_name=text("street_name"),
            street_address=text("street_address"),
            zip_code=text("zip_code"),
            state=text("state"),
            country=text("country"),
            coordinates=Coordinates(lat=columns["lat"][place], lng=columns["lng"][place]),
        ),
        phone_number=text("phone_number"),
        social_insurance_number=text("social_insurance_number"),
        gender=text("gender"),
        employment=Employment(text("employment_title"), text("employment_key_skill")),
        subscription=Subscription(
            text("subscription_plan"),
            text("subscription_status"),
            text("subscription_payment_method"),
            text("subscription_term"),
        ),
    )


def test_users_of_both_apis_are_cleaned_alike():
    page = clean([RANDOM_DATA_API.user(), RANDOMUSER.user()])
    assert page.columns["zip_prefix"] == ["029", "981"]
    assert page.columns["city"] == ["New Juliantown", "Kahramanmaraş"]
    assert page.columns["subscription_plan"] == ["Basic", None]
    assert page.columns["lng"] == [-89.7, 155.2]


def test_a_clean_page_is_immutable():
    with pytest.raises(FrozenInstanceError):
        clean([]).duplicates = 1


def test_the_repr_of_a_clean_page_shows_no_value():
    record = RANDOM_DATA_API.record()
    page = clean([RANDOM_DATA_API.user()])
    assert [leaf for leaf in leaves_of(record) if str(leaf) in f"{page!r} {page}"] == []
