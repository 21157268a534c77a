"""The page of metrics, and that of the protocols that are made of them."""

from bench.config.choices import choices
from bench.metrics.metric import QUESTIONS, Metric
from bench.metrics.protocol import Protocol, load_protocol
from bench.metrics.registry import metric_from_settings
from bench.metrics.statistic import Statistic
from reference.components import Component, components, section
from reference.docstrings import prose
from reference.facts import facts
from reference.markdown import block, cited, code, page, table

_BETTER = {True: "higher is better", False: "lower is better", None: "neither is better"}


def metrics_page() -> str:
    """Every metric: what it asks, what tables show of it, what it costs and can be set."""
    shipped = components("metric")
    index = table(
        ["Metric", "Question", "What it is"],
        [
            [f"[{code(one.name)}](#{one.name})", QUESTIONS[made(one).question][0], one.description]
            for one in shipped
        ],
    )
    return page(
        "# Metrics",
        "A metric asks one question of a map. A protocol has some; `'+metric=[NAME]'` measures "
        "more beside them, in rows that are there already, too. What tables show of it are its "
        "statistics.",
        index,
        *(_metric(one) for one in shipped),
    )


def made(component: Component) -> Metric:
    """A metric with the settings of its file."""
    settings = {key: value for key, value in component.node.items() if key != "_target_"}
    target = {"_target_": component.target}
    return metric_from_settings(component.name, target | settings, f"metric.{component.name}")


def _metric(component: Component) -> str:
    metric, told = made(component), facts("metric")[component.name]
    cost = (
        f"**Cost**: {told['forward a map']} forward passes for a map of 224 x 224 and "
        f"{told['an image']} for an image"
    )
    again = int(told["maps again"])
    cost += f"; each map is made {again} more times." if again else "."
    return section(
        component,
        f"metric.{component.name}",
        prose(component.target),
        f"**Question**: {QUESTIONS[metric.question][1]} **Looks at**: {told['needs']}. {cost}",
        f"**Source**: {cited(metric.citation)}." if metric.citation else "",
        _statistics(metric.statistics),
    )


def _statistics(statistics: tuple[Statistic, ...]) -> str:
    return table(
        ["Statistic", "In tables", "Direction", "Column"],
        [
            [code(one.name), one.title, _BETTER[one.higher_is_better], code(one.column)]
            for one in statistics
        ],
    )


def protocols_page() -> str:
    """Every protocol: what is scored, how ties are ordered, what is measured."""
    found = {name: load_protocol(name) for name in sorted(choices("protocol"))}
    descriptions = {name: choice.description for name, choice in choices("protocol").items()}
    return page(
        "# Protocols",
        "A protocol is a named score, target and tie rule with the metrics that belong to it. Its "
        "hash is in every row, and a shipped one never changes. Choose one by `protocol=NAME`.",
        table(
            ["Protocol", "Score", "Target", "Metrics"],
            [
                [f"[{code(name)}](#{name})", one.score, str(one.target), ", ".join(one.metrics)]
                for name, one in found.items()
            ],
        ),
        *(_protocol(one, descriptions[name]) for name, one in found.items()),
    )


def _protocol(protocol: Protocol, description: str) -> str:
    (path,) = (c.path for name, c in choices("protocol").items() if name == protocol.name)
    lines = path.read_text(encoding="utf-8").splitlines()
    written = "\n".join(line for line in lines[1:] if not line.startswith("# @package"))
    return page(
        f"## {protocol.name}",
        f"{description}.",
        *protocol.metrics_in_words(),
        f"**Source**: {'; '.join(map(cited, protocol.citations))}.",
        f"**Hash**: {code(protocol.hash)}",
        block(written, "yaml"),
    )
