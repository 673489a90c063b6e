"""What is specific to each dialect: field names, types, envelope, queries."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from chalicelib.sources import random_data_api, randomuser
from chalicelib.users import Address, Coordinates, Employment, Subscription, User
from chalicelib.validation import validate
from tests.builders import MISSING, RANDOM_DATA_API, RANDOMUSER, facts

TODAY = date(2024, 2, 29)


def read(changes: dict[str, Any] | None = None) -> User:
    page = validate(RANDOMUSER.page(RANDOMUSER.record(changes)), RANDOMUSER.dialect, TODAY)
    assert not page.rejects
    return page.users[0]


def issues_with(path: str, value: Any) -> list[tuple[str, str]]:
    page = validate(RANDOMUSER.page(RANDOMUSER.record({path: value})), RANDOMUSER.dialect, TODAY)
    return [(issue.path, issue.rule) for reject in page.rejects for issue in reject.issues]


def test_a_randomuser_record_is_decoded_as_a_user():
    page = validate(RANDOMUSER.page(*RANDOMUSER.samples()), RANDOMUSER.dialect, TODAY)
    assert page.users[1] == User(
        uid=UUID("d3a0b2f8-4497-4ee6-849c-5d183906e1b0"),
        first_name="Ronald",
        last_name="Dunn",
        username="organicrabbit388",
        email="ronald.dunn@example.com",
        date_of_birth=date(1992, 4, 28),
        address=Address(
            city="Bristol",
            street_name="School Lane",
            street_address="98 School Lane",
            zip_code="T1W 2FD",
            state="West Yorkshire",
            country="United Kingdom",
            coordinates=Coordinates(lat=-7.2959, lng=-36.4704),
        ),
        phone_number="019467 36322",
        social_insurance_number="ZP 13 58 84 C",
        gender="male",
        employment=None,
        subscription=None,
    )


def test_a_random_data_api_record_is_decoded_as_a_user():
    page = validate(
        RANDOM_DATA_API.page(*RANDOM_DATA_API.samples()),
        RANDOM_DATA_API.dialect,
        TODAY,
    )
    assert facts(page.users[:1]) == facts(
        [
            User(
                uid=UUID("f80b9b0d-c04d-4a77-86b5-43981186a788"),
                first_name="Willodean",
                last_name="Welch",
                username="willodean.welch",
                email="willodean.welch@email.com",
                date_of_birth=date(2001, 10, 14),
                address=Address(
                    city="New Juliantown",
                    street_name="Bogan View",
                    street_address="3917 Carlos Shore",
                    zip_code="02920-2516",
                    state="Rhode Island",
                    country="United States",
                    coordinates=Coordinates(lat=58.515311144234516, lng=-89.72266634828952),
                ),
                phone_number="+269 (502) 916-5132",
                social_insurance_number="546203720",
                gender="Non-binary",
                employment=Employment(title="Corporate Executive", key_skill="Self-motivated"),
                subscription=Subscription(
                    plan="Basic", status="Pending", payment_method="Cash", term="Payment in advance"
                ),
            )
        ]
    )


@pytest.mark.parametrize(
    ("postcode", "zip_code"), [(98104, "98104"), (0, "0"), ("02920", "02920"), ("T1W 2FD", "T1W 2FD")]
)
def test_a_postcode_is_a_number_or_a_text(postcode, zip_code):
    assert read({"location.postcode": postcode}).address.zip_code == zip_code


@pytest.mark.parametrize(("number", "written"), [(12, "12 Main St"), ("12b", "12b Main St")])
def test_a_street_number_is_a_number_or_a_text(number, written):
    street = {"location.street.number": number, "location.street.name": "Main St"}
    assert read(street).address.street_address == written


@pytest.mark.parametrize("path", ["location.postcode", "location.street.number"])
def test_a_number_in_place_of_a_text_has_at_most_ten_digits(path):
    assert issues_with(path, 9_999_999_999) == []
    assert issues_with(path, 10_000_000_000) == [(path, "range")]
    assert issues_with(path, b"1" * 4_000) == [(path, "range")]


@pytest.mark.parametrize("path", ["location.postcode", "location.street.number"])
def test_a_number_in_place_of_a_text_is_a_non_negative_integer(path):
    assert issues_with(path, 0) == []
    assert issues_with(path, -1) == [(path, "range")]
    assert issues_with(path, 5.5) == [(path, "type")]


@pytest.mark.parametrize(
    ("written", "degrees"),
    [
        ("69.4328", 69.4328),
        ("-7", -7.0),
        (" 7.50\n", 7.5),
        ("007", 7.0),
        ("1.5e1", 15.0),
        ("15E-1", 1.5),
        ("-0.0", 0.0),
        (69.4328, 69.4328),
        (7, 7.0),
        ("90", 90.0),
        ("-90.0", -90.0),
        ("0." + "3" * 40, 0.3333333333333333),
    ],
)
def test_a_coordinate_is_a_number_or_a_number_as_text(written, degrees):
    assert read({RANDOMUSER.lat: written}).address.coordinates.lat == degrees


@pytest.mark.parametrize(
    "written",
    [
        "",
        " ",
        "north",
        "7,5",
        "7 5",
        "+7",
        ".5",
        "5.",
        "0x10",
        "1_0",  # a Python spelling of ten; float() accepts it and the next three
        "nan",
        "Infinity",
        "١٢",
        "1" * 21,
        "0." + "3" * 41,
        "of length",  # part of the messages from which rules are derived
        "Invalid UUID",
        "<= 90",
    ],
)
def test_a_coordinate_that_is_not_a_json_number_is_reported_as_type(written):
    assert issues_with(RANDOMUSER.lng, written) == [(RANDOMUSER.lng, "type")]


@pytest.mark.parametrize("written", ["90.0001", "-91", "1e999", "9" * 20])
def test_a_latitude_as_text_is_bounded_too(written):
    assert issues_with(RANDOMUSER.lat, written) == [(RANDOMUSER.lat, "range")]


@pytest.mark.parametrize("written", ["180.0001", "-181"])
def test_a_longitude_as_text_is_bounded_too(written):
    assert issues_with(RANDOMUSER.lng, written) == [(RANDOMUSER.lng, "range")]
    assert issues_with(RANDOMUSER.lng, "179.9") == []


@pytest.mark.parametrize(
    "moment",
    [
        "1961-05-07T05:47:57.379Z",
        "1961-05-07T00:00:00+14:00",  # in UTC this is the day before
        "1961-05-07T23:59:59-12:00",  # and this the day after
        "1961-05-07T05:47:57",
    ],
)
def test_a_day_of_birth_is_read_in_its_own_time_zone(moment):
    assert read({"dob.date": moment}).date_of_birth == date(1961, 5, 7)


def test_a_moment_of_today_is_not_in_the_future():
    assert read({"dob.date": "2024-02-29T23:59:59Z"}).date_of_birth == TODAY


@pytest.mark.parametrize("moment", ["1961-05-07", "1961-05-07T24:00:00Z", "1961-05-07T05:60:00Z"])
def test_an_invalid_time_is_reported_as_date(moment):
    assert issues_with("dob.date", moment) == [("dob.date", "date")]


@pytest.mark.parametrize(
    "changes",
    [{"id": None}, {"id": MISSING}, {"id.value": None}, {"id.value": MISSING}],
    ids=["null", "missing", "null value", "missing value"],
)
def test_an_insurance_number_may_be_missing_at_each_level(changes):
    assert read(changes).social_insurance_number is None


def test_passwords_and_pictures_are_never_decoded():
    fields = RANDOMUSER.dialect.record_type.__struct_fields__
    assert set(fields) == {"gender", "name", "location", "email", "login", "dob", "phone", "id"}
    assert randomuser.Login.__struct_fields__ == ("uuid", "username")


def test_each_api_is_queried_with_its_own_parameter_names():
    assert random_data_api.query(page=3, size=100) == {"size": 100, "page": 3}
    assert randomuser.query(page=3, size=100) == {"results": 100, "page": 3}


def test_the_dialects_have_the_names_that_the_setting_uses():
    assert (random_data_api.DIALECT.name, randomuser.DIALECT.name) == ("random-data-api", "randomuser")
