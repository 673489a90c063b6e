"""A minimal Chalice app: passes on the body, and sets its content type."""

from typing import Any

from chalice.app import Chalice, Response

from bench.handlers import people

handler = Chalice(app_name="minimal")


@handler.route("/users/{uid}")
def get_user(uid: str) -> Response:
    return Response(people.person(uid), {"Content-Type": "application/json"})


@handler.route("/users")
def list_users() -> Response:
    request: Any = handler.current_request
    return Response(people.people(int(request.query_params["limit"])), {"Content-Type": "application/json"})
