"""The entry points: routes, a schedule, a queue and the migration. Each parses, calls a room and returns."""

from json import loads
from typing import Any

from chalice.app import AuthRequest, AuthResponse, Chalice, CloudWatchEvent, Request, Response, SQSEvent

from chalicelib import answers, config, emulator, forms, people, runs, stats, telemetry, upkeep, views, wiring
from chalicelib.answers import HTML, html, json, or_404
from chalicelib.gate import Routes
from chalicelib.run_lists import reject_list, run_list

app = Chalice(app_name="decant", configure_logs=False)
telemetry.start(config.log_level())
emulator.correct()
if config.function_name():
    wiring.settings()  # a Lambda whose settings are missing or malformed does not start


@app.authorizer(ttl_seconds=60)  # not api_key, which Chalice takes for API Gateway's own keys (x-api-key)
def authorize(request: AuthRequest) -> AuthResponse:
    return route.authorize(request.token, lambda: wiring.settings().api_keys)


route = Routes(app, authorize, config.allowed_origin())


@route("GET", "/health", returns=views.Health)
def health(request: Request, query: forms.NoQuery) -> Response:
    """Whether Postgres and Redis answer, and how long ago a run last succeeded."""
    return json(state := upkeep.health(), 200 if state.postgres.ok else 503)


@route("GET", "/openapi.json")
def describe_api(request: Request, query: forms.NoQuery) -> Response:
    """The OpenAPI document of this API."""
    from chalicelib import openapi  # late: rarely requested, and it would slow every cold start

    return json(openapi.document(route.all, wiring.dialect()))


@route("GET", "/docs", media=HTML, query=forms.AnyQuery)
def read_api(request: Request, query: forms.AnyQuery) -> Response:
    """The OpenAPI document as an HTML page."""
    from chalicelib import manual, openapi

    return html(manual.page(openapi.document(route.all, wiring.dialect())))


@route("GET", "/", media=HTML, query=forms.AnyQuery)
def page(request: Request, query: forms.AnyQuery) -> Response:
    """The web page."""
    return answers.page(request)


@route("GET", "/web/{version}/{asset}", media="text/*")
def get_asset(request: Request, query: forms.NoQuery, version: str, asset: str) -> Response:
    """A file of the web page, cacheable for a year: each version has its own URL."""
    return answers.asset(version, asset)


@route("GET", "/contract", scope="read", returns=people.Contract)
def get_contract(request: Request, query: forms.NoQuery) -> Response:
    """What happens to each field that the source may send."""
    return json(people.contract(wiring.tokeniser(), wiring.dialect()))


@route("GET", "/users", scope="read", query=forms.Users, returns=views.UserList)
def list_users(request: Request, query: forms.Users) -> Response:
    """People, a page at a time, ordered by uid."""
    found = people.list_users(wiring.store(), wiring.tokeniser(), query, wiring.dialect)
    return answers.user_list(request, found, wiring.dialect)


@route("POST", "/users/lookup", scope="read", query=forms.Page, body=forms.Lookup, returns=views.UserList)
def look_up_users(request: Request, query: forms.Page, body: forms.Lookup) -> Response:
    """People who match all the given raw values, which are tokenised immediately."""
    found = people.look_up(wiring.store(), wiring.tokeniser(), query, body, wiring.dialect)
    return answers.user_list(request, found, wiring.dialect)


@route("GET", "/users/{uid}", scope="read", returns=views.UserView)
def get_user(request: Request, query: forms.NoQuery, uid: str) -> Response:
    """One person as stored, including the address."""
    answer = wiring.cache().get_user(uid)
    return answers.one_user(request, or_404(answer.body), answer.source)


@route("DELETE", "/users/{uid}", scope="erase", returns=views.Receipt)
def erase_user(request: Request, query: forms.NoQuery, uid: str) -> Response:
    """Erases a person permanently."""
    return json(people.erase(wiring.store(), wiring.cache(), wiring.tokeniser(), uid))


@route("GET", "/stats", scope="read", returns=stats.Stats)
def get_stats(request: Request, query: forms.NoQuery) -> Response:
    """Counts and distributions of the stored people, at most 30 seconds old."""
    answer = wiring.cache().get_stats()
    return json(answer.body, headers={"X-Data-Source": answer.source})


@route("GET", "/runs", scope="read", query=forms.Runs, returns=views.RunList)
def list_runs(request: Request, query: forms.Runs) -> Response:
    """Runs, a page at a time, newest first."""
    return answers.ledger_list(request, run_list(wiring.store(), query))


@route("POST", "/runs", scope="operate", body=forms.NewRun, returns=views.RunStarted, status=202)
def start_run(request: Request, query: forms.NoQuery, body: forms.NewRun) -> Response:
    """Starts a run and does not wait for it."""
    run = runs.start_run(body.whole_pages, body.whole_page_size, body.replay or None)
    return answers.started(request, run.run_id, run.status)


@route("GET", "/runs/{run_id}", scope="read", returns=views.Run)
def get_run(request: Request, query: forms.NoQuery, run_id: str) -> Response:
    """One run from the ledger."""
    return json(or_404(wiring.store().get_run(run_id)))


@route("POST", "/runs/{run_id}/stop", scope="operate", returns=views.Run)
def stop_run(request: Request, query: forms.NoQuery, run_id: str) -> Response:
    """Stops a run that is in progress; the pages that it has loaded stay."""
    return json(or_404(wiring.store().stop_run(run_id)))


@route("GET", "/runs/{run_id}/rejects", scope="read", query=forms.Rejects, returns=views.RejectList)
def list_rejects(request: Request, query: forms.Rejects, run_id: str) -> Response:
    """The records that a run did not load, a page at a time: position and reason, never a value."""
    return answers.ledger_list(request, reject_list(wiring.store(), run_id, query))


@app.schedule(config.ingest_schedule())
def ingest(event: CloudWatchEvent) -> dict[str, Any]:
    """Processes a scheduled run, or one that ``POST /runs`` has opened and handed over."""
    return runs.ingest(event.detail or {}, event.context).summary()


@app.on_sqs_message(queue=config.queue_name(), batch_size=1, maximum_concurrency=5)
def ingest_page(event: SQSEvent) -> None:
    """Processes a page of a queued run."""
    for message in event:
        receives = int(message.to_dict()["attributes"]["ApproximateReceiveCount"])
        runs.ingest_page(loads(message.body), receives)


@app.lambda_function()
def migrate(event: Any, context: Any) -> dict[str, Any]:
    """Applies the missing migrations; CloudFormation invokes it within a deployment."""
    return upkeep.migrate(event or {})
