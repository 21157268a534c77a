"""What tables show of a metric."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Statistic:
    """A number that tables show of a metric.

    Attributes:
        name: Unique within a protocol. Columns that belong to it begin with it:
            `<name>_ci_low`, `<name>_letters`, `<name>_delta`, ...
        title: In tables and figures, as "Insertion".
        higher_is_better: None where neither is: then nothing is marked, tested or ranked by it.
        column: The column of the number itself; `name` by default.
        short: In tables of a terminal, as "ins"; `title` by default.
        quantity: On axes, as "insertion AUC"; `title` in lower case by default.
        digits: After the decimal point.
        is_main: Whether it has an interval, tests and figures; others are a number alone.
        published: Its column in the published tables, if there is one.
        is_area: Whether it depends on the rule for areas under curves.
        is_pooled: Whether it is read off all images of a set together, so that intervals draw
            images anew through `Metric.pooled`. Tests compare the values of single images.
        controls_tell: Whether a method that does not beat a control is to be warned of.
        warns_above: Methods, controls left out, with a higher mean are warned of; None: none is.
        warning: What is said of them, as "maps hardly change".
        guard: What tables say, by yes or no, of methods with and without such a mean: a few words
            that a method with a lower mean deserves, as "depends on the class".

    Example:
        >>> area = Statistic("insertion", "Insertion", True, column="insertion_auc")
        >>> area.column, area.short, area.quantity
        ('insertion_auc', 'Insertion', 'insertion')
    """

    name: str
    title: str
    higher_is_better: bool | None
    column: str = ""
    short: str = ""
    quantity: str = ""
    digits: int = 4
    is_main: bool = True
    published: str = ""
    is_area: bool = False
    is_pooled: bool = False
    controls_tell: bool = True
    warns_above: float | None = None
    warning: str = ""
    guard: str = ""

    def __post_init__(self) -> None:
        defaults = {"column": self.name, "short": self.title, "quantity": self.title.lower()}
        for attribute, default in defaults.items():
            if not getattr(self, attribute):
                object.__setattr__(self, attribute, default)
