"""CloudFormation stacks: plans a change, and carries it out or withdraws it. Prints nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from botocore.exceptions import ClientError, WaiterError

from infra.errors import DeployError

_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]  # the functions' roles; SAM's transform
_PATIENCE = {"Delay": 5, "MaxAttempts": 1080}  # 90 minutes: functions' network interfaces are deleted slowly
_NOTHING_TO_DO = ("didn't contain changes", "No updates are to be performed")


@dataclass(frozen=True)
class Change:
    """What would happen to one resource. ``is_destructive`` means that the existing one would be lost."""

    action: str
    kind: str
    name: str
    is_destructive: bool

    def __str__(self) -> str:
        action = "Replace" if self.is_destructive and self.action == "Modify" else self.action
        return f"{'!' if self.is_destructive else ' '} {action:8} {self.kind:40} {self.name}"


@dataclass(frozen=True)
class Plan:
    """A change set that awaits a decision; ``first`` if it creates the stack."""

    change_set: str
    changes: tuple[Change, ...]
    first: bool


class Stack:
    """One stack of an account, which may not exist yet. Raises DeployError."""

    def __init__(self, cloudformation: Any, name: str, removal: str) -> None:
        """``removal`` is the command that deletes it."""
        self.name, self.removal, self._client = name, removal, cloudformation

    def plan(self, template: Mapping[str, str], given: Mapping[str, str]) -> Plan | None:
        """Plans the changes that a template (its body or URL) would make; None if there are none.

        Parameters that are not given keep their value, or take the template's default.
        """
        first = self._is_new()
        change_set = self._client.create_change_set(
            StackName=self.name,
            ChangeSetName=f"decant-{uuid4().hex}",  # unique: a leftover one is not in the way
            ChangeSetType="CREATE" if first else "UPDATE",
            Capabilities=_CAPABILITIES,
            Parameters=list(self._parameters(template, given, first)),
            **template,
        )["Id"]
        try:
            waiter = self._client.get_waiter("change_set_create_complete")
            waiter.wait(ChangeSetName=change_set, WaiterConfig=_PATIENCE)
        except WaiterError as error:
            reason = str(error.last_response.get("StatusReason"))
            self.discard(Plan(change_set, (), first))
            if any(text in reason for text in _NOTHING_TO_DO):
                return None
            raise DeployError(f"{self.name} cannot be planned: {reason}") from None
        return Plan(change_set, tuple(self._changes(change_set)), first)

    def execute(self, plan: Plan) -> None:
        self._client.execute_change_set(ChangeSetName=plan.change_set)
        self._wait("stack_create_complete" if plan.first else "stack_update_complete")

    def discard(self, plan: Plan) -> None:
        self._client.delete_change_set(ChangeSetName=plan.change_set)
        if plan.first:  # planning has created an empty stack
            self._client.delete_stack(StackName=self.name)

    def delete(self) -> None:
        stack_id = self._describe()["StackId"]  # a deleted stack can be found only by its id
        self._client.update_termination_protection(StackName=self.name, EnableTerminationProtection=False)
        self._client.delete_stack(StackName=self.name)
        self._wait("stack_delete_complete", stack_id)

    def protect(self) -> None:
        """Protects against accidental deletion: from now on only ``delete`` deletes it."""
        self._client.update_termination_protection(StackName=self.name, EnableTerminationProtection=True)

    def planned_parameters(self, template: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
        """The parameters that a plan would use: the given values, else the present ones, else defaults."""
        summary = self._client.get_template_summary(**template)["Parameters"]
        present = {p["ParameterKey"]: p["ParameterValue"] for p in self._describe().get("Parameters", [])}
        defaults = {declared["ParameterKey"]: declared.get("DefaultValue", "") for declared in summary}
        return {name: given.get(name, present.get(name, default)) for name, default in defaults.items()}

    def exists(self) -> bool:
        return bool(self._describe())

    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self._describe().get("Outputs", [])}

    def resources(self) -> list[str]:
        pages = self._client.get_paginator("list_stack_resources").paginate(StackName=self.name)
        return [
            f"{resource['ResourceType']:40} {resource['LogicalResourceId']}"
            for page in pages
            for resource in page["StackResourceSummaries"]
        ]

    def _is_new(self) -> bool:
        status = self._describe().get("StackStatus", "REVIEW_IN_PROGRESS")
        if status in {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"}:
            raise DeployError(
                f"{self.name} could not be created or deleted before; `{self.removal}` removes what is left"
            )
        if status == "UPDATE_ROLLBACK_FAILED":
            raise DeployError(
                f"{self.name} could not be rolled back before; when the cause is gone, run "
                f"`aws cloudformation continue-update-rollback --stack-name {self.name}`"
            )
        if status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS":
            raise DeployError(f"{self.name} is already being changed ({status})")
        return bool(status == "REVIEW_IN_PROGRESS")

    def _describe(self) -> dict[str, Any]:
        try:
            (stack,) = self._client.describe_stacks(StackName=self.name)["Stacks"]
        except ClientError as error:
            if "does not exist" in error.response["Error"]["Message"]:
                return {}
            raise
        return dict(stack)

    def _parameters(
        self, template: Mapping[str, str], given: Mapping[str, str], first: bool
    ) -> Iterator[dict[str, object]]:
        known = {p["ParameterKey"] for p in self._describe().get("Parameters", [])} if not first else set()
        for declared in self._client.get_template_summary(**template)["Parameters"]:
            name = declared["ParameterKey"]
            if name in given:
                yield {"ParameterKey": name, "ParameterValue": given[name]}
            elif name in known:
                yield {"ParameterKey": name, "UsePreviousValue": True}

    def _changes(self, change_set: str) -> Iterator[Change]:
        for page in self._client.get_paginator("describe_change_set").paginate(ChangeSetName=change_set):
            for change in page["Changes"]:
                resource = change["ResourceChange"]
                replaces = resource.get("Replacement") in {"True", "Conditional"}
                is_destructive = resource["Action"] == "Remove" or replaces
                yield Change(
                    resource["Action"],
                    resource["ResourceType"],
                    resource["LogicalResourceId"],
                    is_destructive,
                )

    def _wait(self, state: str, stack: str = "") -> None:
        try:
            waiter = self._client.get_waiter(state)
            waiter.wait(StackName=stack or self.name, WaiterConfig=_PATIENCE)
            return
        except WaiterError:
            problem = self._first_failure(stack or self.name)
        raise DeployError(f"{self.name} was not changed as planned: {problem}")

    def _first_failure(self, stack: str) -> str:
        """The first failure of the newest attempt; the newest events come first."""
        failed = "no event gives a reason"
        pages = self._client.get_paginator("describe_stack_events").paginate(StackName=stack)
        for event in (event for page in pages for event in page["StackEvents"]):
            if event["ResourceStatus"].endswith("_FAILED"):
                failed = f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            if event.get("ResourceStatusReason") == "User Initiated":
                break
        return failed
