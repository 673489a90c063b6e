"""Events as API Gateway sends them to a function, and the context that Lambda passes."""

from typing import Any

_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip, deflate, br",
    "Authorization": "Bearer decant_0123456789abcdef0123456789abcdef0123456789a",
    "CloudFront-Forwarded-Proto": "https",
    "CloudFront-Viewer-Country": "DK",
    "Host": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
    "User-Agent": "curl/8.14.1",
    "Via": "2.0 0123456789abcdef.cloudfront.net (CloudFront)",
    "X-Amz-Cf-Id": "0123456789abcdef0123456789abcdef0123456789abcdef==",
    "X-Amzn-Trace-Id": "Root=1-00000000-000000000000000000000000",
    "X-Forwarded-For": "192.0.2.1, 198.51.100.1",
    "X-Forwarded-Port": "443",
    "X-Forwarded-Proto": "https",
}


class Context:
    """The parts of Lambda's context that the frameworks use."""

    aws_request_id = "00000000-0000-4000-8000-000000000000"
    function_name = "bench"
    function_version = "$LATEST"
    invoked_function_arn = "arn:aws:lambda:eu-central-1:000000000000:function:bench"
    memory_limit_in_mb = 1024

    def get_remaining_time_in_millis(self) -> int:
        return 29_000


def get_user(uid: str) -> dict[str, Any]:
    return _get("/users/{uid}", f"/users/{uid}", {"uid": uid}, None)


def list_users(query: dict[str, str]) -> dict[str, Any]:
    return _get("/users", "/users", None, query)


def _get(
    resource: str, path: str, parameters: dict[str, str] | None, query: dict[str, str] | None
) -> dict[str, Any]:
    """A GET whose API key the authorizer has accepted."""
    return {
        "resource": resource,
        "path": path,
        "httpMethod": "GET",
        "headers": _HEADERS,
        "multiValueHeaders": {name: [value] for name, value in _HEADERS.items()},
        "queryStringParameters": query,
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
        "pathParameters": parameters,
        "stageVariables": None,
        "requestContext": {
            "accountId": "000000000000",
            "apiId": "abcdefghij",
            "authorizer": {"principalId": "key", "integrationLatency": 12},
            "domainName": "abcdefghij.execute-api.eu-central-1.amazonaws.com",
            "httpMethod": "GET",
            "identity": {"sourceIp": "192.0.2.1", "userAgent": "curl/8.14.1"},
            "path": f"/api{path}",
            "protocol": "HTTP/1.1",
            "requestId": "00000000-0000-4000-8000-000000000000",
            "requestTime": "31/Jan/2026:12:00:00 +0000",
            "requestTimeEpoch": 1769860800000,
            "resourceId": "abcdef",
            "resourcePath": resource,
            "stage": "api",
        },
        "body": None,
        "isBase64Encoded": False,
    }


def authorize(api_key: str) -> dict[str, str]:
    """The authorizer's event, sent before the first request with a key."""
    arn = "arn:aws:execute-api:eu-central-1:000000000000:abcdefghij/api/GET/users"
    return {"type": "TOKEN", "authorizationToken": f"Bearer {api_key}", "methodArn": arn}
