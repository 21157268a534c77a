import numpy as np
import pytest
from scipy import stats
from toy_rows import begin, identity, rows

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.controls import constant_map_warnings, control_warnings

CONTROL = "bench.attribution.control."
SALIENCY = {"_target_": "bench.attribution.gradient.Saliency"}


def table(folder, methods, n=8):
    """Methods -> settings, insertion (n,) and deletion (n,) areas."""
    runs = []
    for name, (settings, insertion, deletion) in methods.items():
        run = begin(
            folder, name, method={"name": name, "version": 1, "settings": settings},
            dataset=identity()["dataset"] | {"num_images": n},
        )  # fmt: skip
        for image in range(n):
            ins, dele = (np.broadcast_to(area, n)[image] for area in (insertion, deletion))
            run.append(rows(f"image {image}", insertion=(ins, ins), deletion=(dele, dele)))
        runs.append(run)
    (comparison,) = comparisons(runs, "board")
    return comparison


def test_behind_in_both_directions(tmp_path):
    found = control_warnings(
        table(tmp_path, {
            "saliency": (SALIENCY, 0.345, 0.5),
            "center": ({"_target_": CONTROL + "Center"}, 0.462, 0.4),
        })
    )  # fmt: skip
    assert found == [
        "saliency does not beat the control center on insertion: 0.345 against 0.462",
        "saliency does not beat the control center on deletion: 0.500 against 0.400",
    ]


def test_equal_is_not_ahead(tmp_path):
    center = {"_target_": CONTROL + "Center"}
    found = control_warnings(
        table(tmp_path, {"saliency": (SALIENCY, 0.5, 0.1), "center": (center, 0.5, 0.9)})
    )
    assert found == ["saliency does not beat the control center on insertion: 0.500 against 0.500"]


@pytest.mark.parametrize("n", [5, 6])
def test_wilcoxon_needs_six_images(tmp_path, n):
    """The smallest p-value of five images is 2 / 2^5."""
    random = {"_target_": CONTROL + "Random"}
    better = 0.5 + np.arange(1, n + 1) / 100
    found = control_warnings(
        table(tmp_path, {"rise": ({}, better, 1 - better), "random": (random, 0.5, 0.5)}, n)
    )
    assert stats.wilcoxon(better - 0.5).pvalue == pytest.approx(2 / 2**n)
    expected = [
        f"rise is ahead of the control random on {metric}, but 5 images cannot tell them apart"
        for metric in ("insertion", "deletion")
    ]
    assert found == (expected if n == 5 else [])


def test_a_control_of_one_method_holds_for_that_one_only(tmp_path):
    blurred = {"_target_": CONTROL + "Blurred", "of": SALIENCY, "sigma": 0.05}
    stranger = {"_target_": CONTROL + "Inverted", "of": {"_target_": "elsewhere"}}
    found = control_warnings(
        table(tmp_path, {
            "saliency": (SALIENCY, 0.5, 0.1), "rise": ({}, 0.5, 0.1),
            "blurred": (blurred, 0.6, 0.9), "inverted stranger": (stranger, 0.9, 0.9),
        })
    )  # fmt: skip
    assert found == ["saliency does not beat the control blurred on insertion: 0.500 against 0.600"]


def test_one_line_a_method_and_metric(tmp_path):
    draws = np.random.default_rng(0).normal(scale=0.1, size=8)
    methods = {
        "rise": ({}, 0.5 + draws - draws.mean(), 0),
        "center": ({"_target_": CONTROL + "Center"}, 0.7, 1),
        "edge": ({"_target_": CONTROL + "Edge"}, 0.6, 1),
        "random": ({"_target_": CONTROL + "Random"}, 0.49, 1),
        "flat": ({"_target_": CONTROL + "Constant"}, 0.48, 1),
        "constant": ({"_target_": CONTROL + "Constant", "x": 1}, 0.001, 1),
    }
    assert control_warnings(table(tmp_path, methods)) == [
        "rise does not beat the controls center and edge on insertion: 0.500 against 0.700 and "
        "0.600; it is ahead of the controls random and flat, but 8 images cannot tell them apart"
    ]


def test_without_controls_there_is_nothing_to_say(tmp_path):
    assert control_warnings(table(tmp_path, {"a": ({}, 0.1, 0.2), "b": ({"x": 1}, 0.2, 0.1)})) == []
    other = tmp_path / "other"
    center = {"_target_": CONTROL + "Center"}
    assert control_warnings(table(other, {"center": (center, 0.1, 0.2)})) == []


def test_one_image(tmp_path):
    random = {"_target_": CONTROL + "Random"}
    methods = {"a": ({}, 0.6, 0.9), "random": (random, 0.5, 0.1)}
    assert control_warnings(table(tmp_path, methods, n=1)) == [
        "a is ahead of the control random on insertion, but 1 image cannot tell them apart",
        "a does not beat the control random on deletion: 0.900 against 0.100",
    ]


def test_constant_maps(tmp_path):
    """A map with one value orders no pixels; a control's may have one; regions are tied."""
    constant = {"saliency": (0, 1), "center": (1, 1), "smdl": (0, 0), "flat": (1, 1)}
    runs = []
    for name, is_constant in constant.items():
        settings = {"_target_": CONTROL + "Center"} if name == "center" else {"name": name}
        method = {"name": name, "version": 1, "settings": settings}
        dataset = identity()["dataset"] | {"num_images": 2}
        runs.append(begin(tmp_path, name, method=method, dataset=dataset))
        for image, is_so in zip(("a", "b"), is_constant, strict=True):
            runs[-1].append(rows(image).assign(tied_fraction=1.0, constant_map=bool(is_so)))
    (comparison,) = comparisons(runs, "board")
    assert sorted(constant_map_warnings(comparison)) == [
        "flat: 2 of 2 maps are constant (100 % ties): the numbers of these images say nothing "
        "about it",
        "saliency: 1 of 2 maps is constant (100 % ties): the numbers of these images say nothing "
        "about it",
    ]
