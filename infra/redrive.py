"""`make redrive STAGE=prod`: moves the pages in the dead-letter queue back to be processed again."""

import argparse
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError


def redrive(sqs: Any, stage: str) -> int:
    """Starts to move all dead letters back to their source queue. Returns roughly how many there are."""
    queue = sqs.get_queue_url(QueueName=f"decant-{stage}-pages-dead")["QueueUrl"]
    names = ["QueueArn", "ApproximateNumberOfMessages"]
    attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
    if letters := int(attributes["ApproximateNumberOfMessages"]):
        sqs.start_message_move_task(SourceArn=attributes["QueueArn"])
    return letters


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", default="prod")
    stage = parser.parse_args().stage
    try:
        letters = redrive(boto3.client("sqs"), stage)
    except (BotoCoreError, ClientError) as error:
        print(f"make redrive: {str(error).rstrip('.')}.", file=sys.stderr)
        return 1
    print(f"{letters} pages are moved back to the queue." if letters else "The dead-letter queue is empty.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
