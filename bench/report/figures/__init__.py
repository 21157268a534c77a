"""Figures of leaderboards, as `matplotlib` objects and as PNG and SVG."""

from bench.report.figures.boxes import draw_boxes, draw_success
from bench.report.figures.captioned import (
    CaptionedFigure,
    diagrams,
    photographs,
    ranks_over_benchmarks,
)
from bench.report.figures.cost import draw_cost
from bench.report.figures.critical_difference import draw_critical_difference
from bench.report.figures.curves import draw_curves
from bench.report.figures.distributions import draw_distributions
from bench.report.figures.heatmaps import draw_agreement, draw_ranks
from bench.report.figures.maps import draw_contact_sheet, draw_examples, draw_maps
from bench.report.figures.scatter import draw_scatter
from bench.report.figures.style import to_jpeg, to_png, to_svg

__all__ = [
    "CaptionedFigure",
    "diagrams",
    "draw_agreement",
    "draw_boxes",
    "draw_contact_sheet",
    "draw_cost",
    "draw_critical_difference",
    "draw_curves",
    "draw_distributions",
    "draw_examples",
    "draw_maps",
    "draw_ranks",
    "draw_scatter",
    "draw_success",
    "photographs",
    "ranks_over_benchmarks",
    "to_jpeg",
    "to_png",
    "to_svg",
]
