"""AWS::CloudFormation::CustomResource: a function gets the request, and answers at a presigned URL."""

import json
import uuid
from typing import Any, ClassVar

from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)

_BUCKET = "custom-resource-answers"


class CustomResource(ResourceProvider):  # type: ignore[misc]  # LocalStack is not typed
    """LocalStack polls until there is an answer, or its own timeout (CFN_PER_RESOURCE_TIMEOUT) expires."""

    SCHEMA: ClassVar[dict[str, Any]] = {"primaryIdentifier": ["/properties/PhysicalResourceId"]}

    def create(self, request: ResourceRequest) -> ProgressEvent:
        return _poll("Create", request)

    def update(self, request: ResourceRequest) -> ProgressEvent:
        return _poll("Update", request)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        return _poll("Delete", request)


def _poll(kind: str, request: ResourceRequest) -> ProgressEvent:
    if "request_id" not in request.custom_context:
        return ProgressEvent(
            OperationStatus.IN_PROGRESS,
            request.desired_state,
            custom_context={"request_id": _ask(kind, request)},
        )
    answer = _answer(request)
    if answer is None:
        return ProgressEvent(
            OperationStatus.IN_PROGRESS, request.desired_state, custom_context=request.custom_context
        )
    if answer["Status"] != "SUCCESS":
        return ProgressEvent(OperationStatus.FAILED, request.desired_state, message=answer["Reason"])
    properties = answer.get("Data", {}) | {"PhysicalResourceId": answer["PhysicalResourceId"]}
    return ProgressEvent(OperationStatus.SUCCESS, request.desired_state | properties)


def _ask(kind: str, request: ResourceRequest) -> str:
    """Invokes the function; returns the id under which it will answer."""
    request_id, s3 = str(uuid.uuid4()), request.aws_client_factory.s3
    s3.create_bucket(Bucket=_BUCKET)
    where = {"Bucket": _BUCKET, "Key": request_id}
    event = {
        "RequestType": kind,
        "RequestId": request_id,
        "ResponseURL": s3.generate_presigned_url("put_object", Params=where),
        "StackId": request.stack_id,
        "LogicalResourceId": request.logical_resource_id,
        "ResourceType": request.resource_type,
        "ResourceProperties": request.desired_state,
    }
    if request.previous_state:
        event["PhysicalResourceId"] = request.previous_state["PhysicalResourceId"]
        event["OldResourceProperties"] = request.previous_state
    _invoke(request.aws_client_factory.lambda_, request.desired_state["ServiceToken"], event)
    return request_id


def _invoke(client: Any, function: str, event: dict[str, Any]) -> None:
    """Invokes the newest code, synchronously: LocalStack may lose queued events while a function changes."""
    client.get_waiter("function_updated_v2").wait(FunctionName=function, WaiterConfig={"Delay": 0.2})
    client.invoke(FunctionName=function, Payload=json.dumps(event))


def _answer(request: ResourceRequest) -> dict[str, Any] | None:
    """The answer that the function has put at the presigned URL; None if there is none yet."""
    s3, key = request.aws_client_factory.s3, request.custom_context["request_id"]
    try:
        answer: dict[str, Any] = json.load(s3.get_object(Bucket=_BUCKET, Key=key)["Body"])
    except s3.exceptions.NoSuchKey:
        return None
    s3.delete_object(Bucket=_BUCKET, Key=key)
    return answer
