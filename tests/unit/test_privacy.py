"""The room that holds the keys: what happens to each field, and what a token is."""

import base64
import hmac
import json
import re
import unicodedata
from collections.abc import Collection
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from chalicelib import people, privacy
from chalicelib.clean import clean
from chalicelib.errors import ConfigError, TokenError
from chalicelib.privacy import Field, Tokeniser, protect
from tests.builders import RANDOM_DATA_API, RANDOMUSER

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
TOKEN = re.compile(r"v[0-9]+_[A-Za-z0-9_-]{24}")
FIELDS = (
    "first_name",
    "last_name",
    "username",
    "email",
    "phone_number",
    "social_insurance_number",
    "street",
)
PLAIN = ("first_name", "last_name", "street")
CASELESS = ("email", "username")

each_field = pytest.mark.parametrize("field", FIELDS)
fields = st.sampled_from(FIELDS)
values = st.text(st.characters(codec="utf-8"), max_size=20).map(lambda text: f"a1{text}")  # never empty


@pytest.fixture
def tokeniser() -> Tokeniser:
    return Tokeniser({1: KEY})


one_key = Tokeniser({1: KEY})
two_keys = Tokeniser({1: KEY, 2: OTHER_KEY})


def token_by_definition(key: bytes, version: int, field: str, normal: str) -> str:
    mac = mac_by_definition(key, field, normal.encode())
    return f"v{version}_{base64.urlsafe_b64encode(mac[:18]).decode()}"


def mac_by_definition(key: bytes, field: str, message: bytes) -> bytes:
    """RFC 5869 and RFC 2104 by hand, without using the code under test."""
    extracted = hmac.digest(bytes(32), key, "sha256")  # without a salt, HKDF uses zeros
    field_key = hmac.digest(extracted, field.encode() + b"\x01", "sha256")  # HKDF's first 32 bytes of output
    return hmac.digest(field_key, message, "sha256")


# The table


def test_the_table_matches_the_design():
    assert {(field.path, field.treatment, field.column) for field in privacy.CONTRACT} == {
        ("uid", "keep", "uid"),
        *((name, "token", name) for name in ("first_name", "last_name", "username", "email")),
        *((name, "token", name) for name in ("phone_number", "social_insurance_number")),
        ("date_of_birth", "generalise", "birth_year"),
        ("gender", "keep", "gender"),
        *((f"employment.{name}", "keep", f"employment_{name}") for name in ("title", "key_skill")),
        *(
            (f"subscription.{name}", "keep", f"subscription_{name}")
            for name in ("plan", "status", "payment_method", "term")
        ),
        *((f"address.{name}", "keep", name) for name in ("city", "state", "country")),
        ("address.zip_code", "generalise", "zip_prefix"),
        *((f"address.coordinates.{name}", "generalise", name) for name in ("lat", "lng")),
        *((f"address.{name}", "token", "street") for name in ("street_name", "street_address")),
    }


def test_every_field_that_the_source_sends_has_a_row():
    contract = people.contract(one_key, RANDOM_DATA_API.dialect)
    decided = {field.path.partition(".")[0] for field in contract.fields}
    assert {name for record in RANDOM_DATA_API.samples() for name in record} == decided


STREET, GENDER = (Field(name, "token", name) for name in ("street", "gender"))


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ([STREET, Field("address.street_name", "drop", "street")], "in two ways"),
        ([GENDER, Field("gender", "keep", "gender")], "in two ways"),
        ([Field("nickname", "generalise", "nickname")], "nothing generalises nickname"),
        ([Field("date_of_birth", "keep", "birth_year")], "date_of_birth is already generalised"),
        ([Field("address.zip_code", "token", "zip_prefix")], "is already generalised"),
        ([Field("uid", "drop", "uid")], "must be kept"),
    ],
)
def test_an_inconsistent_table_is_refused(table, problem):
    with pytest.raises(ValueError, match=problem):
        privacy._by_column(table)


def test_every_field_that_is_not_dropped_has_a_column():
    assert [field.path for field in privacy.CONTRACT if field.treatment != "drop" and not field.column] == []


def test_the_hash_identifies_the_table(monkeypatch):
    before = privacy.contract_hash({})
    assert re.fullmatch(r"[0-9a-f]{16}", before)
    assert before == privacy.contract_hash({})
    monkeypatch.setattr(privacy, "CONTRACT", (*privacy.CONTRACT, Field("nickname", "drop")))
    assert privacy.contract_hash({}) != before


def test_the_hash_identifies_the_custom_fields_in_any_order():
    fields = {"language": "keep", "manager": "token"}
    hashes = [privacy.contract_hash(custom) for custom in ({}, fields, fields | {"language": "token"})]
    assert len(set(hashes)) == 3
    assert privacy.contract_hash(dict(reversed(fields.items()))) == hashes[1]


def test_the_table_is_immutable():
    with pytest.raises(FrozenInstanceError):
        privacy.CONTRACT[1].treatment = "keep"


# What is stored


def columns_of(*changes: dict[str, Any]) -> dict[str, list[Any]]:
    return clean([RANDOM_DATA_API.user(change) for change in changes]).columns


def test_a_column_without_a_row_in_the_table_is_not_stored(tokeniser):
    stored = protect({**columns_of({}), "shoe_size": [44]}, tokeniser)
    assert stored.keys() == privacy.TREATMENT_OF.keys()


@pytest.mark.parametrize("column", privacy.TREATMENT_OF)
def test_nothing_of_a_dropped_column_is_stored(tokeniser, monkeypatch, column):
    before = protect(columns_of({}, {}), tokeniser)
    monkeypatch.setitem(privacy.TREATMENT_OF, column, "drop")
    after = protect(columns_of({}, {}), tokeniser)
    assert after == before | {column: [None] * len(before[column])}


def test_a_column_in_the_table_must_be_present(tokeniser):
    columns = columns_of({})
    del columns["gender"]
    with pytest.raises(KeyError, match="gender"):
        protect(columns, tokeniser)


def test_only_tokens_and_kept_or_generalised_values_are_stored(tokeniser):
    stored = protect(
        columns_of({}, {"uid": str(RANDOM_DATA_API.user().uid), "phone_number": None}), tokeniser
    )
    kept = {name: values for name, values in stored.items() if name not in FIELDS}
    assert kept == {
        "uid": ["f80b9b0d-c04d-4a77-86b5-43981186a788"],
        "birth_year": [2001],
        "gender": ["Non-binary"],
        "employment_title": ["Corporate Executive"],
        "employment_key_skill": ["Self-motivated"],
        "subscription_plan": ["Basic"],
        "subscription_status": ["Pending"],
        "subscription_payment_method": ["Cash"],
        "subscription_term": ["Payment in advance"],
        "city": ["New Juliantown"],
        "state": ["Rhode Island"],
        "country": ["United States"],
        "zip_prefix": ["029"],
        "lat": [58.5],
        "lng": [-89.7],
    }
    assert stored["phone_number"] == [None]
    assert all(TOKEN.fullmatch(stored[name][0]) for name in FIELDS if name != "phone_number")


def test_the_street_is_one_token_of_both_its_parts(tokeniser):
    stored = protect(
        columns_of({"address.street_address": "9 A St", "address.street_name": "A St"}), tokeniser
    )
    assert stored["street"] == [token_by_definition(KEY, 1, "street", "9 A St, A St")]


@pytest.mark.parametrize("api", [RANDOM_DATA_API, RANDOMUSER], ids=str)
def test_no_raw_value_of_a_tokenised_or_dropped_field_is_stored(api, tokeniser):
    page = clean(
        [api.dialect.decode_ignoring_unknown(json.dumps(record).encode()) for record in api.samples()]
    )
    stored = repr(protect(page.columns, tokeniser))
    raw = [value for name in (*FIELDS, "street_name", "zip_code") for value in page.columns[name] if value]
    assert raw
    assert [value for value in raw if value in stored] == []


def test_protected_columns_are_a_copy(tokeniser):
    columns = columns_of({})
    protect(columns, tokeniser)["gender"].append("more")
    assert len(columns["gender"]) == 1


# What a token is


@each_field
def test_a_token_matches_the_definition(field, tokeniser):
    assert tokeniser.token(field, "12345") == token_by_definition(KEY, 1, field, "12345")


def test_a_token_is_the_same_in_every_release(tokeniser):
    assert tokeniser.token("email", "a@b.example") == "v1_vFKutZYP9BHUCPNC4lLLwRGG"


@given(field=fields, value=values)
def test_a_token_has_its_key_version_and_24_characters(field, value):
    assert TOKEN.fullmatch(one_key.token(field, value))


@given(field=fields, value=values)
def test_a_token_is_the_same_for_the_same_value(field, value):
    assert Tokeniser({1: KEY}).token(field, value) == one_key.token(field, value)


@given(value=values)
def test_equal_values_in_different_fields_never_match(value):
    names = (*FIELDS, "uid", "record")
    assert len({one_key.token(field, value) for field in names}) == len(names)


@given(first=values, second=values)
def test_different_values_have_different_tokens(first, second):
    assume(unicodedata.normalize("NFC", first).strip() != unicodedata.normalize("NFC", second).strip())
    assert one_key.token("last_name", first) != one_key.token("last_name", second)


def test_another_key_makes_another_token():
    assert (
        Tokeniser({1: OTHER_KEY}).token("email", "a@b.example")[3:]
        != one_key.token("email", "a@b.example")[3:]
    )


# Which values are the same


@given(field=fields, value=values)
def test_composed_and_decomposed_text_is_the_same_value(field, value):
    forms = {one_key.token(field, unicodedata.normalize(form, value)) for form in ("NFC", "NFD")}
    assert len(forms) == 1


@given(field=fields, value=values, before=st.text(" \t\n\u00a0\u2003"), after=st.text(" \t\n\u00a0\u2003"))
def test_space_around_a_value_is_ignored(field, value, before, after):
    assert one_key.token(field, before + value + after) == one_key.token(field, value)


@pytest.mark.parametrize("field", [*CASELESS, "social_insurance_number"])
@given(value=st.text("abcäöåéñжя@.-0123", min_size=1))
def test_the_case_of_an_email_a_username_or_an_insurance_number_is_ignored(field, value):
    assume(any(character.isalnum() for character in value))
    assert one_key.token(field, value.upper()) == one_key.token(field, value)


@pytest.mark.parametrize("field", CASELESS)
def test_a_letter_whose_lower_case_is_decomposed_is_the_same_value(field):
    assert one_key.token(field, "J\u030ca") == one_key.token(field, "\u01f0a")  # ǰ has no composed capital


@pytest.mark.parametrize("field", PLAIN)
@pytest.mark.parametrize(("one", "other"), [("McLean", "Mclean"), ("O'Neil", "ONeil"), ("Ann Lee", "AnnLee")])
def test_case_and_punctuation_matter_in_names_and_streets(field, one, other):
    assert one_key.token(field, one) != one_key.token(field, other)


@pytest.mark.parametrize(
    ("one", "other"), [("first.last@b.example", "firstlast@b.example"), ("a+b@c.d", "a@c.d")]
)
def test_punctuation_matters_in_an_email(one, other):
    assert one_key.token("email", one) != one_key.token("email", other)


@pytest.mark.parametrize(
    "written",
    ["+269 (502) 916-5132 x8822", "269.502.916.5132 ext. 8822", "2695029165132 8822", "٢٦٩-5029165132-8822"],
)
def test_only_the_digits_of_a_phone_number_count(written):
    assert one_key.token("phone_number", written) == token_by_definition(
        KEY, 1, "phone_number", "26950291651328822"
    )


@pytest.mark.parametrize("other", ["5029165132", "+269 502-916-5132", "0269 502 916 5132 8822"])
def test_a_phone_number_with_other_digits_is_another_value(other):
    assert one_key.token("phone_number", other) != one_key.token("phone_number", "+269 502 916 5132 x8822")


@given(
    digits=st.text("0123456789", min_size=1), marks=st.lists(st.sampled_from(" +-().x/\u00a0"), min_size=1)
)
def test_punctuation_in_a_phone_number_is_ignored(digits, marks):
    written = "".join(digit + marks[place % len(marks)] for place, digit in enumerate(digits))
    assert one_key.token("phone_number", written) == one_key.token("phone_number", digits)


@pytest.mark.parametrize("written", ["ZP 13 58 84 C", "zp-135884-c", "ZP_13.58/84 C", " zp135884c "])
def test_only_the_letters_and_digits_of_an_insurance_number_count(written):
    expected = token_by_definition(KEY, 1, "social_insurance_number", "zp135884c")
    assert one_key.token("social_insurance_number", written) == expected


def test_an_insurance_number_with_another_letter_is_another_value():
    numbers = ["ZP135884C", "ZP135884D", "135884"]
    assert len({one_key.token("social_insurance_number", number) for number in numbers}) == len(numbers)


def test_digits_of_an_insurance_number_may_be_of_any_script():
    digits = [one_key.token("social_insurance_number", written) for written in ("546203720", "٥٤٦٢٠٣٧٢٠")]
    assert digits[0] == digits[1]


# What has no token


class Telltale:
    """Not a string; shows its value in every text made of it."""

    def __repr__(self) -> str:
        return "raw-value"

    __str__ = __repr__


@each_field
@pytest.mark.parametrize("value", [None, 5, 0.5, True, b"raw-value", ["raw-value"], Telltale()], ids=repr)
def test_a_value_that_is_not_text_has_no_token(field, value, tokeniser):
    with pytest.raises(TokenError) as caught:
        tokeniser.token(field, value)
    assert str(caught.value) == f"{field}: a token needs text, not {type(value).__name__}"


@each_field
@pytest.mark.parametrize("value", ["", " ", "\t\n\u00a0"], ids=ascii)
def test_an_empty_text_has_no_token(field, value, tokeniser):
    with pytest.raises(TokenError) as caught:
        tokeniser.token(field, value)
    assert str(caught.value) == f"{field}: the value is empty once normalised, so it has no token"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("phone_number", "unlisted"),
        ("phone_number", "+() -"),
        ("social_insurance_number", "--_--"),
    ],
)
def test_a_number_without_digits_has_no_token_and_the_error_does_not_show_it(field, value, tokeniser):
    with pytest.raises(TokenError) as caught:
        tokeniser.candidates(field, value)
    assert value not in f"{caught.value} {caught.value!r} {caught.value.args}"
    assert tokeniser.tokens(field, [value]) == [None]


@pytest.mark.parametrize("field", [*PLAIN, *CASELESS])  # other fields drop all but letters and digits
@pytest.mark.parametrize(
    "ask", [Tokeniser.token, lambda tokeniser, field, value: tokeniser.tokens(field, ["a1", value])]
)
def test_text_that_is_not_unicode_has_no_token(field, ask, tokeniser):
    with pytest.raises(TokenError) as caught:
        ask(tokeniser, field, "raw-value1\ud800")
    assert str(caught.value) == f"{field}: a token needs valid text, not a lone surrogate"
    assert caught.value.__context__ is None  # its context would hold the value


@pytest.mark.parametrize("field", ["last_name", "email", "phone_number"])
@pytest.mark.parametrize("value", [5, 0.5, b"raw-value", 0, False, b""], ids=repr)
def test_a_value_that_is_not_text_has_no_token_in_a_column_either(field, value, tokeniser):
    with pytest.raises(TokenError):
        tokeniser.tokens(field, ["a1", value])


@pytest.mark.parametrize(
    ("field", "value", "normal"),
    [
        ("email", " Stra\u00dfe@X.de ", "stra\u00dfe@x.de"),  # not strasse, which case folding would give
        ("email", "\u0391\u03a3@x.gr", "\u03b1\u03c2@x.gr"),  # a final sigma
        ("username", "\u00a0\u212aelvin\u2003", "kelvin"),  # the Kelvin sign, which is a letter
        ("username", "A\u030angstro\u0308m", "\u00e5ngstr\u00f6m"),
        ("last_name", "\u3000\u00c9 b\t", "\u00c9 b"),
        ("phone_number", "+49 (\u0663) 1\ud800x7", "49317"),
        ("social_insurance_number", "\u00c9B-\u0663_4\ud800", "\u00e9b34"),
    ],
)
def test_non_ascii_text_keeps_its_normal_form_across_releases(field, value, normal, tokeniser):
    assert tokeniser.token(field, value) == token_by_definition(KEY, 1, field, normal)


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        (" Ann.Boss@Example.COM", "ann.boss@example.com"),
        ("Stra\u00dfe@X.de", "stra\u00dfe@x.de"),
        (" McLean ", "McLean"),
        ("00ub0oNGTSWTBKOLGLNR", "00ub0oNGTSWTBKOLGLNR"),
    ],
)
def test_the_case_of_a_custom_value_is_ignored_if_it_has_an_at_sign(value, normal, tokeniser):
    assert tokeniser.token("custom.manager", value) == token_by_definition(KEY, 1, "custom.manager", normal)


@given(field=st.sampled_from([*PLAIN, *CASELESS]), value=values)
def test_text_is_normalised_to_trimmed_nfc_and_for_some_fields_to_lower_case(field, value):
    normal = unicodedata.normalize("NFC", value)
    if field in CASELESS:
        normal = unicodedata.normalize("NFC", normal.lower())
    assert one_key.token(field, value) == token_by_definition(KEY, 1, field, normal.strip())


# A column of tokens


@given(field=fields, column=st.lists(values | st.sampled_from(["a1", " a1", "A1"])))
def test_the_tokens_of_a_column_are_those_of_its_values(field, column):
    assert one_key.tokens(field, column) == [one_key.token(field, value) for value in column]


@each_field
def test_a_missing_value_in_a_column_stays_missing(field, tokeniser):
    token = tokeniser.token(field, "12345")
    assert tokeniser.tokens(field, [None, "12345", "", " ", None, "12345"]) == [
        None,
        token,
        None,
        None,
        None,
        token,
    ]


class Counting(Tokeniser):
    """Counts the expensive operations, which cannot be observed from outside."""

    def __init__(self) -> None:
        super().__init__({1: KEY})
        self.signed = self.derived = 0

    def _make_tokens(self, version: int, field: str, messages: Collection[bytes]) -> list[str]:
        self.signed += len(messages)
        return super()._make_tokens(version, field, messages)

    def _derive(self, version: int, field: str) -> bytes:
        self.derived += 1
        return super()._derive(version, field)


def test_a_column_costs_one_signature_per_distinct_value_and_one_derived_key():
    counting = Counting()
    counting.tokens("last_name", ["Dunn", "Costa", None, "Dunn", "Costa", "Dunn"])
    assert (counting.signed, counting.derived) == (2, 1)


def test_a_column_without_values_has_no_tokens(tokeniser):
    assert tokeniser.tokens("email", []) == []


# Keys


def test_without_a_key_there_are_no_tokens():
    with pytest.raises(ConfigError, match=r"^PII_KEYS: "):
        Tokeniser({})


@pytest.mark.parametrize("keys", [{1: KEY, 2: OTHER_KEY}, {2: OTHER_KEY, 1: KEY}, {9: KEY, 10: OTHER_KEY}])
def test_the_newest_key_signs_whatever_the_order_of_the_keys(keys):
    tokeniser, newest = Tokeniser(keys), max(keys)
    expected = token_by_definition(OTHER_KEY, newest, "email", "a@b.example")
    assert tokeniser.version == newest
    assert tokeniser.token("email", "a@b.example") == expected
    assert tokeniser.tokens("email", ["a@b.example"]) == [expected]
    assert tokeniser.fingerprint(b"{}").startswith(f"v{newest}_")


@given(field=fields, value=values)
def test_every_known_key_gives_a_candidate_token_newest_first(field, value):
    by_key = [Tokeniser({2: OTHER_KEY}).token(field, value), one_key.token(field, value)]
    assert two_keys.candidates(field, value) == by_key


def test_a_tokeniser_is_unaffected_by_later_changes_of_its_key_mapping():
    keys = {1: KEY}
    tokeniser = Tokeniser(keys)
    keys[1] = OTHER_KEY
    assert tokeniser.token("email", "a@b.example") == one_key.token("email", "a@b.example")


def test_no_repr_shows_a_key():
    text = f"{two_keys!r} {two_keys}"
    assert text == "<Tokeniser versions=[2, 1]> <Tokeniser versions=[2, 1]>"


# Erasure, fingerprints, seals


def test_an_erased_person_is_recognised_under_every_key():
    uids = ["f80b9b0d-c04d-4a77-86b5-43981186a788", "0bb79e76-35ba-4189-ac12-13816fa3ab80"]
    assert two_keys.all_candidates("uid", uids) == [
        [token_by_definition(OTHER_KEY, 2, "uid", uid), token_by_definition(KEY, 1, "uid", uid)]
        for uid in uids
    ]


@given(raw=st.binary(max_size=40), other=st.binary(max_size=40))
def test_fingerprints_are_equal_only_for_equal_bytes(raw, other):
    assert TOKEN.fullmatch(one_key.fingerprint(raw))
    assert (one_key.fingerprint(raw) == one_key.fingerprint(other)) == (raw == other)


@each_field
def test_a_fingerprint_differs_from_a_token_of_the_same_text(field):
    assert one_key.fingerprint(b"12345") != one_key.token(field, "12345")


def test_a_fingerprint_is_keyed_and_the_same_in_every_release():
    assert one_key.fingerprint(b"{}") == token_by_definition(KEY, 1, "record", "{}")


@given(payload=st.binary(max_size=60))
def test_a_signed_payload_is_verified_by_the_same_keys(payload):
    assert Tokeniser({1: KEY}).verify("cursor", one_key.sign("cursor", payload)) == payload


def test_a_payload_signed_with_an_older_key_is_verified_while_that_key_is_known():
    signed = one_key.sign("cursor", b"payload")
    assert two_keys.verify("cursor", signed) == b"payload"
    assert Tokeniser({2: OTHER_KEY}).verify("cursor", signed) is None


def test_a_signed_payload_is_the_payload_and_the_start_of_its_mac():
    mac = mac_by_definition(KEY, "cursor", b"payload")
    assert base64.urlsafe_b64decode(one_key.sign("cursor", b"payload")) == b"payload" + mac[:12]


def test_the_newest_key_signs_payloads():
    assert one_key.verify("cursor", two_keys.sign("cursor", b"payload")) is None


@pytest.mark.parametrize("extra", [" ", "\n", "*", "é"])
def test_a_signed_payload_has_only_one_valid_encoding(extra):
    signed = one_key.sign("cursor", b"payload")
    assert one_key.verify("cursor", signed[:4] + extra + signed[4:]) is None


def test_a_payload_signed_for_one_purpose_is_not_verified_for_another():
    assert one_key.verify("receipt", one_key.sign("cursor", b"payload")) is None


@given(payload=st.binary(max_size=30), place=st.integers(0), character=st.sampled_from("AZaz09-_=+/ é\0"))
def test_an_altered_signed_payload_is_not_verified(payload, place, character):
    signed = one_key.sign("cursor", payload)
    place %= len(signed)
    altered = signed[:place] + character + signed[place + 1 :]
    assert one_key.verify("cursor", altered) in ({payload} if altered == signed else {None, payload})


@given(
    signed=st.text(max_size=40)
    | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode())
)
def test_an_unsigned_payload_is_not_verified(signed):
    assert one_key.verify("cursor", signed) is None
