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
            for statement in _listed(policy["Statement"])
            if any(_fits(action, _ACTION) for action in _listed(statement["Action"]))
            and any(_fits(resource, method_arn) for resource in _listed(statement["Resource"]))
        }
    except (KeyError, TypeError):
        raise Malformed from None
    return effects == {"Allow"}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _fits(pattern: str, text: str) -> bool:
    wanted = "".join({"*": ".*", "?": "."}.get(sign, re.escape(sign)) for sign in pattern)
    return re.fullmatch(wanted, text, re.DOTALL) is not None
