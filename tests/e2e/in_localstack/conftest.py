"""One LocalStack for all tests of this folder. Where it cannot run they are skipped, but never in CI.

Those that wait for the schedule come last: it fires a minute after the deployment.
"""

import json
import os

import pytest

from chalicelib.access import SCOPES, key_hash
from local.errors import LocalError
from local.localstack import refuse_unsuitable
from local.processes import free_port
from tests.e2e.in_localstack.cloud import localstack
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES

READER = "decant_reader"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory):
    try:
        refuse_unsuitable()
    except LocalError as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"LocalStack is left out: {reason}")
    known = {API_KEY: sorted(SCOPES), READER: ["read"], KEY_WITHOUT_SCOPES: []}
    keys = json.dumps({key_hash(key): scopes for key, scopes in known.items()})
    with localstack(tmp_path_factory.mktemp("cloud"), API_KEYS=keys, PORT=str(free_port())) as running:
        yield running
