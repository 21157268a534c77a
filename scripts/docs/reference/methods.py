"""The pages of methods: an index, and one for each."""

from dataclasses import replace

from reference.components import Component, components
from reference.docstrings import ROOT, prose
from reference.facts import facts
from reference.formulas import displayed, with_formulas
from reference.markdown import api, block, cited, code, page, table
from reference.method_facts import MethodFacts, method_facts
from reference.settings import settings_table

PICTURES = "docs/assets/methods"
_ASSETS = "../../assets/methods"
"""The folder of pictures, as the pages of methods lead to it."""


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
    name, target = component.name, component.target
    told, said = facts("method")[name], method_facts()[name]
    prefix = f"method.{name}"
    settings = [replace(each, key=f"{prefix}.{each.key}") for each in component.settings]
    return page(
        f"# {component.node.get('title', name)}",
        f"{component.description}.",
        block(f"bench run experiment=demo method=[{name},random]", "sh"),
        _picture(name, said),
        "## Formula",
        said.no_formula or "\n\n".join(map(displayed, said.formula)),
        with_formulas(said.where),
        "## What it does",
        prose(target),
        f"Class: {api(target)}.",
        "## Source and cost",
        f"{cited(told['citation'])}." if told["citation"] else "It is from bench itself.",
        f"{told['forward + backward']} passes through the network for one map, forward + backward.",
        "## Compared with",
        _comparisons(said),
        "## Settings",
        settings_table(settings),
    )


def _picture(name: str, said: MethodFacts) -> str:
    """A method's map beside the photo that it is of, or why there is none.

    Raises:
        FileNotFoundError: There is neither a picture nor a reason.
    """
    if said.no_picture:
        return f"No picture: {said.no_picture}"
    if not (ROOT / PICTURES / f"{name}.webp").exists():
        raise FileNotFoundError(
            f"{PICTURES}/{name}.webp: run scripts/docs/method_figures.py {name}, or say in "
            "docs/reference/methods.yaml why there is no picture"
        )
    changed = ", ".join(f"`{key}={value}`" for key, value in said.picture.items())
    return page(
        f"![The photo]({_ASSETS}/photo.webp){{ .map }} ![The map]({_ASSETS}/{name}.webp){{ .map }}",
        "One of the demo's photos, and this method's map of EfficientNet-Lite0's probability of "
        f"its label{f' with {changed}' if changed else ''}: pixels by their rank, from dark (least "
        "important) to yellow.",
    )


def _comparisons(said: MethodFacts) -> str:
    if not said.compared:
        return "No other implementation; tests hold it against its definition."
    return "\n".join(
        f"- **{one.reference}**: {one.closeness} (`{one.test}`)." for one in said.compared
    )
