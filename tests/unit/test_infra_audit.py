"""`make audit`: it fails on a known vulnerability, and never passes without having asked the service."""

import contextlib
import json

import pytest

from infra import audit
from local.processes import free_port
from tests.serving import serving

PINS = ("requests==2.30.0", "urllib3==2.6.0")


@contextlib.contextmanager
def service(status=200, known=None):
    """Answers as OSV does. ``known`` maps packages to vulnerabilities. Yields its URL and what was asked."""
    asked = []

    def respond(_, body):
        question = json.loads(body)
        name = question["package"]["name"]
        asked.append(f"{name}=={question['version']}")
        return json.dumps({"vulns": known[name]} if name in (known or {}) else {}).encode()

    with serving(respond, status) as url:
        yield f"{url}/v1/query", asked


def test_it_asks_for_every_package_and_passes_when_nothing_is_known(capsys):
    with service() as (address, asked):
        assert audit.audit(PINS, address) == 0
    assert sorted(asked) == sorted(PINS)
    assert capsys.readouterr().out == "make audit: nothing is known to be vulnerable.\n"


def test_it_fails_for_a_known_vulnerability_and_names_it(capsys):
    affected = [{"package": {"name": "requests", "ecosystem": "PyPI"}, "ranges": []}]
    with service(known={"requests": [{"id": "PYSEC-0000-1", "affected": affected}]}) as (address, _):
        assert audit.audit(PINS, address) == 1
    assert "PYSEC-0000-1" in capsys.readouterr().out


@pytest.mark.parametrize("status", [404, 500])  # a mirror without vulnerability data answers 404
def test_a_service_without_data_is_a_failure_and_not_a_pass(status):
    with service(status) as (address, _):
        assert audit.audit(PINS, address) == 1


def test_an_unreachable_service_is_reported_with_its_own_exit_status(capsys):
    address = f"http://127.0.0.1:{free_port()}/v1/query"
    assert audit.audit(PINS, address) == audit.UNREACHABLE
    assert capsys.readouterr().out == (
        f"make audit: skipped, nothing was checked, because {address} cannot be reached.\n"
    )


def test_it_asks_for_every_installed_package(monkeypatch):
    seen = []
    monkeypatch.setattr(audit, "audit", lambda pins, _: seen.extend(pins) or 0)
    audit.main()
    names = {pin.partition("==")[0] for pin in seen}
    assert {"pandas", "psycopg2-binary", "certifi", "pytest"} <= names
    assert "pip" not in names
