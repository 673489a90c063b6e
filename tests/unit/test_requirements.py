"""The requirement files name what is imported, so that a smaller environment lacks nothing."""

import ast
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from local.folders import ROOT

OURS = {"app", "chalicelib", "local", "infra"}
COMES_WITH = {"botocore": "boto3", "click": "chalice"}


def named_in(file):
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    names = {
        canonicalize_name(Requirement(line.partition(" #")[0]).name)
        for line in lines
        if line and not line.startswith(("#", "-r"))
    }
    return names.union(*(named_in(line.removeprefix("-r ")) for line in lines if line.startswith("-r ")))


def imported_by(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module


def third_party(*places):
    modules = {name.partition(".")[0] for place in places for name in imported_by(place)}
    owners = packages_distributions()
    return {
        canonicalize_name(COMES_WITH.get(module, owners[module][0]))
        for module in modules - OURS - sys.stdlib_module_names
    }


@pytest.mark.parametrize("folder", ["chalicelib", "local", "infra"])
def test_what_runs_without_the_tests_is_in_the_local_requirements(folder):
    assert third_party(ROOT / "app.py", *(ROOT / folder).rglob("*.py")) <= named_in("requirements-local.txt")


def test_what_a_lambda_imports_is_in_its_requirements():
    """AWS's runtime has boto3, and Chalice adds its own runtime to the package."""
    imported = third_party(ROOT / "app.py", *(ROOT / "chalicelib").rglob("*.py"))

    assert imported - {"boto3", "chalice"} <= named_in("requirements.txt")
