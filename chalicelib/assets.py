"""The page's files in web/: which there are, as what, and under which version. Knows nothing of HTTP."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

_FOLDER = Path(__file__).parent / "web"
_PAGE = "index.html"
_MEDIA = {".css": "text/css", ".js": "text/javascript"}


@dataclass(frozen=True)
class Asset:
    """A file's text and its media type."""

    text: str
    media: str


def page() -> str:
    """The page's HTML; its links lead to the files' present version."""
    return (_FOLDER / _PAGE).read_text(encoding="utf-8").replace("{version}", version())


def version() -> str:
    """Names what all files hold together: other files have other addresses, so none is ever kept too long.

    Made anew each time, which takes a millisecond, so that whoever works on the page need only load it again.
    """
    contents = blake2b(digest_size=8)
    for path in sorted(_FOLDER.iterdir()):
        contents.update(path.read_bytes())
    return contents.hexdigest()


def find(of_version: str, name: str) -> Asset | None:
    """A file of the present version, if there is one by that name. The folder's listing decides, no path."""
    path = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _MEDIA}.get(name)
    if path is None or of_version != version():
        return None
    return Asset(path.read_text(encoding="utf-8"), _MEDIA[path.suffix])
