"""The answer to CloudFormation, as its bucket accepts it: over HTTPS, without a content type, once."""

import json
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import trustme

from chalicelib import aws, upkeep, wiring
from chalicelib.errors import AwsError, StoreError, StoreUnavailable

EVENT = {
    "RequestType": "Update",
    "StackId": "a-stack",
    "RequestId": "a-request",
    "LogicalResourceId": "Migration",
    "ResourceProperties": {"Code": "a-key"},
}


class Bucket(BaseHTTPRequestHandler):
    """Accepts a PUT as S3 would, with the status that the path asks for."""

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.taken.append((self.headers.get("Content-Type"), json.loads(body)))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.setattr(urllib.request, "_opener", None)  # it caches the CAs of its first use
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(("127.0.0.1", 0), Bucket) as server:
        server.taken = []
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.address = f"https://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def answer(bucket):
    ((kind, response),) = bucket.taken
    assert kind in {None, ""}  # the URL is signed for a body without a content type
    assert (response["StackId"], response["RequestId"], response["LogicalResourceId"]) == (
        "a-stack",
        "a-request",
        "Migration",
    )
    assert response["PhysicalResourceId"] == "Migration"
    return response["Status"], response["Reason"]


def test_success_is_reported(bucket):
    aws.answer_stack(EVENT | {"ResponseURL": f"{bucket.address}/200"}, "")

    assert answer(bucket) == ("SUCCESS", "done")


def test_a_failure_is_reported_with_its_reason(bucket):
    aws.answer_stack(EVENT | {"ResponseURL": f"{bucket.address}/200"}, "query migrate failed")

    assert answer(bucket) == ("FAILED", "query migrate failed")


@pytest.mark.parametrize(
    "address", ["https://127.0.0.1:9/signed", "http://127.0.0.1/signed", "file:///signed"]
)
def test_a_url_that_cannot_be_answered_is_not_shown(address):
    with pytest.raises(AwsError) as error:
        aws.answer_stack(EVENT | {"ResponseURL": address}, "")

    assert "signed" not in str(error.value)


def test_a_bucket_that_refuses_is_an_error(bucket):
    with pytest.raises(AwsError, match="status 403"):
        aws.answer_stack(EVENT | {"ResponseURL": f"{bucket.address}/403"}, "")


class FakeStore:
    def __init__(self, error=None):
        self.error, self.migrated = error, 0

    def migrate(self):
        self.migrated += 1
        if self.error:
            raise self.error
        return ["0001_people"]


@pytest.fixture
def migrate(bucket, monkeypatch):
    def run(store, kind):
        monkeypatch.setattr(wiring, "store", lambda: store)
        return upkeep.migrate(EVENT | {"RequestType": kind, "ResponseURL": f"{bucket.address}/200"})

    return run


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_creating_or_updating_a_stack_migrates(migrate, bucket, kind):
    store = FakeStore()

    assert migrate(store, kind) == {"applied": ["0001_people"]}
    assert answer(bucket) == ("SUCCESS", "done")
    assert store.migrated == 1


def test_a_failed_migration_fails_the_stack_and_is_not_raised(migrate, bucket):
    """If raised, it would be retried after CloudFormation already has its answer."""
    migrate(FakeStore(StoreError("migrate", "42703")), "Update")

    assert answer(bucket) == ("FAILED", "query migrate failed: SQLSTATE 42703")


class AwayStore(FakeStore):
    """Unavailable when first asked, as during a failover."""

    def migrate(self):
        if not self.migrated:
            self.migrated = 1
            raise StoreUnavailable("connect", "57P03")
        return super().migrate()


def test_a_stack_waits_for_postgres_since_its_rollback_would_need_it_too(migrate, bucket):
    assert migrate(AwayStore(), "Update") == {"applied": ["0001_people"]}
    assert answer(bucket) == ("SUCCESS", "done")


@pytest.mark.parametrize("sqlstate", ["28P01", "3D000", "08001", "53100"])
def test_a_stack_does_not_wait_for_what_waiting_cannot_mend(migrate, bucket, sqlstate):
    store = FakeStore(StoreUnavailable("connect", sqlstate))
    migrate(store, "Update")

    assert (answer(bucket)[0], store.migrated) == ("FAILED", 1)


def test_a_defect_fails_the_stack_without_its_text(migrate, bucket):
    migrate(FakeStore(KeyError("ann@example.com")), "Update")

    status, reason = answer(bucket)
    assert status == "FAILED"
    assert reason.startswith("KeyError at test_aws_stack.py")


def test_deleting_a_stack_migrates_nothing(migrate, bucket):
    store = FakeStore(StoreError("migrate"))
    migrate(store, "Delete")

    assert answer(bucket) == ("SUCCESS", "done")
    assert store.migrated == 0
