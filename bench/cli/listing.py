"""The tables of `bench list`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hydra.utils import get_class, instantiate
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.attribution.method import Method
from bench.config.composing import OTHER_METHODS, choices, load_nodes
from bench.config.settings import MISSING, flat
from bench.datasets.annotation import NEEDS
from bench.metrics.registry import SIZE, metric_from_settings
from bench.storage.identity import ROW_KEYS

_WIDE = 1000
"""Columns where no terminal says how many it has: a line for each name, to search in."""

Facts = tuple[str, ...]
"""Cells of a name's row between who brings it and what it is."""


def print_choices(group: str, folders: Sequence[Path], console: Console) -> None:
    """Prints the names in a configuration group, who brings them, and what they are.

    Of methods, also the passes through the network for one image, and where they come from; of
    metrics, the forward passes for a map and for an image of 224 by 224 pixels, how many more maps
    of each they ask for, and what they look at.

    Args:
        group: A key of `bench.config.composing.choices`.
        folders: Configuration folders beside those that are always there.
        console: Where the table goes.
    """
    titles, facts_of = _FACTS.get(group, ((), lambda _: ()))
    table = Table("name", "from", *titles, "description", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = column.header not in ("citation", "description")
    for name, choice in choices(group, folders).items():
        cells = facts_of(choice.path)
        table.add_row(*map(Text, (name, choice.origin, *cells, choice.description)))
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _facts_of_method(path: Path) -> Facts:
    """Passes for one image and citation of the method that a file configures."""
    try:
        (settings,) = (node for node in load_nodes(path).values() if isinstance(node, dict))
        method = get_class(settings["_target_"])
        if not issubclass(method, Method):
            return "unknown", ""
    except Exception:  # anybody's file and module: `bench run` says what is wrong with it
        return "unknown", ""
    if method.passes is not Method.passes:
        other = any(key in settings for key in OTHER_METHODS)
        return "by the other method" if other else "by network", method.citation
    made: Method | type[Method] = method
    if MISSING not in dict(flat(settings)).values():
        arguments = {key: given for key, given in settings.items() if key not in ROW_KEYS}
        try:
            made = instantiate(arguments, _convert_="all")
        except Exception:  # a package or a file that it needs is missing
            made = method
    passes = (made.forward_passes, made.backward_passes)
    if None in passes:
        return "unknown", made.citation
    if not all(isinstance(count, int) for count in passes):
        return "by settings", made.citation
    return "{} + {}".format(*passes), made.citation


def _facts_of_metric(path: Path) -> Facts:
    """Passes, needs and citation of the metric that a file configures."""
    try:
        ((name, settings),) = load_nodes(path).items()
        metric = metric_from_settings(name, settings, f"metric.{name}")
    except Exception:  # anybody's file and module: `bench run` says what is wrong with it
        return "unknown", "unknown", "unknown", "unknown", ""
    looks_at = {
        "scores": metric.uses_scores,
        "order of pixels": metric.uses_order,
        "the method again": metric.explains_again,
        f"a {NEEDS.get(metric.needs)}": bool(metric.needs),
    }
    needs = ", ".join(what for what, is_needed in looks_at.items() if is_needed)
    counts = (
        metric.passes_per_map(SIZE),
        metric.passes_per_image(SIZE),
        metric.explanations_per_map(),
    )
    return (*map(str, counts), needs or "the map alone", metric.citation)


_FACTS: dict[str, tuple[Facts, Callable[[Path], Facts]]] = {
    "method": (("forward + backward", "citation"), _facts_of_method),
    "metric": (("forward a map", "an image", "maps again", "needs", "citation"), _facts_of_metric),
}
"""By group, what its names have to say besides what they are."""
