"""AWS::EC2::EIP, which a NAT gateway needs."""

from typing import Any, ClassVar

from localstack.services.cloudformation.resource_provider import (
    OperationStatus,
    ProgressEvent,
    ResourceProvider,
    ResourceRequest,
)


class ElasticIp(ResourceProvider):  # type: ignore[misc]  # LocalStack is not typed
    SCHEMA: ClassVar[dict[str, Any]] = {"primaryIdentifier": ["/properties/PublicIp"]}

    def create(self, request: ResourceRequest) -> ProgressEvent:
        address = request.aws_client_factory.ec2.allocate_address(Domain="vpc")
        properties = {name: address[name] for name in ("AllocationId", "PublicIp")}
        return ProgressEvent(OperationStatus.SUCCESS, request.desired_state | properties)

    def delete(self, request: ResourceRequest) -> ProgressEvent:
        allocation = request.desired_state["AllocationId"]
        request.aws_client_factory.ec2.release_address(AllocationId=allocation)
        return ProgressEvent(OperationStatus.SUCCESS, {})
