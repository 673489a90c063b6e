"""Looks after an installation: the health of its servers, and the migrations of a deployment."""

import logging
from collections.abc import Mapping
from typing import Any

from chalicelib import wiring
from chalicelib.errors import DecantError, StoreError
from chalicelib.views import Health, ServerHealth

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
    """Applies the missing migrations. If CloudFormation asks, reports the result to it and does not raise."""
    if "ResponseURL" not in event:
        return {"applied": wiring.store().migrate()}
    from chalicelib import aws  # imported late: the other way needs no AWS

    problem, applied = "", list[str]()
    try:
        if event["RequestType"] != "Delete":
            applied = wiring.store().migrate()
    except DecantError as error:
        problem = str(error)
        _log.error("migrate: %s", problem)
    aws.answer_stack(event, problem)
    return {"applied": applied}
