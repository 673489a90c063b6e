"""What Decant asks of AWS itself: a secret, and another function's work. The only file that knows boto3."""

import json
import logging
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.errors import AwsError, ConfigError

_TIMEOUTS = Config(connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 3})

logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs what a secret holds


def secret(secret_id: str) -> dict[str, Any]:
    """The JSON object that a Secrets Manager secret holds. Raises ConfigError."""
    problem = "must name a secret that holds a JSON object"
    try:
        client = boto3.client("secretsmanager", config=_TIMEOUTS)
        held = json.loads(client.get_secret_value(SecretId=secret_id)["SecretString"])
    except (BotoCoreError, ClientError) as error:
        problem, held = f"cannot be read: {_code(error)}", None
    except (KeyError, ValueError):
        held = None
    if not isinstance(held, dict):
        raise ConfigError("SECRET_ID", problem)
    return held


def invoke_later(function: str, event: dict[str, Any]) -> None:
    """Queues an asynchronous invocation of a function. Raises AwsError."""
    try:
        client = boto3.client("lambda", config=_TIMEOUTS)
        client.invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
        return
    except (BotoCoreError, ClientError) as error:
        problem = _code(error)
    raise AwsError(f"{function} cannot be invoked: {problem}")


def scheduled_event(detail: dict[str, Any]) -> dict[str, Any]:
    """An event as EventBridge would send it, so that one function serves the schedule and a caller alike."""
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


def _code(error: BotoCoreError | ClientError) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
