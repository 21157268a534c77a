"""What classes say of themselves in the tables of `bench list`: passes, needs, citation.

They are imported for it, and torch with them. `scripts/record_facts.py` records what the shipped
ones say, so that a list of those waits for nothing.
"""

from collections.abc import Callable
from pathlib import Path

from hydra.utils import get_class, instantiate

from bench.attribution.method import Method
from bench.config.choices import OTHER_METHODS
from bench.config.composing import load_nodes
from bench.config.settings import MISSING, flat
from bench.datasets.annotation import NEEDS
from bench.metrics.registry import SIZE, metric_from_settings
from bench.storage.identity import ROW_KEYS

Facts = tuple[str, ...]
"""Cells of a name's row between who brings it and what it is."""


def facts_of_method(path: Path) -> Facts:
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


def facts_of_metric(path: Path) -> Facts:
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


FACTS: dict[str, Callable[[Path], Facts]] = {"method": facts_of_method, "metric": facts_of_metric}
"""By configuration group, what says the facts of the class that a file of it names."""
