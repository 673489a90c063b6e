"""No secret in a log or an answer: runs the app, with everything at DEBUG, while many things fail."""

import base64
import json
import os
import subprocess
import sys
from urllib.parse import quote

from chalicelib.access import key_hash
from local.processes import free_port
from tests.integration.api_support import ROOT
from tests.keys import pii_keys

API_KEY, TOKEN_KEY, SEAL_KEY = (
    "decant_key-that-nobody-may-see",
    b"a token key that nobody may see!",
    bytes(range(200, 232)),
)
WORD = "word-that-nobody-may-see"  # a password, a name, a part of a query

_PROGRAM = """
import functools, json, logging, os, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from chalice.test import Client
import app
from chalicelib import wiring
from chalicelib.errors import DecantError
from chalicelib.sources import client as source

source.Limits = functools.partial(source.Limits, pause=0.01)
client, before = Client(app.app, "local"), dict(os.environ)
for changed in json.loads(sys.argv[1]):
    os.environ.clear()
    os.environ.update(before | changed)
    wiring.reset()
    for path in ("/health", "/users", "/users/lookup", "/runs"):
        method = "POST" if path.endswith("lookup") else "GET"
        headers = {"Authorization": "Bearer " + sys.argv[2], "Content-Type": "application/json"}
        body = json.dumps({"email": sys.argv[3]}).encode()
        answer = client.http.request(method, path, headers=headers, body=body)
        print(path, answer.status_code, answer.headers, answer.body)
    event = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, ["arn"])
    try:
        print(client.lambda_.invoke("ingest", event).payload)
    except DecantError as error:
        logging.getLogger("runtime").exception(error)
print("that is all")
"""


def spellings(secret):
    raw = secret if isinstance(secret, bytes) else secret.encode()
    encoded = {
        raw,
        raw.hex().encode(),
        base64.b64encode(raw),
        base64.urlsafe_b64encode(raw),
        quote(raw).encode(),
    }
    return encoded | {repr(raw)[2:-1].encode()}


def test_no_log_and_no_answer_shows_a_secret_whatever_fails(app_environment, postgres, valkey, user_api):
    nobody = free_port()
    source = user_api.url("random-data-api").replace("://", f"://user:{WORD}@") + f"?key={WORD}"
    app_environment(
        LOG_LEVEL="DEBUG",
        SOURCE_URL=source,
        SOURCE_AUTHORIZATION=f"Bearer {WORD}",
        PII_KEYS=pii_keys({1: TOKEN_KEY}),
        QUARANTINE_KEY=base64.b64encode(SEAL_KEY).decode(),
        API_KEYS=json.dumps({key_hash(API_KEY): ["read"]}),
    )
    wrong = [
        {},
        {"DATABASE_URL": f"postgresql://{WORD}:{WORD}@127.0.0.1:{postgres.port}/{WORD}"},
        {"DATABASE_URL": f"postgresql://{WORD}:{WORD}@127.0.0.1:{nobody}/{WORD}"},
        {"DATABASE_URL": f"postgresql://{WORD}:{WORD}@127.0.0.1:{postgres.port}/x?{WORD}={WORD}"},
        {"REDIS_URL": f"redis://{WORD}:{WORD}@127.0.0.1:{valkey.port}/0"},
        {"REDIS_URL": f"redis://:{WORD}@127.0.0.1:{nobody}/0"},
        {"REDIS_URL": f"redis://:{WORD}@127.0.0.1:{nobody}/0?{WORD}={WORD}"},
        {"SOURCE_URL": f"http://{WORD}:{WORD}@127.0.0.1:{nobody}/users?{WORD}={WORD}"},
        {"SOURCE_AUTHORIZATION": f"Bearer {WORD}\n{WORD}"},
        {"SOURCE_AUTHORIZATION": "", "SOURCE_TOKEN_URL": source.replace("users", WORD)},
        {"SOURCE_TOKEN_URL": f"https://{WORD}:{WORD}@auth.example/{WORD}?{WORD}={WORD}"},
        {
            "SOURCE_AUTHORIZATION": "",
            "SOURCE_TOKEN_URL": source.replace(f":{WORD}@", "@"),
            "SOURCE_TOKEN_KEY": WORD,
        },
        {"SOURCE_TOKEN_KEY": WORD},
        {"PII_KEYS": pii_keys({1: TOKEN_KEY})[:-9] + '"}'},
        {"API_KEYS": json.dumps({WORD: [WORD]})},
        {"AWS_LAMBDA_FUNCTION_NAME": "decant", "DATABASE_URL": f"postgresql://{WORD}:{WORD}@db.example/x"},
    ]
    program = [sys.executable, "-c", _PROGRAM, json.dumps(wrong), API_KEY, "someone@example.com"]
    done = subprocess.run(program, cwd=ROOT, env=os.environ, capture_output=True, check=True)

    output = done.stdout + done.stderr
    assert b"that is all" in output
    passwords = [server.url.split("@")[0].rpartition(":")[2] for server in (postgres, valkey)]
    secrets = {secret: spellings(secret) for secret in (API_KEY, TOKEN_KEY, SEAL_KEY, WORD, *passwords)}
    assert [secret for secret, spelt in secrets.items() if any(one in output for one in spelt)] == []
