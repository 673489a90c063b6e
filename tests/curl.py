"""A stand-in for `curl` where it is not installed; it supports what the documents' commands use."""

import shutil
import sys
from pathlib import Path

_CURL = """
import sys, urllib.error, urllib.request
method, body, headers, shown, dumped, argv = None, None, {}, False, None, sys.argv[1:]
while argv:
    word = argv.pop(0)
    if word == "-H":
        name, _, value = argv.pop(0).partition(":")
        headers[name] = value.strip()
    elif word == "-d":
        body = argv.pop(0).encode()
    elif word == "-X":
        method = argv.pop(0)
    elif word == "-D":
        dumped = argv.pop(0)
    elif word == "-i":
        shown = True
    elif not word.startswith("-"):
        url = word
request = urllib.request.Request(url, body, headers, method=method)
try:
    answer = urllib.request.urlopen(request, timeout=10)
except urllib.error.HTTPError as refused:
    sys.exit(22)
lines = [f"HTTP/1.1 {answer.status}", *(f"{name}: {value}" for name, value in answer.headers.items()), "", ""]
head = "\\r\\n".join(lines)
if dumped:
    open(dumped, "w").write(head)
sys.stdout.write(head if shown else "")
sys.stdout.flush()
sys.stdout.buffer.write(answer.read())
"""


def put_into(folder: Path) -> None:
    """Puts it into this folder, which should come first in PATH."""
    if not shutil.which("curl"):
        (folder / "curl").write_text(f"#!{sys.executable}{_CURL}")
        (folder / "curl").chmod(0o700)
