"""The first page of the reference."""

from bench.config.choices import GROUPS, SHIPPED, choices
from reference.markdown import page, table

_PAGES = {
    "Commands": ("commands.md", "Every subcommand of `bench`, what it takes, and examples"),
    "Settings": ("settings.md", "Every setting of a run, with its default"),
    "Columns": ("columns.md", "What rows, leaderboards and their CSV files hold"),
    "Python API": ("api/index.md", "What `import bench` offers, and the modules behind it"),
}
_OF_GROUPS = {
    "methods": "methods/index.md",
    "metrics": "metrics.md",
    "protocols": "protocols.md",
    "backbones": "backbones.md",
    "datasets": "datasets.md",
    "experiments": "experiments.md",
}


def index_page() -> str:
    """Where everything that has a name is told of."""
    rows = [[f"[{title}]({path})", what] for title, (path, what) in _PAGES.items()]
    for title, path in _OF_GROUPS.items():
        found = choices(GROUPS[title])
        count = sum(each.path.is_relative_to(SHIPPED) for each in found.values())
        rows.append(
            [f"[{title.capitalize()}]({path})", f"The {count} that `bench list {title}` shows"]
        )
    return page(
        "# Reference",
        "These pages are made from the code and its configuration whenever the site is built.",
        table(["Page", "What it has"], rows),
    )
