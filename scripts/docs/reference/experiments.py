"""The page of experiments: what each composes to."""

from collections.abc import Iterable
from pathlib import Path

from bench.config.choices import SHIPPED, choices
from bench.config.composing import as_written, compose_run, load_nodes
from bench.datasets.published_lists import PUBLISHED_LISTS
from reference.markdown import block, code, folded, page, table
from reference.settings import settings_table
from reference.yaml_settings import settings_in


def experiments_page() -> str:
    """Every experiment: its parts, its methods, what it needs and what it repeats."""
    found = sorted(choices("experiment").items())
    return page(
        "# Experiments",
        "An experiment is a file of settings: `bench run experiment=NAME`. What follows on the "
        "command line changes it; `bench check experiment=NAME` says what is missing and what it "
        "costs.",
        table(
            ["Experiment", "What it is"],
            [
                [f"[{code(name)}](#{name.replace('/', '')})", each.description]
                for name, each in found
            ],
        ),
        *(_experiment(name, each.description) for name, each in found),
    )


def _experiment(name: str, description: str) -> str:
    text = choices("experiment")[name].path.read_text(encoding="utf-8")
    needed = [
        each
        for file in _files(name)
        for each in settings_in(file.read_text(encoding="utf-8"))
        if each.default == "???"
    ]
    given = "".join(f" {each.key}=..." for each in needed)
    return page(
        f"## {name}",
        f"{description}.",
        block(f"bench run experiment={name}{given}", "sh"),
        settings_table(needed),
        table(["Part", "Which"], _parts(name)),
        folded("Its file", block(text, "yaml")),
    )


def _parts(name: str) -> list[list[str]]:
    """What an experiment is made of, and what it repeats."""
    config = as_written(compose_run([f"experiment={name}"]))
    named = _named(name)
    rows = [
        [title, f"[{code(named[group])}]({group}s.md#{named[group].replace('.', '')})"]
        for title, group in (
            ("Data set", "dataset"),
            ("Backbone", "backbone"),
            ("Protocol", "protocol"),
        )
    ]
    rows.append(["Methods", _linked(config["method"], "methods/{}.md")])
    if added := config.get("metric"):
        rows.append(["Metrics besides", _linked(added, "metrics.md#{}")])
    if repeats := config.get("reproduces"):
        images = {each.name: each.num_images for each in PUBLISHED_LISTS}.get(repeats["list"])
        counted = f", {images} images" if images else ""
        rows += [
            ["Repeats", f"the published table {code(repeats['table'])}, {repeats['backbone']}"],
            ["List", f"{code(repeats['list'])}{counted}"],
            *(["Differs from the record", each] for each in repeats.get("deviations", ())),
        ]
    return rows


def _linked(names: Iterable[str], address: str) -> str:
    return ", ".join(f"[{code(each)}]({address.format(each)})" for each in names)


def _files(name: str) -> list[Path]:
    """An experiment's file, after those of the experiments that it builds on."""
    path = choices("experiment")[name].path
    others = [each for each in load_nodes(path).get("defaults", ()) if isinstance(each, str)]
    return [*(file for each in others if each != "_self_" for file in _files(each)), path]


def _named(name: str) -> dict[str, str]:
    """By group, the name that an experiment chooses, or else a run."""
    named: dict[str, str] = {}
    for path in (SHIPPED / "run.yaml", *_files(name)):
        for entry in load_nodes(path).get("defaults", ()):
            for group, value in entry.items() if isinstance(entry, dict) else ():
                named[group.removeprefix("override ").removeprefix("/")] = value
    return named
