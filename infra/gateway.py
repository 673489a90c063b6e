"""API Gateway when deployed: the API's name, and the gateway's own answers, which are problem documents."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from chalicelib.answers import refusal
from chalicelib.gate import cors_of

# API Gateway's response types and their statuses. The defaults are for types that are not listed here.
STATUSES = {
    "UNAUTHORIZED": 401,
    "ACCESS_DENIED": 403,
    "EXPIRED_TOKEN": 403,
    "INVALID_API_KEY": 403,
    "INVALID_SIGNATURE": 403,
    "WAF_FILTERED": 403,
    "MISSING_AUTHENTICATION_TOKEN": 404,  # its answer for an unknown path
    "RESOURCE_NOT_FOUND": 404,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "QUOTA_EXCEEDED": 429,
    "THROTTLED": 429,
    "INTEGRATION_FAILURE": 504,
    "INTEGRATION_TIMEOUT": 504,
    "DEFAULT_4XX": 400,
    "DEFAULT_5XX": 500,
}


def template(allowed_origin: str | None) -> dict[str, Any]:
    """The answers, to be merged into Chalice's template. Pages of the allowed origin may read them."""
    cors = cors_of(allowed_origin).get_access_control_headers() if allowed_origin else {}
    answers = {kind: _answer(status, cors) for kind, status in STATUSES.items()}
    # The title is the API's name in its metrics as well, whichever of the two AWS takes.
    title = {"title": {"Fn::Sub": "decant-${Stage}"}}
    definition = {"info": title, "x-amazon-apigateway-gateway-responses": answers}
    return {"Resources": {"RestAPI": {"Properties": {"DefinitionBody": definition}}}}


def _answer(status: int, cors: Mapping[str, str]) -> dict[str, Any]:
    challenge = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else {}
    answer = refusal(status, "$context.extendedRequestId", **challenge, **cors)
    quotable = {name: value for name, value in answer["headers"].items() if "'" not in value}
    headers = {name: f"'{value}'" for name, value in quotable.items()}
    headers["X-Request-Id"] = "context.extendedRequestId"
    return {
        "statusCode": str(status),
        "responseParameters": {f"gatewayresponse.header.{name}": value for name, value in headers.items()},
        "responseTemplates": {"application/json": answer["body"]},
    }
