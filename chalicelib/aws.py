"""Decant's calls to AWS: secret, Lambda, queue, CloudFormation. The only file that knows boto3."""

import json
import logging
import math
import urllib.request
from collections.abc import Iterable, Mapping
from http.client import HTTPException
from itertools import islice
from typing import Any
from urllib.error import HTTPError

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import AwsError, ConfigError

_TIMEOUTS = Config(connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 3})
_LARGEST_BATCH = 10
_TRIES = 3  # for messages that SQS refuses individually; boto3 itself retries a request that fails as a whole

logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs the contents of a secret


def secret(secret_id: str) -> dict[str, Any]:
    """The JSON object in a Secrets Manager secret. Raises ConfigError."""
    problem = "must name a secret that holds a JSON object"
    try:
        client = boto3.client("secretsmanager", config=_TIMEOUTS)
        value = json.loads(client.get_secret_value(SecretId=secret_id)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        problem, value = f"cannot be read: {_code(error)}", None
    except (KeyError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise ConfigError("SECRET_ID", problem)
    return value


def invoke_later(function: str, event: dict[str, Any]) -> None:
    """Queues an asynchronous invocation of a function. Raises AwsError."""
    try:
        client = boto3.client("lambda", config=_TIMEOUTS)
        client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
        return
    except (BotoCoreError, ClientError) as error:
        problem = _code(error)
    raise AwsError(f"{function} cannot be invoked: {problem}")


def send(queue_url: str, messages: Iterable[dict[str, Any]]) -> None:
    """Sends messages to a queue. Raises AwsError if one is not accepted; others may have been sent."""
    numbered = ({"Id": str(id_), "MessageBody": json.dumps(body)} for id_, body in enumerate(messages))
    problem = None
    try:
        client = boto3.client("sqs", config=_TIMEOUTS)
        while not problem and (batch := list(islice(numbered, _LARGEST_BATCH))):
            for _ in range(_TRIES):
                refused = client.send_message_batch(QueueUrl=queue_url, Entries=batch).get("Failed", [])
                batch = [entry for entry in batch if entry["Id"] in {one["Id"] for one in refused}]
                if not batch:
                    break
            problem = refused[0]["Code"] if refused else None
    except (BotoCoreError, ClientError) as error:
        problem = _code(error)
    if problem:
        raise AwsError(f"the queue did not accept all messages: {problem}")


def max_receive_count(queue_url: str) -> float:
    """How often the queue delivers a message before it moves it to the dead-letter queue.

    Infinite if there is none. Raises AwsError.
    """
    try:
        client = boto3.client("sqs", config=_TIMEOUTS)
        attributes = client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["RedrivePolicy"])
        policy = attributes.get("Attributes", {}).get("RedrivePolicy")
        return int(json.loads(policy)["maxReceiveCount"]) if policy else math.inf
    except (BotoCoreError, ClientError) as error:
        problem = _code(error)
    raise AwsError(f"the queue cannot be read: {problem}")


def ingest_event(detail: dict[str, Any]) -> dict[str, Any]:
    """An event for ``ingest``, as EventBridge would send it: one function serves the schedule and callers."""
    return {
        "version": "0",
        "id": "",
        "account": "",
        "region": "",
        "time": "",
        "source": "decant",
        "detail-type": "Run",
        "resources": [],
        "detail": detail,
    }


def answer_stack(event: Mapping[str, Any], problem: str) -> None:
    """Reports a custom resource's outcome to CloudFormation; no problem means success. Raises AwsError."""
    names = ("StackId", "RequestId", "LogicalResourceId")
    answer = {name: event[name] for name in names} | {
        "Status": "FAILED" if problem else "SUCCESS",
        "Reason": problem or "done",
        "PhysicalResourceId": event["LogicalResourceId"],  # never changes, so that an update replaces nothing
    }
    body, address = json.dumps(answer).encode(), str(event["ResponseURL"])
    if not address.startswith(("https://", "http://")):  # LocalStack's URL is http
        raise AwsError("CloudFormation's response URL is not an HTTP URL")
    # The URL is signed for a body without a Content-Type; urllib would add one.
    request = urllib.request.Request(address, body, {"Content-Type": ""}, method="PUT")  # noqa: S310
    try:
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310
        return
    except HTTPError as error:
        error.close()
        problem = f"status {error.code}"
    except (OSError, HTTPException) as error:
        problem = type(error).__name__  # its text may hold the URL, which is a credential
    raise AwsError(f"CloudFormation cannot be notified: {problem}")


def _code(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
