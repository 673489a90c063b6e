"""Looks after an installation: the health of its servers, and the migrations of a deployment."""

import logging
from collections.abc import Mapping
from typing import Any

from chalicelib import wiring
from chalicelib.errors import StoreError, safe
from chalicelib.views import Health, ServerHealth

_AWAY_SECONDS = 100.0  # a failure also fails the rollback, which migrates as well
_log = logging.getLogger("decant.upkeep")


def health() -> Health:
    """Whether Postgres and Redis answer. If Postgres is unavailable, this is reported, not raised."""
    try:
        age, postgres = wiring.store().last_success_age(), True
    except StoreError as error:
        _log.error("health: %s", error)
        age, postgres = None, False
    cache = wiring.cache()
    redis = cache.is_up()
    return Health(
        "ok" if postgres and redis else "degraded" if postgres else "down",
        ServerHealth(postgres),
        ServerHealth(redis),
        cache.get_counts(),
        age,
    )


def migrate(event: Mapping[str, Any]) -> dict[str, Any]:
    """Applies the missing migrations. CloudFormation, which would wait minutes for an answer, is told of any
    failure; nothing is then raised but AwsError, if it cannot be told."""
    if "ResponseURL" not in event:
        return {"applied": wiring.store().migrate()}
    from chalicelib import aws  # imported late: the other way needs no AWS
    from chalicelib.retries import retry_while_away

    problem, applied = "", list[str]()
    try:
        if event["RequestType"] != "Delete":
            applied = retry_while_away(wiring.store().migrate, _AWAY_SECONDS)
    except Exception as error:  # noqa: BLE001  the answer's boundary
        problem = str(safe(error))
        _log.error("migrate: %s", problem)
    aws.answer_stack(event, problem)
    return {"applied": applied}
