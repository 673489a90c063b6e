"""`make tokens FIELD=email`: the tokens that Decant stores, for values that are read line by line."""

import io
import sys

import pytest

from chalicelib.privacy import TREATMENT_OF, Tokeniser
from local import settings, tokens
from tests.builders import use
from tests.keys import PII_KEY, pii_keys
from tests.unit.test_custom import EMPLOYEES

KEYS = pii_keys({1: PII_KEY})


@pytest.fixture
def made(tmp_path, monkeypatch, capsys):
    """Prints the tokens of what stdin has; returns the status, and what was written to stdout and stderr."""
    monkeypatch.setattr(tokens, "local_folder", lambda: tmp_path)

    def made(text, field="email", **chosen):
        monkeypatch.setattr(settings, "chosen", lambda: chosen)
        monkeypatch.setattr(sys, "argv", ["tokens", field])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return tokens.main(), *capsys.readouterr()

    return made


def test_each_line_becomes_the_token_that_is_stored(made, monkeypatch):
    monkeypatch.setattr(tokens, "_AT_ONCE", 2)

    status, out, err = made(
        "someone@example.com\r\n Someone@Example.com\n\nzoë@example.com".encode(), PII_KEYS=KEYS
    )

    someone, zoe = Tokeniser({1: PII_KEY}).tokens("email", ["someone@example.com", "zoë@example.com"])
    assert (status, out, err) == (0, f"{someone}\n{someone}\n\n{zoe}\n", "")


def test_a_byte_order_mark_is_not_part_of_the_first_value(made):
    assert made("\ufeffa@example.com\n".encode(), PII_KEYS=KEYS) == made(b"a@example.com\n", PII_KEYS=KEYS)


def test_they_end_when_nobody_reads_them_any_more(made, unread_stdout, monkeypatch):
    monkeypatch.setattr(tokens, "_AT_ONCE", 1_000)

    with unread_stdout():
        assert made(b"a\n" * 100_000, PII_KEYS=KEYS) == (0, "", "")
    assert sys.stdin.read()


def test_ctrl_c_ends_them_without_a_traceback(made, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tokens, "islice", interrupted)

    assert made(b"", PII_KEYS=KEYS) == (130, "", "")


def test_a_uid_is_read_in_upper_case_too(made):
    """Another token would say that nobody with this uid was erased."""
    uid = "6f1c2a34-8d1e-4d5b-9a51-0c7f3f6c1f01"

    _, out, _ = made(f"{uid}\n {uid.upper()}\n\n".encode(), "uid", PII_KEYS=KEYS)

    token = Tokeniser({1: PII_KEY}).token("uid", uid)
    assert out == f"{token}\n{token}\n\n"


def test_what_cannot_be_a_uid_is_named_and_not_shown(made):
    uid = b"6f1c2a34-8d1e-4d5b-9a51-0c7f3f6c1f01\n"

    assert made(uid + b"ann", "uid", PII_KEYS=KEYS) == (1, "", "make tokens: line 2 is not a uid.\n")


@pytest.mark.parametrize("field", [name for name, kind in TREATMENT_OF.items() if kind == "token"])
def test_every_field_with_tokens_has_its_own(made, field):
    assert made(b"0000 1", field, PII_KEYS=KEYS)[1] == f"{Tokeniser({1: PII_KEY}).token(field, '0000 1')}\n"


def test_a_custom_field_of_the_sources_dialect_has_tokens_too(made, monkeypatch):
    use(monkeypatch, EMPLOYEES)

    _, out, _ = made(b" ann@example.com", "custom.boss", PII_KEYS=KEYS, SOURCE_DIALECT="employees")

    assert out == f"{Tokeniser({1: PII_KEY}).token('custom.boss', 'ann@example.com')}\n"
    with pytest.raises(SystemExit):
        made(b"pt", "custom.tongue", PII_KEYS=KEYS, SOURCE_DIALECT="employees")


@pytest.mark.parametrize("field", ["city", "custom.boss"])
def test_another_field_is_refused(made, field):
    with pytest.raises(SystemExit):
        made(b"Lisboa", field, PII_KEYS=KEYS)


def test_a_dialect_that_does_not_exist_is_named(made):
    status, _, err = made(b"x", PII_KEYS=KEYS, SOURCE_DIALECT="nobodys")

    assert status == 1
    assert err.startswith("make tokens: SOURCE_DIALECT: must be one of ")


def test_a_laptops_own_key_is_used_and_never_made(made, tmp_path):
    assert made(b"x")[0] == 1
    assert list(tmp_path.iterdir()) == []

    (tmp_path / "pii-keys.json").write_text(KEYS)
    assert made(b"x")[1] == f"{Tokeniser({1: PII_KEY}).token('email', 'x')}\n"


@pytest.mark.parametrize("chosen", [{"DATABASE_URL": "postgresql://"}, {"SECRET_ID": "decant-prod"}])
def test_a_laptops_key_is_not_used_for_another_database(made, tmp_path, chosen):
    (tmp_path / "pii-keys.json").write_text(KEYS)

    status, out, err = made(b"x", **chosen)

    assert (status, out) == (1, "")
    assert "PII_KEYS" in err


def test_a_line_that_is_not_utf_8_is_named_and_not_shown(made, monkeypatch):
    monkeypatch.setattr(tokens, "_AT_ONCE", 2)

    status, out, err = made("zoë\nann\nbob\n".encode() + "zoë\n".encode("latin-1"), PII_KEYS=KEYS)

    assert (status, len(out.splitlines())) == (1, 2)
    assert err == "make tokens: line 4 is not UTF-8.\n"
