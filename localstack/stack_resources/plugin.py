"""Registers the resource types of this package with LocalStack. Each plug-in is named after its type."""

from localstack.services.cloudformation.resource_provider import (
    CloudFormationResourceProviderPlugin,
    ResourceProvider,
)

from stack_resources.custom_resource import CustomResource
from stack_resources.elastic_ip import ElasticIp


class ElasticIpPlugin(CloudFormationResourceProviderPlugin):  # type: ignore[misc]  # LocalStack is not typed
    name = "AWS::EC2::EIP"

    def load(self) -> None:
        self.factory: type[ResourceProvider] = ElasticIp


class CustomResourcePlugin(CloudFormationResourceProviderPlugin):  # type: ignore[misc]
    name = "AWS::CloudFormation::CustomResource"

    def load(self) -> None:
        self.factory: type[ResourceProvider] = CustomResource
