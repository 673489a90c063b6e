"""The web page's files in web/: their names, media types and version. Knows nothing of HTTP."""

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

_FOLDER = Path(__file__).parent / "web"
_PAGE, _START = "index.html", "page.js"
_MEDIA = {".css": "text/css", ".js": "text/javascript"}


@dataclass(frozen=True)
class Asset:
    """A file's text and its media type."""

    text: str
    media: str


def page() -> str:
    """The page's HTML, with links to the current version of the files.

    All modules are named, so that a browser fetches them at once, and not each when another one imports it.
    """
    names = sorted(path.name for path in _FOLDER.glob("*.js") if path.name != _START)
    modules = "".join(f'  <link rel="modulepreload" href="web/{{version}}/{name}">\n' for name in names)
    html = (_FOLDER / _PAGE).read_text(encoding="utf-8").replace("{modules}", modules)
    return html.replace("{version}", version())


def version() -> str:
    """A hash of the contents of all files: changed files get new URLs, so no cached copy is ever stale.

    Computed for each call, which takes a millisecond, so that an edit of the page needs only a reload.
    """
    contents = blake2b(digest_size=8)
    for path in sorted(_FOLDER.iterdir()):
        contents.update(path.read_bytes())
    return contents.hexdigest()


def find(url_version: str, name: str) -> Asset | None:
    """A file; None if there is none, or if the version in its URL is not the current one.

    The name is looked up in a listing, never used as a path.
    """
    path = {path.name: path for path in _FOLDER.iterdir() if path.suffix in _MEDIA}.get(name)
    if path is None or url_version != version():
        return None
    return Asset(path.read_text(encoding="utf-8"), _MEDIA[path.suffix])
