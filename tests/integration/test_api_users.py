"""`GET /users`: everyone exactly once, with any filter and during writes; as JSON, NDJSON or CSV."""

import contextlib
import csv
import io
import itertools
import json
import random
import re
import threading
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest

from chalicelib import wiring
from chalicelib.ledger import RunRequest
from tests.fakes import KEY, page_load, person, uid
from tests.integration.api_support import ROOT, crowd, load
from tests.keys import PII_KEY, pii_keys

NOBODY = {"items": [], "next": None}
KEPT_TEXTS = ["gender", "employment_title", "employment_key_skill", "city", "state", "country"]
KEPT_TEXTS += ["subscription_plan", "subscription_status", "subscription_payment_method", "subscription_term"]


def uids(pages):
    return [item["uid"] for page in pages for item in page.json["items"]]


@pytest.fixture
def people_stored(store):
    """Sixty people, in the order of their uid."""
    rows = crowd(60)
    load(store, *rows)
    return sorted(rows, key=lambda row: row["uid"])


# Pages


def test_without_people_there_is_an_empty_page_and_no_next(api):
    answer = api.get("/users")

    assert (answer.status, answer.json) == (200, NOBODY)
    assert "link" not in answer.headers


def test_a_person_is_shown_as_stored(api, store):
    load(store, person(1, city="Ærøskøbing", gender=None, lat=-0.1, lng=179.9))

    (shown,) = api.get("/users").json["items"]

    assert shown == api.get(f"/users/{uid(1)}").json
    assert shown["address"]["city"] == "Ærøskøbing"
    assert shown["gender"] is None
    assert shown["address"]["coordinates"] == {"lat": -0.1, "lng": 179.9}


@pytest.mark.parametrize("limit", [1, 7, 30, 59, 60, 61, 1000])
def test_walking_all_pages_gives_everyone_exactly_once_in_the_order_of_their_uid(api, people_stored, limit):
    pages = api.walk("/users", query={"limit": limit})

    assert uids(pages) == [row["uid"] for row in people_stored]
    assert [len(page.json["items"]) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[-1].json["items"]


@pytest.mark.usefixtures("people_stored")
def test_a_page_holds_fifty_by_default(api):
    assert len(api.get("/users").json["items"]) == 50


LONG = "\x01" * 200  # the characters with the longest JSON form
SHORT_LISTS = ["\x01" * 40] * 250  # with most quotation marks and commas


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "text/csv"])
@pytest.mark.parametrize(
    ("people", "longest"),
    [
        (701, {}),
        (4, {"custom": {f"field_{number}": [LONG] * 50 for number in range(50)}}),
        (3, {"custom": {f"field_{number}": SHORT_LISTS for number in range(50)}}),
    ],
    ids=["texts", "lists", "lists of short texts"],
)
def test_a_page_ends_early_rather_than_exceed_lambdas_response_limit(api, store, accept, people, longest):
    rows = [person(number, **dict.fromkeys(KEPT_TEXTS, LONG), **longest) for number in range(1, people + 1)]
    load(store, *rows)

    pages = api.walk("/users", query={"limit": 1000}, Accept=accept)

    seen = [
        found
        for page in pages
        for found in re.findall(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", page.body)
    ]
    assert [one.decode() for one in seen] == sorted(row["uid"] for row in rows)
    assert max(len(json.dumps(page.body.decode(), ensure_ascii=False).encode()) for page in pages) < 6_000_000


@pytest.mark.usefixtures("people_stored")
def test_the_link_header_and_next_lead_to_the_same_page(api):
    for page in api.walk("/users", query={"limit": 13, "city": "Springfield"}):
        if page.json["next"] is None:
            assert "link" not in page.headers
        else:
            by_cursor = {"limit": 13, "city": "Springfield", "cursor": page.json["next"]}
            assert api.get(page.next_path).json == api.get("/users", query=by_cursor).json


@pytest.mark.usefixtures("people_stored")
def test_the_limit_may_change_between_pages(api):
    first = api.get("/users", query={"limit": 10}).json
    rest = api.get("/users", query={"limit": 1000, "cursor": first["next"]}).json

    assert [item["uid"] for item in first["items"] + rest["items"]] == uids(api.walk("/users"))


@pytest.mark.usefixtures("people_stored")
def test_a_page_can_be_requested_again(api):
    cursor = api.get("/users", query={"limit": 10}).json["next"]

    first, second = (api.get("/users", query={"limit": 10, "cursor": cursor}) for _ in range(2))

    assert first.body == second.body


# Cursors


def refused(answer):
    assert answer.status == 404, answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    return True


@pytest.fixture
def cursor(api, people_stored):
    return api.get("/users", query={"limit": 10}).json["next"]


def test_a_cursor_with_any_character_changed_is_refused(api, cursor):
    chance = random.Random(1)  # noqa: S311  the same each time
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for place, held in enumerate(cursor):
        other = chance.choice(alphabet.replace(held, ""))
        altered = cursor[:place] + other + cursor[place + 1 :]
        assert refused(api.get("/users", query={"cursor": altered}))


def test_a_truncated_or_lengthened_cursor_is_refused(api, cursor):
    for altered in (
        cursor[:-1],
        cursor[:-4],
        cursor[4:],
        cursor[1:],
        cursor + "A",
        cursor + "AAAA",
        "AAAA",
        "A",
    ):
        assert refused(api.get("/users", query={"cursor": altered}))


@pytest.mark.parametrize("padding", ["=", "=="])
def test_a_cursor_with_added_padding_is_refused(api, cursor, padding):
    assert refused(api.get("/users", query={"cursor": cursor + padding}))


def test_two_cursors_cannot_be_combined(api, cursor):
    other = api.get("/users", query={"limit": 20}).json["next"]

    assert refused(api.get("/users", query={"cursor": cursor[:24] + other[24:]}))


def test_a_malformed_cursor_is_a_bad_request(api):
    for form in ("", "a b", "a/b", "a+b", "\x00", "é", "=", "A" * 101):
        assert api.get("/users", query={"cursor": form}).status == 400, form


@pytest.mark.parametrize(
    "filters",
    [
        {"city": "Springfield"},
        {"updated_since": "2020-01-01T00:00:00Z"},
        {"plan": "Basic", "gender": "Male"},
    ],
)
def test_a_cursor_is_refused_with_other_filters(api, people_stored, filters):
    unfiltered = api.get("/users", query={"limit": 1}).json["next"]
    filtered = api.get("/users", query={"limit": 1, **filters}).json["next"]

    assert refused(api.get("/users", query={"cursor": unfiltered, **filters}))
    assert refused(api.get("/users", query={"cursor": filtered}))
    assert refused(api.get("/users", query={"cursor": filtered, "country": "日本"}))


def test_a_cursor_is_refused_if_the_same_value_is_in_another_filter(api, store):
    load(store, *[person(number, city="Same", state="Same") for number in range(3)])
    of_city = api.get("/users", query={"limit": 1, "city": "Same"}).json["next"]

    assert refused(api.get("/users", query={"cursor": of_city, "state": "Same"}))


def test_a_cursor_of_a_look_up_is_refused_by_the_list_and_vice_versa(api, store, tokeniser):
    email = "someone@example.com"
    load(store, *[person(number, email=tokeniser.token("email", email)) for number in range(3)])
    of_list = api.get("/users", query={"limit": 1}).json["next"]
    of_look_up = api.post("/users/lookup", {"email": email}, query={"limit": 1}).json["next"]

    assert refused(api.get("/users", query={"cursor": of_look_up}))
    assert refused(api.post("/users/lookup", {"email": email}, query={"cursor": of_list}))


@pytest.mark.parametrize("filters", [{}, {"city": "Springfield"}, {"updated_since": "2020-01-01T00:00:00Z"}])
def test_a_cursor_survives_a_rotation_of_the_keys(api, people_stored, app_environment, filters):
    whole = uids(api.walk("/users", query=filters))
    first = api.get("/users", query={"limit": 5, **filters})

    app_environment(PII_KEYS=pii_keys({1: PII_KEY, 2: b"2" * 32}))

    assert uids([first, *api.walk(first.next_path)]) == whole


def test_a_cursor_signed_with_a_removed_key_is_refused(api, cursor, app_environment):
    app_environment(PII_KEYS=pii_keys({2: b"2" * 32}))

    assert refused(api.get("/users", query={"cursor": cursor}))


def test_a_cursor_of_another_installation_is_refused(api, cursor, app_environment):
    app_environment(PII_KEYS=pii_keys({1: b"another root key, of the same ve"}))

    assert refused(api.get("/users", query={"cursor": cursor}))


def test_a_cursor_works_after_its_person_is_erased(api, people_stored):
    first = api.get("/users", query={"limit": 10})
    api.delete(f"/users/{people_stored[9]['uid']}")

    assert uids(api.walk(first.next_path)) == [row["uid"] for row in people_stored[10:]]


# Filters. The expected results are computed from the rows themselves.

COLUMN_OF = {
    "country": "country",
    "state": "state",
    "city": "city",
    "gender": "gender",
    "plan": "subscription_plan",
}
WANTED = {
    "country": "Côte d'Ivoire",
    "state": "Abidjan",
    "city": "Springfield",
    "gender": "Female",
    "plan": "Premium 100%",
    "updated_since": "2026-03-01T00:00:00Z",
}
SUBSETS = [set_ for size in range(7) for set_ in itertools.combinations(WANTED, size)]


@pytest.fixture
def dated(store, sql):
    """Stores four hundred people; each row includes the time of its last change."""
    rows = crowd(400, seed=2)
    load(store, *rows)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number, row in enumerate(rows):
        row["updated_at"] = start + timedelta(days=number % 100)
    moments = ", ".join(
        f"('{row['uid']}'::uuid, '{row['updated_at'].isoformat()}'::timestamptz)" for row in rows
    )
    sql(f"UPDATE users SET updated_at = moment FROM (VALUES {moments}) AS v (who, moment) WHERE uid = who")
    return rows


def expected(rows, filters):
    since = filters.get("updated_since")
    return sorted(
        row["uid"]
        for row in rows
        if all(row[COLUMN_OF[name]] == value for name, value in filters.items() if name in COLUMN_OF)
        and (since is None or row["updated_at"] >= datetime.fromisoformat(since))
    )


def test_every_combination_of_filters_gives_exactly_the_matching_people(api, dated):
    found = 0
    for names in SUBSETS:
        filters = {name: WANTED[name] for name in names}
        fitting = expected(dated, filters)
        assert uids(api.walk("/users", query={"limit": 100, **filters})) == fitting, filters
        found += bool(fitting)
    assert found > len(SUBSETS) / 2  # otherwise the test would prove little


@pytest.mark.parametrize("name", COLUMN_OF)
def test_a_filter_accepts_every_stored_value(api, dated, name):
    for value in {row[COLUMN_OF[name]] for row in dated} - {None}:
        filters = {name: value}
        assert uids(api.walk("/users", query=filters)) == expected(dated, filters)


@pytest.mark.usefixtures("dated")
def test_a_filter_is_an_exact_match_and_not_a_pattern(api):
    for value in (
        "springfield",
        "Springfiel",
        "Spring%",
        "Springfield ",
        "_pringfield",
        "%",
        "'",
        "null",
        "None",
    ):
        assert api.get("/users", query={"city": value}).json == NOBODY, value


@pytest.mark.usefixtures("dated")
def test_a_filter_is_never_interpreted_as_sql(api):
    for value in ("' OR true --", "%(after)s", "%s", "\\", '";', "\u202e", "$1", "{}"):
        answer = api.get("/users", query=dict.fromkeys(COLUMN_OF, value))
        assert (answer.status, answer.json) == (200, NOBODY), value


def test_updated_since_accepts_any_time_zone_and_includes_that_moment(api, dated):
    fitting = expected(dated, {"updated_since": "2026-03-01T00:00:00Z"})

    for moment in (
        "2026-03-01T00:00:00Z",
        "2026-03-01T00:00:00+00:00",
        "2026-03-01T05:45:00+05:45",
        "2026-02-28T15:00:00-09:00",
        "2026-03-01T00:00:00.000000Z",
        "2026-03-01t00:00:00z",
        "2026-03-01 00:00:00Z",
    ):
        assert uids(api.walk("/users", query={"updated_since": moment})) == fitting, moment


def test_updated_since_is_exact_to_the_microsecond(api, store, sql):
    load(store, person(1))
    sql("UPDATE users SET updated_at = '2026-03-01T00:00:00.000002Z'")

    found = [
        len(api.get("/users", query={"updated_since": f"2026-03-01T00:00:00.00000{digit}Z"}).json["items"])
        for digit in (1, 2, 3)
    ]
    assert found == [1, 1, 0]


def test_asking_since_the_newest_updated_at_misses_no_later_person(api, store):
    load(store, person(1))
    seen = api.get("/users").json["items"][0]["updated_at"]
    load(store, person(2))

    since = api.get("/users", query={"updated_since": seen}).json["items"]

    assert [item["uid"] for item in since] == [uid(1), uid(2)]


def test_an_invalid_updated_since_is_refused(api):
    for moment in (
        "2026-03-01T00:00:00",  # no time zone
        "2026-03-01",
        "1772323200",
        "yesterday",
        "2026-02-30T00:00:00Z",
        "2026-03-01T25:00:00Z",
        "",
        "0000-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "infinity",
    ):
        answer = api.get("/users", query={"updated_since": moment})
        assert answer.status == 400, moment
        assert "updated_since" in answer.json["detail"]


@pytest.mark.usefixtures("dated")
def test_everybody_has_changed_since_the_earliest_time_and_nobody_since_the_latest(api):
    found = {
        moment: len(api.get("/users", query={"updated_since": moment, "limit": 1000}).json["items"])
        for moment in ("0001-01-01T00:00:00+23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59")
    }

    assert list(found.values()) == [400, 400, 0]


def test_updated_since_accepts_zones_that_postgres_does_not(api, dated):
    """RFC 3339 allows offsets up to a day, Postgres up to sixteen hours."""
    fitting = expected(dated, {"updated_since": "2026-03-01T00:00:00Z"})

    for moment in ("2026-03-01T16:00:00+16:00", "2026-03-01T23:59:00+23:59", "2026-02-28T00:01:00-23:59"):
        answer = api.get("/users", query={"updated_since": moment, "limit": 1000})
        assert (answer.status, uids([answer])) == (200, fitting), moment


# What may be sent

LISTS = ["/users", "/runs", f"/runs/{uid(404)}/rejects"]


@pytest.mark.parametrize("path", LISTS[:2])
def test_a_limit_from_one_to_a_thousand_is_accepted(api, path):
    assert [api.get(path, query={"limit": limit}).status for limit in ("1", "1000", "007")] == [200] * 3


@pytest.mark.parametrize("path", LISTS)
def test_any_other_limit_is_refused_without_repeating_it(api, path):
    for limit in ("0", "1001", "hush"):
        answer = api.get(path, query={"limit": limit})
        assert answer.status == 400, limit
        assert "limit" in answer.json["detail"]
        assert "hush" not in answer.body.decode()


UNKNOWN = ["/health", "/openapi.json", "/contract", "/users", "/stats", "/runs"]  # / and /docs accept any


@pytest.mark.parametrize("path", [*UNKNOWN, f"/users/{uid(1)}", f"/runs/{uid(1)}", f"/runs/{uid(1)}/rejects"])
def test_an_unknown_parameter_is_refused_without_repeating_it(api, path):
    answer = api.get(path, query={"someone@example.com": "hush-hush"})

    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert "someone" not in answer.body.decode()
    assert "hush" not in answer.body.decode()


def test_a_repeated_parameter_is_refused_without_repeating_it(api):
    for name in ("limit", "cursor", *WANTED):
        answer = api.get("/users", query=[(name, "hush-1"), (name, "hush-2")])
        assert answer.status == 400, name
        assert "hush" not in answer.body.decode()


@pytest.mark.parametrize("name", COLUMN_OF)
def test_a_filter_that_no_stored_value_could_match_is_refused_without_repeating_it(api, name):
    for value in ("", "\x00", "a\x00b", "x" * 201):
        answer = api.get("/users", query={name: value})
        assert answer.status == 400, value
        assert name in answer.json["detail"]
        assert not value.strip() or value not in answer.json["detail"]


@pytest.mark.parametrize("name", COLUMN_OF)
def test_every_person_can_be_found_by_the_values_shown(api, store, name):
    """For any text that validation and cleaning let through: anything but NUL and outer blanks."""
    values = ["x" * 200, "a\u2028b", "\x7f", "𠮷" * 200, "+", "a&b=c#d", "a\tb", "a\r\nb"]
    load(store, *[person(number, **{COLUMN_OF[name]: value}) for number, value in enumerate(values)])

    for number, value in enumerate(values):
        answer = api.get("/users", query={name: value})
        assert (answer.status, uids([answer])) == (200, [uid(number)]), value


def test_any_query_string_gets_a_proper_answer(api):
    for query in (
        "limit",
        "limit=",
        "&&",
        "=",
        "%",
        "%zz",
        "%ff%fe",
        "country=%ff",
        "?",
        "a[]=1",
        "%00=1",
        "%0a",
    ):
        assert api.get(f"/users?{query}").status in {200, 400}, query


@pytest.mark.parametrize("path", [*UNKNOWN[4:], f"/users/{uid(1)}"])
def test_a_trailing_slash_makes_no_difference(api, path):
    assert api.get(f"{path}/").status == api.get(path).status


# Forms

CSV_COLUMNS = [
    "uid", "version", "updated_at", "first_name", "last_name", "username", "email", "phone_number",
    "social_insurance_number", "birth_year", "gender", "employment.title", "employment.key_skill",
    "subscription.plan", "subscription.status", "subscription.payment_method", "subscription.term",
    "address.city", "address.state", "address.country", "address.zip_prefix", "address.street",
    "address.coordinates.lat", "address.coordinates.lng",
]  # fmt: skip


def flat(item, prefix=""):
    """A person from the JSON as a row of CSV."""
    row = {}
    for name, value in item.items():
        if isinstance(value, dict):
            row |= flat(value, f"{prefix}{name}.")
        else:
            row[f"{prefix}{name}"] = "" if value is None else str(value)
    return row


ODD = [
    person(1, city='Coeur d\'Alene, "ID"', state="two\r\nlines", country="日本", gender=None),
    person(2, city="", state=";", country="  padded  ", employment_title="tab\there", subscription_plan="'"),
    person(3, city="=1+1", state="@x", country="-", zip_prefix="007", lat=0.0, lng=-180.0),
    person(
        4, city="\u2028", state="🜚", country="NULL", employment_key_skill=None, subscription_term="\ufeff"
    ),
]


@pytest.mark.parametrize("rows", [ODD, crowd(50)], ids=["odd", "many"])
def test_ndjson_holds_the_same_people_one_per_line(api, store, rows):
    load(store, *rows)

    answer = api.get("/users", Accept="application/x-ndjson")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.body.endswith(b"\n")
    assert [json.loads(line) for line in answer.body.split(b"\n")[:-1]] == api.get("/users").json["items"]


@pytest.mark.parametrize("rows", [ODD, crowd(50)], ids=["odd", "many"])
def test_csv_holds_the_same_people_one_per_row(api, store, rows):
    load(store, *rows)

    answer = api.get("/users", Accept="text/csv")
    table = list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert table == [flat(item) for item in api.get("/users").json["items"]]


def test_without_people_ndjson_is_empty_and_csv_has_only_its_header(api):
    assert api.get("/users", Accept="application/x-ndjson").body == b""
    assert api.get("/users", Accept="text/csv").body.decode() == ",".join(CSV_COLUMNS) + "\r\n"


@pytest.mark.usefixtures("people_stored")
@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_an_export_is_paged_by_the_link_header_too(api, people_stored, accept):
    pages = api.walk("/users", query={"limit": 25}, Accept=accept)
    lines = [line for page in pages for line in page.body.decode().splitlines()]

    assert len(pages) == 3
    for row in people_stored:
        assert sum(row["uid"] in line for line in lines) == 1


JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "given"), [("*/*", JSON), ("text/csv;q=0.5, application/x-ndjson;q=0.4", CSV), ("text/*", CSV)]
)
def test_the_form_is_the_one_that_the_caller_prefers(api, accept, given):
    assert api.get("/users", Accept=accept).headers["content-type"] == given


def test_without_accept_the_form_is_json(api):
    assert api.get("/users").headers["content-type"] == JSON


def test_an_unavailable_form_is_refused_with_the_available_ones(api):
    answer = api.get("/users", Accept="image/png")

    assert answer.status == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert "application/x-ndjson" in answer.json["detail"]


@pytest.mark.parametrize("accept", ["text/csv", "application/x-ndjson", "application/json"])
def test_the_vary_header_says_that_the_form_depends_on_accept(api, accept):
    assert api.get("/users", Accept=accept).headers["vary"] == "Accept"


def test_a_refusal_is_a_problem_whatever_the_caller_accepts(api):
    assert (
        api.get("/users", query={"limit": 0}, Accept="text/csv").headers["content-type"]
        == "application/problem+json"
    )


def test_the_source_of_a_list_is_shown(api):
    assert api.get("/users").headers["x-data-source"] == "postgres"


def test_a_list_must_not_be_cached(api):
    assert api.get("/users").headers["cache-control"] == "no-store"


# During concurrent writes


class Writer(threading.Thread):
    """A run that inserts, changes and erases people until stopped; counts its rounds."""

    def __init__(self, store, rows):
        super().__init__()
        self._store, self._rows = store, rows
        self._ended = threading.Event()
        self.rounds, self.error = 0, None

    def run(self):
        try:
            run = self._store.open_run(RunRequest("writer", "manual", 1_000), "0" * 16, 1)
            while not self._ended.is_set():
                self.rounds += 1
                self._round(run.run_id)
        except BaseException as error:
            self.error = error
            raise

    def _round(self, run_id):
        changed = [row | {"birth_year": 1900 + self.rounds % 100} for row in self._rows["staying"][::3]]
        coming = self._rows["coming"][self.rounds % 2 :: 2]
        self._store.load_page(page_load(run_id, *changed, *coming, page=self.rounds))
        for row in coming[:10]:
            self._store.erase(row["uid"], [self._token(row)], KEY)

    def _token(self, row):
        return f"v1_{row['uid'][:24]}"

    def stop(self):
        self._ended.set()
        self.join(30)


def test_a_walk_during_writes_shows_nobody_twice_and_misses_nobody_who_stayed(api, store):
    everyone = crowd(450, seed=3)
    rows = {"staying": everyone[:300], "coming": everyone[300:]}
    load(store, *rows["staying"])
    staying = {row["uid"] for row in rows["staying"]}
    writer = Writer(store, rows)

    writer.start()
    try:
        walks = [uids(api.walk("/users", query={"limit": limit})) for limit in (7, 20, 33, 50) * 5]
    finally:
        writer.stop()

    assert writer.error is None
    assert writer.rounds > 5
    for walk in walks:
        assert walk == sorted(set(walk))
        assert staying <= set(walk)
    assert len(set(map(len, walks))) > 1  # otherwise nothing was written meanwhile


# What a page costs


def test_a_query_that_postgres_cancels_at_a_time_limit_is_told_from_an_outage(api, postgres, sql):
    """Such a limit is the operator's, such as a role's statement_timeout."""
    sql("ALTER ROLE CURRENT_USER SET statement_timeout = '200ms'")
    wiring.reset()
    try:
        with contextlib.closing(psycopg2.connect(postgres.url)) as holder:
            holder.cursor().execute("LOCK TABLE users")
            answer = api.get("/users?city=Copenhagen")
    finally:
        sql("ALTER ROLE CURRENT_USER RESET statement_timeout")
        wiring.reset()

    assert (answer.status, answer.json["title"]) == (503, "Postgres takes too long")


def test_a_late_page_costs_the_same_as_the_first(api, store, sql):
    """Compares the rows that Postgres touches for the first page and for a late one, among 5,000."""
    load(store, *[person(number) for number in range(5_000)])
    sql("ANALYZE users, users_address")

    first, late = (rows_touched(sql, after) for after in (None, uid(4_900)))

    assert max(first, late) < 10 * 51


def rows_touched(sql, after):
    """The most rows that any node of the query plan returned or discarded."""
    query = (ROOT / "chalicelib/sql/queries/users.sql").read_text(encoding="utf-8")
    values = [51 if name == "limit" else after if name == "after" else None for name in _NAMED.findall(query)]
    ((((plan,),)),) = sql("EXPLAIN (ANALYZE, FORMAT JSON) " + _NAMED.sub("%s", query), *values)
    steps = [plan["Plan"]]
    for step in steps:
        steps += step.get("Plans", [])
    return max(
        step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0) for step in steps
    )


_NAMED = re.compile(r"%\((\w+)\)s")
