#!/bin/sh
# Prints a Python that really starts, on PATH or under pyenv: 3.13, since the package for AWS needs it, else the newest of
# 3.14, 3.12 and 3.11; PYTHON overrides.
# A name on PATH proves nothing (pyenv's shims may refuse, a system's Python may lack venv), so each is tried.

# $1: a command; $2: a version as in 3.13, or empty for any from 3.11 on
works() {
    "$1" -c 'import sys, ctypes, ensurepip, ssl, venv
wanted = sys.argv[1]
here = sys.version_info[:2]
sys.exit(here < (3, 11) or wanted not in ("", "%d.%d" % here))' "$2" >/dev/null 2>&1
}

if [ -n "$PYTHON" ]; then
    if works "$PYTHON" ""; then
        command -v "$PYTHON"
        exit 0
    fi
    echo "PYTHON=$PYTHON does not start, or is older than 3.11, or lacks venv." >&2
    exit 1
fi

for version in 3.13 3.14 3.12 3.11; do
    for candidate in "python$version" python3 python; do
        if works "$candidate" "$version"; then
            command -v "$candidate"
            exit 0
        fi
    done
    for candidate in "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python; do
        if works "$candidate" "$version"; then
            echo "$candidate"
            exit 0
        fi
    done
done

echo "No Python 3.14, 3.13, 3.12 or 3.11 that starts (with ssl and venv) is on PATH or under pyenv." >&2
echo "Install one, or name it: make PYTHON=/path/to/python3.13 …" >&2
exit 1
