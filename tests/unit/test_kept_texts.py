"""Texts that are stored as they are, and what must not be among them."""

from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from chalicelib import kept_texts

TREATMENTS = {"uid": "keep", "city": "keep", "email": "token"}


def withhold(*cities):
    columns = {"uid": ["0" * 32] * len(cities), "city": list(cities), "email": ["a@b.cd"] * len(cities)}
    return kept_texts.withhold(columns, TREATMENTS)


@pytest.mark.parametrize(
    "text",
    [
        "c/o canary@secret.example",
        "ann@host",
        "+49 171 5550123",
        "call (555) 010-4711-22",
        "078-05-1120",
        "4111 1111 1111 1111",
        "SSN 078051120",
        "0151 / 23456789",
        "+49 (0)151 / 2345678",
        "555 - 123 - 4567",
        "0151\u201323456789",
        "0151\u00a0234\u202f567 89",
        "0151_23456789",
        "4711.0815.4711",
        "٠٧٨٠٥١١٢٠",
        "０９０－１２３４－５６７８",
        "taro＠example.jp",
        "jane @example.com",
        "jane @ example.com",
        "jane@ example.com",
        "044·668·18·00",
        "4111:1111:1111:1111",
        "+49 30\n1234567",
        "0123\u200b4567\u200b890",
        "030 | 123 | 4567",
        "jane%40example.com",
        "jane&#64;example.com",
        "jane&commat;example.com",
        "jane%2540example.com",
        "jane&amp;#64;example.com",
        "jane&#37;2540example.com",
        "%30%31%35%31%32%33%34%35%36",
        "+49&nbsp;171&nbsp;5550123",
    ],
)
def test_an_address_or_a_long_number_is_withheld_and_counted(text):
    columns, withheld = withhold("Lisboa", text, None, text, text)

    assert columns["city"] == ["Lisboa", None, None, None, None]
    assert withheld == {"city": 3}


@pytest.mark.parametrize(
    "text",
    [
        "Lisboa",
        "1040 Wien",
        "2024-01-15",
        "15. 1. 2024",
        "Engineer @ Large",
        "Chef @ St. Moritz",
        "東京都千代田区１－１－１",
        "@home",
        "12345678",
        "Level 3/4",
        "Research & Development",
        "100% Lisboa &c.",
    ],
)
def test_other_texts_are_kept(text):
    columns, withheld = withhold(text, "Lisboa")

    assert columns["city"] == [text, "Lisboa"]
    assert not withheld


def test_two_texts_are_not_read_as_one():
    assert withhold("12345", "67890", "@home.at")[1] == {}
    assert withhold(("12345", "67890", "@home.at"), ("@home.at",))[1] == {}


def test_columns_that_are_not_kept_as_they_are_are_not_touched():
    assert withhold("Lisboa")[0]["email"] == ["a@b.cd"]


@pytest.mark.parametrize("number", [123456789, -4917155501, 38.7107123, 1e16, 1e-9, 0.1 + 0.2])
def test_a_number_of_nine_digits_is_withheld(number):
    columns, withheld = withhold(number, 12345678, None, number)

    assert columns["city"] == [None, 12345678, None, None]
    assert withheld == {"city": 2}


@pytest.mark.parametrize(
    "value",
    [
        12345678,
        -0.5,
        38.7,
        1e7,
        0,
        True,
        date(1987, 3, 5),
        datetime(2026, 1, 31, 12, 0, 0, 1, UTC),
        UUID(int=10**20),
    ],
)
def test_other_values_are_kept(value):
    columns, withheld = withhold(value, None)

    assert columns["city"] == [value, None]
    assert not withheld


def test_uids_are_kept():
    assert withhold("Lisboa")[0]["uid"] == ["0" * 32]
