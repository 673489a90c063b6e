"""Creates what Decant needs before it is deployed: its secret, its queue and the dead-letter queue.

LocalStack runs this inside its own process once it is ready; the settings come from its environment.
"""

import json
import os

import boto3

from localstack import config

SETTINGS = (
    "DATABASE_URL", "REDIS_URL",
    "SOURCE_URL", "SOURCE_AUTHORIZATION", "SOURCE_TOKEN_URL", "SOURCE_TOKEN_KEY",
    "SOURCE_DIALECT", "SOURCE_PAGES", "SOURCE_PAGE_SIZE",
    "PII_KEYS", "API_KEYS", "CACHE_TTL_SECONDS", "MAX_REJECT_RATIO", "QUARANTINE_KEY", "QUARANTINE_DAYS",
    "RETENTION_DAYS", "INLINE_PAGES",
)  # fmt: skip
QUEUE = "decant-localstack-pages"
TRIES = 3
VISIBILITY_SECONDS = 15  # at least the timeout of ingest_page; a page whose worker died waits this long


def client(service):
    return boto3.client(
        service,
        endpoint_url=config.internal_service_url(),
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106  LocalStack's own, which opens nothing
    )


sqs = client("sqs")
dead = sqs.create_queue(QueueName=f"{QUEUE}-dead")["QueueUrl"]
dead_arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
queue = sqs.create_queue(
    QueueName=QUEUE,
    Attributes={
        "VisibilityTimeout": str(VISIBILITY_SECONDS),
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": TRIES}),
    },
)["QueueUrl"]

secret = {name: os.environ[name] for name in SETTINGS if os.environ.get(name)} | {"QUEUE_URL": queue}
client("secretsmanager").create_secret(Name="decant/localstack", SecretString=json.dumps(secret))
