"""The doors: routes, one schedule, and the migration. Each parses, calls and returns; no door knows more."""

from typing import Any

from chalice.app import AuthResponse, Chalice, Response

from chalicelib import answers, config, views, wiring
from chalicelib.answers import found, json, limit, uuid
from chalicelib.errors import StoreError

app = Chalice(app_name="decant")
app.log.setLevel(config.log_level())


@app.authorizer(ttl_seconds=60)
def api_key(request: Any) -> AuthResponse:
    return route.allowed(request.token, lambda: wiring.settings().api_keys)


route = answers.Routes(app, api_key)


@route("GET", "/health")
def health(request: Any) -> Response:
    try:
        age, postgres = wiring.store().last_success_age(), True
    except StoreError:
        age, postgres = None, False
    redis = wiring.people().is_up()
    status = "ok" if postgres and redis else "degraded" if postgres else "down"
    body = views.Health(status, views.ServerHealth(postgres), views.ServerHealth(redis), age)
    return json(body, 200 if postgres else 503)


@route("GET", "/users", scope="read")
def list_users(request: Any) -> Response:
    return json(views.UserList(wiring.store().list_users(limit(request, 50, 1000))))


@route("GET", "/users/{uid}", scope="read")
def get_user(request: Any, uid: str) -> Response:
    answer = wiring.people().get_user(uuid(uid))
    return json(found(answer.body), X_Data_Source=answer.source)


@route("GET", "/runs", scope="read")
def list_runs(request: Any) -> Response:
    return json(views.RunList(wiring.store().list_runs(limit(request, 50, 1000))))


@route("GET", "/runs/{run_id}", scope="read")
def get_run(request: Any, run_id: str) -> Response:
    return json(found(wiring.store().get_run(uuid(run_id))))


@route("GET", "/runs/{run_id}/rejects", scope="read")
def list_rejects(request: Any, run_id: str) -> Response:
    run = found(wiring.store().get_run(uuid(run_id)))
    return json(views.RejectList(wiring.store().list_rejects(run.run_id, limit(request, 100, 1000))))


@app.schedule(config.ingest_schedule())
def ingest(event: Any) -> dict[str, Any]:
    return wiring.run_ingest("schedule").summary()


@app.lambda_function()
def migrate(event: Any, context: Any) -> dict[str, Any]:
    return {"applied": wiring.store().migrate()}
