"""`make redrive`: it moves dead letters back to their queue."""

import json
import sys

import boto3
import moto
import pytest
from botocore.stub import Stubber

from infra import redrive


@pytest.fixture
def sqs(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with moto.mock_aws():
        yield boto3.client("sqs")


@pytest.fixture
def dead(sqs):
    """The dead-letter queue of a stage, and the queue that it belongs to."""
    url = sqs.create_queue(QueueName="decant-test-pages-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
    sqs.create_queue(QueueName="decant-test-pages", Attributes={"RedrivePolicy": policy})
    return url


def run(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["redrive", "--stage", "test"])
    return redrive.main()


def test_without_dead_letters_nothing_is_moved(sqs, dead, monkeypatch, capsys):
    assert run(monkeypatch) == 0
    assert "The dead-letter queue is empty." in capsys.readouterr().out


def test_dead_letters_are_moved(sqs, dead):
    """moto does not support moving messages; a stub checks the calls to SQS."""
    arn = "arn:aws:sqs:eu-central-1:123456789012:decant-test-pages-dead"
    with Stubber(sqs) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": dead}, {"QueueName": "decant-test-pages-dead"})
        attributes = {"QueueArn": arn, "ApproximateNumberOfMessages": "2"}
        stub.add_response("get_queue_attributes", {"Attributes": attributes})
        stub.add_response("start_message_move_task", {"TaskHandle": "task"}, {"SourceArn": arn})

        assert redrive.redrive(sqs, "test") == 2
        stub.assert_no_pending_responses()


def test_a_missing_stage_is_reported_in_one_sentence(sqs, monkeypatch, capsys):
    assert run(monkeypatch) == 1
    error = capsys.readouterr().err
    assert error.startswith("make redrive: ")
    assert len(error.strip().splitlines()) == 1
