"""The API as a fixture, and its log unfiltered."""

import json

import pytest

from chalicelib.access import key_hash
from tests.integration.api_support import KEYS, Api


@pytest.fixture(autouse=True)
def _unfiltered(unfiltered_log):
    pass


@pytest.fixture
def api(app_environment):
    """A client of the app, which knows the tests' keys and has no people stored."""
    app_environment(API_KEYS=json.dumps({key_hash(key): scopes for key, scopes in KEYS.items()}))
    return Api()
