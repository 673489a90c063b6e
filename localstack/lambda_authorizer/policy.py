"""Evaluates the policy that an authorizer returns for a method."""

import re
from collections.abc import Mapping
from typing import Any

_ACTION = "execute-api:Invoke"


class Malformed(Exception):
    """The authorizer's answer is not a policy."""


def allows(policy: Mapping[str, Any], method_arn: str) -> bool:
    """A denial wins; a method that no statement matches is denied. Raises Malformed."""
    try:
        effects = {
            statement["Effect"]
            for statement in _as_list(policy["Statement"])
            if any(_matches(action, _ACTION) for action in _as_list(statement["Action"]))
            and any(_matches(resource, method_arn) for resource in _as_list(statement["Resource"]))
        }
    except (KeyError, TypeError):
        raise Malformed from None
    return effects == {"Allow"}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _matches(pattern: str, text: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(regex, text, re.DOTALL) is not None
