"""The browser in which the page is tested, and its window sizes and colour schemes."""

import shutil
from typing import Any

# The first has no window, and needs a third less of the processor's time.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def look(width: int, scheme: str) -> dict[str, Any]:
    """The options of a browser context."""
    return {
        "viewport": {"width": width, "height": 740 if width < 600 else 820},
        "color_scheme": scheme,
        "locale": "en-GB",
        "timezone_id": "UTC",
    }


LOOKS = {"dark-360": look(360, "dark"), "light-1280": look(1280, "light")}


def find() -> str | None:
    """The path of Chromium, or None if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)
