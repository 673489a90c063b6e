"""Describes what was measured on: the machine, in neutral terms, and the versions."""

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import redis

from bench.servers import Servers

_LIBRARIES = (
    *("chalice", "pandas", "msgspec", "psycopg2-binary", "redis"),
    *("dlt", "SQLAlchemy", "fastapi", "mangum", "aws-lambda-powertools"),
)


def markdown(servers: Servers, rounds: int, seconds: float) -> str:
    """One paragraph of Markdown."""
    postgres = str(servers.rows("SHOW server_version")[0][0]).split()[0]
    with redis.Redis.from_url(servers.redis_url) as client:
        valkey = client.info("server").get("valkey_version", "unknown")
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return (
        f"Measured on {datetime.now(UTC).date()} in {rounds} rounds ({seconds / 60:.0f} minutes), "
        f"on {os.cpu_count()} cores ({_cpu()}) with {_memory_gb():.0f} GB of memory, {platform.system()}; "
        f"Python {platform.python_version()}, PostgreSQL {postgres}, Valkey {valkey}; {libraries}."
    )


def _cpu() -> str:
    """The CPU's family, without its model number."""
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    family = re.match(r"(?:AMD|Intel)\S* \w+", found[1].replace("(R)", "")) if found else None
    return family[0] if family else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
