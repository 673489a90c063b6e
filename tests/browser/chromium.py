"""The browser that the page is tested in, and how one looks at it."""

import shutil
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def look(width: int, scheme: str) -> dict[str, Any]:
    """The options of a browser's context."""
    return {
        "viewport": {"width": width, "height": 740 if width < 600 else 820},
        "color_scheme": scheme,
        "locale": "en-GB",
        "timezone_id": "UTC",
    }


LOOKS = {"dark-360": look(360, "dark"), "light-1280": look(1280, "light")}


def find() -> str | None:
    """Its path; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)
