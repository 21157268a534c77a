"""The page of all settings of a run, from `conf/run.yaml`."""

from collections.abc import Sequence

from bench.config.choices import GROUPS, SHIPPED, choices
from bench.config.composing import load_nodes
from reference.markdown import code, page, table
from reference.yaml_settings import Setting, settings_in

_PAGES = {
    "dataset": "datasets.md",
    "backbone": "backbones.md",
    "protocol": "protocols.md",
    "method": "methods/index.md",
    "metric": "metrics.md",
    "experiment": "experiments.md",
}
"""By configuration group, the page of its names."""


def settings_page() -> str:
    """What is chosen by name, then every setting of a run."""
    return page(
        "# Settings",
        "Every setting of `bench run` is changed as `key=value` on the command line, or in a YAML "
        "file of an experiment. `???` has to be given, `null` says nothing. Settings of a chosen "
        "data set, backbone or method begin with its group: `dataset.max_images=5`, "
        "`method.rise.num_masks=500`.",
        "## What is chosen by name",
        _choices_table(),
        "## Settings of a run",
        settings_table(run_settings()),
    )


def run_settings() -> list[Setting]:
    """The settings of `conf/run.yaml`."""
    return settings_in((SHIPPED / "run.yaml").read_text(encoding="utf-8"))


def settings_table(settings: Sequence[Setting]) -> str:
    """Names, defaults and meanings as a table; empty if there are none."""
    if not settings:
        return ""
    return table(
        ["Setting", "Default", "What it is"],
        [[code(each.key), code(each.default), each.comment] for each in settings],
    )


def _choices_table() -> str:
    """The groups of names, each with its default and its page."""
    defaults = _defaults()
    rows = []
    for title, group in GROUPS.items():
        default = defaults.get(group)
        named = ",".join(default) if isinstance(default, list) else default or ""
        written = f"[{named}]" if isinstance(default, list) else named
        there = f"[{len(choices(group))} {title}]({_PAGES[group]})"
        rows.append([code(group), code(written), there])
    return table(["Setting", "Default", "Choices"], rows)


def _defaults() -> dict[str, str | list[str] | None]:
    """By configuration group, what `conf/run.yaml` takes of it."""
    entries = load_nodes(SHIPPED / "run.yaml")["defaults"]
    return {
        key: value for entry in entries if isinstance(entry, dict) for key, value in entry.items()
    }
