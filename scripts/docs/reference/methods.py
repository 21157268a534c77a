"""The pages of methods: an index, and one for each."""

from dataclasses import replace

from reference.components import Component, components
from reference.docstrings import prose
from reference.facts import facts
from reference.markdown import api, block, cited, code, page, table
from reference.settings import settings_table

CONTROL = "Control: "
"""How the description of a method begins that is there to be beaten."""


def method_pages() -> dict[str, str]:
    """By path below `reference/methods/`, the index and the page of each method."""
    shipped = components("method")
    return {"index.md": _index(shipped)} | {f"{one.name}.md": _page(one) for one in shipped}


def _index(shipped: list[Component]) -> str:
    return page(
        "# Methods",
        "Choose some by `method=[NAME,NAME]`. Passes are those through the network for one map, "
        "forward + backward, with the settings that are the default.",
        table(
            ["Method", "What it is", "Passes", "Source"],
            [
                [
                    f"[{code(one.name)}]({one.name}.md)",
                    one.description,
                    facts("method")[one.name]["forward + backward"],
                    cited(facts("method")[one.name]["citation"]),
                ]
                for one in shipped
            ],
        ),
    )


def _page(component: Component) -> str:
    told = facts("method")[component.name]
    prefix = f"method.{component.name}"
    settings = [replace(each, key=f"{prefix}.{each.key}") for each in component.settings]
    return page(
        f"# {component.node.get('title', component.name)}",
        f"{component.description}.",
        block(f"bench run experiment=demo method=[{component.name},random]", "sh"),
        f"**Cost**: {told['forward + backward']} passes through the network for one map, "
        "forward + backward.",
        f"**Source**: {cited(told['citation'])}." if told["citation"] else "",
        "## What it does",
        prose(component.target),
        f"Class: {api(component.target)}.",
        "## Settings",
        settings_table(settings),
    )
