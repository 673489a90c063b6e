"""The resolver of Powertools for AWS Lambda."""

from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from bench.handlers import people

_app = APIGatewayRestResolver()


@_app.get("/users/<uid>")
def get_user(uid: str) -> Response[str]:
    return Response(200, "application/json", people.person(uid))


@_app.get("/users")
def list_users() -> Response[str]:
    limit = int(_app.current_event.query_string_parameters["limit"])
    return Response(200, "application/json", people.people(limit))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    answer: dict[str, Any] = _app.resolve(event, context)
    return answer
