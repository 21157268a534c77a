"""The files that a repository has for its users and maintainers beside the package."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORMS = sorted(
    path for path in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"
)


def read_yaml(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_make_help_names_every_target():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [line.split(maxsplit=1) for line in shown.splitlines() if line.startswith("  ")]
    assert [target for target, _ in lines] == targets
    assert len(targets) > 8


def test_the_citation_is_that_of_the_package():
    citation = read_yaml("CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] == [{"name": "The bench authors"}]
    assert str(citation["version"]) == PROJECT["version"]
    assert citation["license"] == PROJECT["license"]
    assert citation["keywords"] == PROJECT["keywords"]
    assert not {"doi", "url", "repository-code"} & set(citation)


def test_there_are_forms_for_a_row_a_method_and_a_bug():
    assert [path.stem for path in FORMS] == ["add_method", "bug", "row_differs"]
    assert read_yaml(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_shows(path):
    form = read_yaml(path)
    assert {"name", "description", "title", "labels", "body"} == set(form)
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    names = [field["id"] for field in fields]
    assert len(set(names)) == len(names)
    for field in fields:
        assert field["type"] in {"input", "textarea", "dropdown"}
        assert field["attributes"]["label"]
    assert any(field.get("validations", {}).get("required") for field in fields)


@pytest.mark.parametrize("form", ["bug", "row_differs"])
def test_a_fault_is_told_with_what_is_needed_to_repeat_it(form):
    fields = {field.get("id") for field in read_yaml(f".github/ISSUE_TEMPLATE/{form}.yml")["body"]}
    assert {"command", "check", "manifest"} <= fields
