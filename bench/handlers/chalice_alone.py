"""Chalice without a store: the cost of the framework itself at a cold start."""

from chalice.app import Chalice, Response

handler = Chalice(app_name="alone")


@handler.route("/users/{uid}")
def get_user(uid: str) -> Response:
    return Response("{}", {"Content-Type": "application/json"})
