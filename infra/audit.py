"""`make audit`: checks everything in this environment for vulnerabilities that OSV's database knows.

Never passes without a check: if OSV cannot be reached, it says so and exits with a separate status.
"""

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from tempfile import NamedTemporaryFile

import requests

OSV = "https://api.osv.dev/v1/query"
UNREACHABLE = 75  # EX_TEMPFAIL in sysexits.h: "try again later"

# pip comes with Python: a new environment starts with a version that is older than its fixes.
_NOT_OURS = {"pip"}


def main() -> int:
    installed = sorted({f"{one.name}=={one.version}" for one in distributions() if one.name not in _NOT_OURS})
    return audit(installed, OSV)


def audit(pins: Iterable[str], service: str) -> int:
    """The exit status: 0 only if the service was asked about each ``name==version`` and reports nothing."""
    if not _answers(service):
        print(f"make audit: skipped, nothing was checked, because {service} cannot be reached.")
        return UNREACHABLE
    with NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pin_file:
        pin_file.write("\n".join(pins))
        pin_file.flush()
        options = ["--strict", "--vulnerability-service", "osv", "--osv-url", service]
        options += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--requirement", pin_file.name]
        done = subprocess.run(
            [sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True, check=False
        )
    print(
        f"{done.stdout}{done.stderr}" if done.returncode else "make audit: nothing is known to be vulnerable."
    )
    return done.returncode


def _answers(service: str) -> bool:
    """Whether the service answers at all; pip-audit judges what it says."""
    try:
        requests.head(service, timeout=10)
    except requests.RequestException:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
