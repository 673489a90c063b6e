"""Invokes the authorizer before handling a request, as API Gateway does for methods with a TOKEN authorizer.

Not supported: REQUEST authorizers, Cognito, and the expression that a token may have to match.
"""

import json
import logging
import re
import time
from dataclasses import dataclass, field
from typing import Any

from localstack.aws.connect import connect_to
from localstack.runtime import hooks
from localstack.services.apigateway.next_gen.execute_api import handlers
from localstack.services.apigateway.next_gen.execute_api.context import RestApiInvocationContext
from localstack.services.apigateway.next_gen.execute_api.gateway_response import (
    AccessDeniedError,
    AuthorizerConfigurationError,
    AuthorizerFailureError,
    UnauthorizedError,
)

from lambda_authorizer.policy import Malformed, allows

_USUAL_TTL_SECONDS = 300
_HEADER = "method.request.header."

# They write every request's path, which holds a uid, or whatever a caller put there. AWS keeps no such log.
_LOGGERS_OF_PATHS = ("localstack.request", "localstack.services.apigateway.next_gen.execute_api")


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # LocalStack is not typed
def install() -> None:
    handlers.preprocess_request.append(LambdaAuthorizer())
    for name in _LOGGERS_OF_PATHS:
        logging.getLogger(name).setLevel(logging.ERROR)


@dataclass
class LambdaAuthorizer:
    """Caches the answers, by API, authorizer and token, for the authorizer's TTL."""

    _kept: dict[tuple[str, str, str], tuple[float, dict[str, Any]]] = field(default_factory=dict)

    def __call__(self, _chain: object, context: RestApiInvocationContext, _response: object) -> None:
        """Raises the gateway's error response unless the request may pass."""
        method = context.resource_method
        authorizer = context.deployment.rest_api.authorizers.get(method.get("authorizerId"))
        if authorizer is None or authorizer["type"] != "TOKEN":
            return
        header = authorizer["identitySource"].removeprefix(_HEADER)
        token = context.invocation_request["headers"].get(header)
        if not token:
            raise UnauthorizedError("Unauthorized")
        answer = self._answer(authorizer, token, context)
        try:
            may_pass = allows(answer["policyDocument"], _method_arn(context))
        except (Malformed, KeyError):
            raise AuthorizerConfigurationError from None
        if not may_pass:
            raise AccessDeniedError("User is not authorized to access this resource")
        identity = {"principalId": answer.get("principalId"), **answer.get("context", {})}
        context.context_variables["authorizer"] = identity

    def _answer(self, authorizer: Any, token: str, context: RestApiInvocationContext) -> dict[str, Any]:
        key, now = (context.api_id, authorizer["id"], token), time.monotonic()
        until, answer = self._kept.get(key, (0.0, {}))
        if until > now:
            return answer
        answer = _ask(authorizer["authorizerUri"], token, context)
        ttl = authorizer.get("authorizerResultTtlInSeconds")
        self._kept = {kept: one for kept, one in self._kept.items() if one[0] > now}
        self._kept[key] = (now + (_USUAL_TTL_SECONDS if ttl is None else ttl), answer)
        return answer


def _ask(uri: str, token: str, context: RestApiInvocationContext) -> dict[str, Any]:
    """Raises AuthorizerFailureError if the function fails or does not answer with an object."""
    function = re.search(r"/functions/([^/]+)/invocations", uri)
    if function is None:
        raise AuthorizerFailureError(None)
    event = {"type": "TOKEN", "methodArn": _method_arn(context), "authorizationToken": token}
    client = connect_to(region_name=context.region, aws_access_key_id=context.account_id).lambda_
    response = client.invoke(FunctionName=function.group(1), Payload=json.dumps(event))
    answer = json.load(response["Payload"])
    if "FunctionError" in response or not isinstance(answer, dict):
        raise AuthorizerFailureError(None)
    return answer


def _method_arn(context: RestApiInvocationContext) -> str:
    request = context.invocation_request
    where = f"{context.region}:{context.account_id}:{context.api_id}/{context.stage}"
    return f"arn:aws:execute-api:{where}/{request['http_method']}/{request['path'].lstrip('/')}"
