"""The files that a repository has for its users and maintainers beside the package."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

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


def test_the_version_is_the_newest_of_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## (.*)$", changelog, flags=re.MULTILINE)
    assert sections[0] == "Unreleased"
    version, date = sections[1].split(" — ")
    citation = read_yaml("CITATION.cff")
    assert version == PROJECT["version"] == str(citation["version"])
    assert date == citation["date-released"]


def requirements():
    """The names in all of the package's requirements, but for the package itself."""
    lines = [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
    names = {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in lines}
    return names - {"insdel-bench"}


def constraints():
    """The version of each package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def test_every_requirement_has_a_version_that_ci_passed_with():
    """But what would replace a torch that is there."""
    free = {"torch", "torchvision", "setuptools"}
    assert requirements() - set(constraints()) == free
    for prefix in ("torch", "nvidia-", "cuda-", "triton", "sympy", "setuptools"):
        assert [name for name in constraints() if name.startswith(prefix)] == []


def test_the_versions_are_within_what_the_package_asks_for():
    for line in chain(PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()):
        requirement = Requirement(line)
        version = constraints().get(requirement.name.lower().replace("_", "-"))
        assert version is None or version in requirement.specifier, line


def parts_of_ci():
    """What `.ci/run` without arguments makes, in its order."""
    (parts,) = re.findall(r"^parts=\((.*)\)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    return parts.split()


def test_the_workflow_runs_every_part_of_ci():
    """`coverage` runs the tests too, and takes too long for each submission."""
    jobs = read_yaml(".github/workflows/ci.yml")["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    matrix = jobs["test"]["strategy"]["matrix"]["include"]
    commands += [f"bash .ci/run {case['part']}" for case in matrix]
    parts = {part for command in commands for part in command.removeprefix("bash .ci/run").split()}
    assert {part for part in parts if part.isalpha()} == {*parts_of_ci(), "coverage"}
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert {*parts_of_ci(), "coverage"} <= set(targets)


def test_the_tests_run_on_every_python_that_the_package_names():
    matrix = read_yaml(".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]
    named = [line.rpartition(" ")[2] for line in PROJECT["classifiers"] if "Python :: 3." in line]
    assert [case["python"] for case in matrix["include"]] == named
    assert f">={named[0]}" == PROJECT["requires-python"]


def test_actions_are_named_by_their_major_version():
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", action), action


@pytest.mark.parametrize(
    ("asked", "made"),
    [([], parts_of_ci()), (["lint"], ["lint"]), (["docs", "lint"], ["docs", "lint"])],
)
def test_ci_makes_all_parts_or_those_that_are_named(asked, made, tmp_path):
    """With stand-ins for make and for the programs that are installed where they are missing."""
    for name in ("make", "chromium", "chromedriver", "pdflatex"):
        path = tmp_path / name
        path.write_text('#!/bin/sh\necho "$@"\n')
        path.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    command = ["bash", str(ROOT / ".ci/run"), *asked]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == made


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


def test_a_container_holds_what_it_installs():
    """What the build is given is what its only command that reads files asks for."""
    given = set((ROOT / ".dockerignore").read_text().split("\n"))
    package_dirs = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    files = {"scripts/install.sh", "constraints.txt", "pyproject.toml", PROJECT["readme"]}
    needed = {*package_dirs["package-dir"].values(), *files, *PROJECT["license-files"]}
    assert {f"!{path}" for path in needed} == {line for line in given if line.startswith("!")}
    steps = (ROOT / "Containerfile").read_text().splitlines()
    assert "USER 1000" in steps  # nothing runs as root
