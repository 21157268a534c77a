"""How figures look: colours, marks, fonts and names; and how they become files.

No meaning depends on colour alone: each method has its marker and its dash pattern, so that
a figure can be read in black-and-white print.
"""

import io
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from bench.leaderboard.comparison import Comparison
from bench.metrics.statistic import Statistic

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000")
"""The colour-blind safe palette of Okabe and Ito (https://jfly.uni-koeln.de/color), without its
yellow, which thin lines on white lose; in the order of the table."""
CONTROL = "#767676"
"""The grey of controls."""
CONTROL_NAME: dict[str, Any] = {"color": CONTROL, "style": "italic"}
"""Keywords of their names."""
WIDTH = 7.0
"""Inches; both columns of a paper, where fonts are then as large as they say."""
FONT = 8.0
"""Points."""

_MARKERS = "os^DvPX<p"
_DASHES = ((), (7, 1.5, 1, 1.5), (1, 1.2), (7, 1.5, 1, 1.5, 1, 1.5))
_CONTROL_DASHES = ((4, 2), (2, 1.5), (7, 3), (4, 2, 2, 2))
_LETTER = 0.56 * FONT / 72
"""Inches; how wide a letter of the font is on average."""

_SETTINGS: dict[Any, Any] = {  # keys are a type of matplotlib's own
    "font.size": FONT,
    "axes.titlesize": FONT + 1,
    "axes.labelsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "legend.fontsize": FONT,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "text.parse_math": False,  # a name is no formula
    "axes.unicode_minus": True,
    "svg.fonttype": "none",  # text stays text: small, to be searched and read aloud
    "svg.hashsalt": "bench",  # the same figure, the same ids
}


class Mark(NamedTuple):
    """Colour, dashes and marker of a method, the same in all figures of a comparison.

    Attributes:
        colour: #rrggbb.
        dashes: Lengths of dash and gap in line widths; empty: a solid line.
        marker: Matplotlib's letter.
        is_control: Whether it is grey, dashed and hollow.
    """

    colour: str
    dashes: tuple[float, ...]
    marker: str
    is_control: bool

    @property
    def line(self) -> dict[str, Any]:
        """Keywords of a line."""
        return {"color": self.colour, "linestyle": (0, self.dashes) if self.dashes else "-"}

    @property
    def point(self) -> dict[str, Any]:
        """Keywords of a marker; those of controls are hollow."""
        return {
            "marker": self.marker,
            "markerfacecolor": "white" if self.is_control else self.colour,
            "markeredgecolor": self.colour if self.is_control else "white",
            "markeredgewidth": 1.0 if self.is_control else 0.4,
        }


def marks(methods: Iterable[str], controls: Collection[str] = ()) -> dict[str, Mark]:
    """The marks of methods.

    Args:
        methods: In the order of the table. Up to 28 methods and 4 controls all differ.
        controls: Those of them that are controls.
    """
    found: dict[str, Mark] = {}
    numbers = {True: 0, False: 0}
    for method in methods:
        is_control = method in controls
        number = numbers[is_control]
        numbers[is_control] += 1
        colour = CONTROL if is_control else COLOURS[number % len(COLOURS)]
        dashes = (
            _CONTROL_DASHES[number % len(_CONTROL_DASHES)]
            if is_control
            else _DASHES[number // len(COLOURS) % len(_DASHES)]
        )
        found[method] = Mark(colour, dashes, _MARKERS[number % len(_MARKERS)], is_control)
    return found


def marks_of(comparison: Comparison) -> dict[str, Mark]:
    """The marks of a comparison's methods."""
    return marks(comparison.runs, comparison.controls)


def axis_title(statistic: Statistic) -> str:
    """What an axis says of a statistic, and which way is better."""
    words = {True: ", higher is better", False: ", lower is better", None: ""}
    return statistic.quantity + words[statistic.higher_is_better]


def shown(name: str, limit: int = 36) -> str:
    """A name as figures write it: in one line, printable, its middle left out if it is long.

    Args:
        name: Any text.
        limit: Letters.
    """
    line = "".join(letter if letter.isprintable() else " " for letter in name)
    if len(line) <= limit:
        return line
    kept = limit - 1  # settings that differ between rows are at the end
    return line[: kept - kept // 2] + "…" + line[-(kept // 2) :]


def name_rows(axes: Axes, names: Sequence[str], controls: Collection[str]) -> None:
    """Writes names beside the rows 0, 1, ... of a panel, whose limits are set by then."""
    axes.set_yticks(range(len(names)), map(shown, names))
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set(**(CONTROL_NAME if name in controls else {}))
    axes.tick_params(axis="y", length=0)


def letters_wide(texts: Iterable[str]) -> float:
    """Inches that the longest of some texts takes, about; no less than it does, as capitals do."""
    return max((max(_LETTER * len(text), text_width(text)) for text in texts), default=0)


def letters_in(width: float) -> int:
    """How many letters fit into some inches, about."""
    return int(width / _LETTER)


def text_width(text: str) -> float:
    """Inches that a line of text takes."""
    font = FontProperties(size=FONT)
    return float(text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]) / 72


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure whose parts make room for each other; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def panel_grid(count: int, height: float, sharey: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure of panels, two beside each other.

    Args:
        count: The count of the panels.
        height: Inches of a row of panels.
        sharey: Whether panels that stand beside each other share their vertical axis.
    """
    rows = -(-count // 2)
    figure = new_figure(height * rows)
    grid = figure.subplots(rows, min(count, 2), squeeze=False, sharey="row" if sharey else False)
    for axes in grid.flat[count:]:
        axes.remove()
    return figure, list(grid.flat[:count])


def placed_figure(height: float, width: float = WIDTH) -> Figure:
    """A figure whose parts stay where `add_panel` puts them; sizes in inches."""
    return Figure(figsize=(width, height))


def add_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A panel in inches from the figure's upper left corner."""
    whole = figure.get_size_inches()
    bottom = whole[1] - top - height
    return figure.add_axes(
        (left / whole[0], bottom / whole[1], width / whole[0], height / whole[1])
    )


@contextmanager
def styled() -> Iterator[None]:
    """The style, whatever the reader's own settings of matplotlib are; also a decorator."""
    with mpl.rc_context(), warnings.catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        # Fonts lack letters that names may have: they become boxes, and in an SVG stay text.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def add_legend(figure: Figure, methods: dict[str, Mark], lines: bool = True) -> float:
    """Names the methods under the figure, in as many columns as fit, and makes it higher.

    Args:
        figure: A figure of `new_figure`.
        methods: By their names.
        lines: Whether the figure shows lines.

    Returns:
        Inches that the legend takes.
    """
    names = [shown(name) for name in methods]
    handles = [
        Line2D([], [], **mark.point, **(mark.line if lines else {"linestyle": ""}))
        for mark in methods.values()
    ]
    width, height = figure.get_size_inches()
    columns = int(width / (letters_wide(names) + 0.62)) or 1
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    taken = 0.165 * rows + 0.1
    figure.set_size_inches(width, height + taken)
    figure.legend(
        handles,
        names,
        loc="outside lower center",
        ncols=-(-len(names) // rows),
        handlelength=3.2,
        columnspacing=1.4,
        labelspacing=0.35,
        borderpad=0.2,
    )
    return taken


def to_png(figure: Figure, dpi: int = 200) -> bytes:
    """A figure as PNG.

    Args:
        figure: What one of the functions of this package returned.
        dpi: Pixels an inch.
    """
    return _saved(figure, format="png", dpi=dpi)


def to_jpeg(figure: Figure, dpi: int = 200) -> bytes:
    """A figure of photos as JPEG, in about a tenth of a PNG's bytes; see `to_png`."""
    return _saved(figure, format="jpeg", dpi=dpi, pil_kwargs={"quality": 85, "optimize": True})


def to_svg(figure: Figure, dpi: int = 200) -> bytes:
    """A figure as SVG: text as text, no date, the same bytes for the same figure.

    Args:
        figure: See `to_png`.
        dpi: Pixels an inch of the images in it.
    """
    return _saved(figure, format="svg", dpi=dpi, metadata={"Date": None})


@styled()
def _saved(figure: Figure, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, **settings)
    return buffer.getvalue()
