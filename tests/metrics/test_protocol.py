import re
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import BenchError
from bench.leaderboard.columns import csv_columns
from bench.metrics.baseline import (
    BlurBaseline,
    ConstantBaseline,
    MeanBaseline,
    UniformBaseline,
    ZeroBaseline,
)
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.protocol import (
    TAKEN,
    load_protocol,
    protocol_from_mapping,
    protocol_on,
    protocol_with,
    shipped_protocols,
    stored_protocol,
)
from bench.metrics.registry import metric_from_settings
from bench.storage.rows import ROW_COLUMNS

ZERO = {"baseline": {"kind": "zero"}}

# A shipped protocol never changes. If one of these hashes does, the change needs a new name.
FROZEN = {
    "localisation": "b034123caa7bd5c7",
    "log_probability-10-zero": "947a40c70bde4e0c",
    "logit-10-zero": "1ffc73f26e774700",
    "mfaba": "0c608384a501542f",
    "probability-10-black": "4da2074c74cfdfeb",
    "probability-10-blur": "3d6a821ec4106d9f",
    "probability-10-mean": "748a4e15c284bf97",
    "probability-10-noise": "ce30a8388f6bb04f",
    "probability-25-zero": "4b154fbcb9e27aa1",
    "probability-5-zero": "9acac5a6e0b6f152",
    "rise": "1f679a7d4fbc1353",
    "rise-1row": "1bca3d4160df7e38",
    "smdl-cub": "15a78a506466f92b",
    "smdl-cub-errors": "fcb406e0cb19ca21",
    "smdl-cub-errors-50": "538eda9b24bbe6e3",
    "smdl-face": "9bfff40df94891c4",
    "xplique": "9bfff40df94891c4",
    "xplique-mufidelity": "c812e6e89edb4000",
    "xplique-probability": "08cf8711bf20dab8",
}


def test_shipped_protocols_are_frozen():
    assert {name: load_protocol(name).hash for name in shipped_protocols()} == FROZEN


@pytest.mark.parametrize(
    ("name", "insertion", "deletion", "score"),
    [
        ("xplique", 10, 10, "output"),
        ("xplique-probability", 10, 10, "probability"),
        ("smdl-face", 10, 10, "output"),
        ("smdl-cub", 25, 10, "probability"),
    ],
)
def test_settings_of_the_record(name, insertion, deletion, score):
    protocol = load_protocol(name)
    curves = protocol.curves
    assert (curves["insertion"].steps, curves["deletion"].steps) == (insertion, deletion)
    assert all(curve.baseline == ZeroBaseline() for curve in curves.values())
    assert (protocol.score, protocol.ties, protocol.auc) == (score, "numpy_1_23", "trapezoid")


BASELINES = {
    "zero": ZeroBaseline(),
    "black": ConstantBaseline((0, 0, 0)),
    "mean": MeanBaseline(),
    "blur": BlurBaseline(11, 5),
    "noise": UniformBaseline(),
}


@pytest.mark.parametrize("name", [name for name in FROZEN if re.fullmatch(r"\w+-\d+-\w+", name)])
def test_protocols_of_the_robustness_experiment_are_what_their_names_say(name):
    """Each changes one thing of xplique-probability, the reference."""
    score, steps, baseline = name.split("-")
    protocol, reference = load_protocol(name), load_protocol("xplique-probability")
    metrics = (kind(BASELINES[baseline], steps=int(steps)) for kind in (Insertion, Deletion))
    metrics = {metric.name: metric for metric in metrics}
    assert protocol == replace(reference, name=name, score=score, metrics=metrics)
    changed = [score != "probability", steps != "10", baseline != "zero"]
    assert sum(changed) == 1


@pytest.mark.parametrize(("name", "rows", "points"), [("rise", 8, 29), ("rise-1row", 1, 225)])
def test_rise_protocols_take_rows_of_pixels_a_step(name, rows, points):
    """The notebook that printed RISE's table takes 8 rows: 29 points at 224."""
    protocol = load_protocol(name)
    assert protocol.curves["insertion"].baseline == BlurBaseline(11, 5)
    assert protocol.curves["deletion"].baseline == ZeroBaseline()
    counts = protocol.curves["deletion"].counts(224, 224)
    assert len(counts) == points
    assert (np.diff(counts) == 224 * rows).all()


@pytest.mark.parametrize(
    ("side", "steps", "expected"),
    [  # protocol of the published numbers, read off numpy
        (112, 10, [0, 1254, 2508, 3763, 5017, 6272, 7526, 8780, 10035, 11289, 12544]),
        (224, 25, [0, 2007, 4014, 6021]),
    ],
)
def test_equal_intervals_are_truncated(side, steps, expected):
    counts = Insertion(ZeroBaseline(), steps=steps).counts(side, side)
    assert counts[: len(expected)].tolist() == expected
    assert counts[-1] == side * side
    assert len(counts) == steps + 1


def test_the_last_row_step_is_shorter_where_rows_do_not_divide():
    counts = Insertion(ZeroBaseline(), rows_per_step=2).counts(5, 3)
    assert counts.tolist() == [0, 6, 12, 15]


def test_one_pixel_a_step_up_to_a_fraction():
    counts = Insertion(ZeroBaseline(), steps=-1, max_fraction=0.4).counts(5, 3)
    assert counts.tolist() == [0, 1, 2, 3, 4, 5, 6]
    counts = Insertion(ZeroBaseline(), steps=4, max_fraction=0.4).counts(7, 9)
    assert counts.tolist() == np.linspace(0, 25, 5, dtype=np.int32).tolist()


def settings(metrics=None, **changes):
    """Those of `xplique`, with changes to metrics by their names; None takes one out."""
    shipped = shipped_protocols()["xplique"]
    return {**shipped, **changes, "metrics": {**shipped["metrics"], **(metrics or {})}}


def test_a_changed_protocol_needs_a_name_of_its_own():
    five = {"insertion": {"steps": 5, "baseline": {"kind": "zero"}}}
    with pytest.raises(BenchError, match=r"'xplique' is frozen.*protocol\.name"):
        protocol_from_mapping(settings(five))
    mine = protocol_from_mapping(settings(five, name="mine"))
    assert mine.curves["insertion"].steps == 5
    assert mine.hash != load_protocol("xplique").hash


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "probability"},
        {"ties": "stable"},
        {"auc": "mean"},
        {"target": "prediction"},
        {"target": 0},
        {"metrics": {"insertion": {"steps": 10, "baseline": {"kind": "mean"}}}},
        {"metrics": {"deletion": {"steps": 9, "baseline": {"kind": "zero"}}}},
        {"metrics": {"deletion": {"steps": 10, "max_fraction": 0.5, "baseline": {"kind": "zero"}}}},
        {"metrics": {"deletion": {"steps": 10, "baseline": {"kind": "blur"}}}},
        {"metrics": {"deletion": {"steps": 10, "baseline": {"kind": "blur", "sigma": 4}}}},
        {"metrics": {"deletion": None}},
        {"metrics": {"mufidelity": {"baseline": {"kind": "zero"}}}},
    ],
)
def test_every_setting_is_frozen_and_hashed(changes):
    with pytest.raises(BenchError, match="frozen"):
        protocol_from_mapping(settings(**changes))
    mine = protocol_from_mapping(settings(name="mine", **changes))
    assert mine.hash != load_protocol("xplique").hash


def test_equal_settings_have_equal_hashes_whatever_the_name():
    assert load_protocol("xplique").hash == load_protocol("smdl-face").hash


@pytest.mark.parametrize(
    ("target", "name"), [("prediction", "xplique-prediction"), (3, "xplique-class_3")]
)
def test_another_target_makes_another_protocol(target, name):
    base = load_protocol("xplique")
    protocol = protocol_on(base, target)
    assert (protocol.name, protocol.target) == (name, target)
    assert protocol.hash != base.hash
    assert protocol.title == f"{name} (target: {target})"
    assert protocol_on(protocol, target) == protocol
    assert stored_protocol(protocol.stored()) == protocol
    assert protocol_with(protocol, {"center": CENTER}).base == protocol
    with pytest.raises(BenchError, match="target: expected"):
        protocol_on(base, "foo")


def test_a_protocol_of_the_label_says_nothing_of_it():
    base = load_protocol("xplique")
    assert base.target == "label"
    assert "target" not in base.settings()
    assert base.title == "xplique"
    assert protocol_on(base, "label") is base
    assert protocol_from_mapping(settings(target="label")) == base
    rise = load_protocol("rise")
    assert (rise.target, load_protocol("rise-1row").target) == ("prediction", "label")
    assert protocol_on(rise, "label").hash == "ee728ce9f3b3016d"  # as it was of the label


CENTER = metric_from_settings("center", {"_target_": "toy.CenterMetric"}, "metric.center")


def test_metrics_beside_a_protocols_own():
    base = load_protocol("xplique")
    protocol = protocol_with(base, {"center": CENTER})
    assert list(protocol.metrics) == ["insertion", "deletion", "center"]
    assert protocol.added == ("center",)
    assert (protocol.name, protocol.hash) == (base.name, base.hash)
    assert protocol.base == base
    assert protocol.settings() != base.settings()  # rows with and without it are not mixed up
    assert protocol_with(base, {}) == base
    assert protocol.statistics[0] == base.statistics[0]  # it ranks
    confidence = shipped_protocols()["smdl-cub-errors"]["metrics"]["confidence"]
    confidence = metric_from_settings("confidence", confidence, "metric.confidence")
    protocol = protocol_with(base, {"confidence": confidence})
    assert stored_protocol(protocol.settings()) == protocol


def test_a_curve_under_another_name_has_columns_of_its_own():
    deletion = Deletion(ZeroBaseline(), steps=3, name="deletion_3")
    protocol = protocol_with(load_protocol("xplique"), {"deletion_3": deletion})
    columns = [name for metric in protocol.metrics.values() for name in metric.columns((5, 7))]
    assert len(set(columns)) == len(columns) == 5
    assert {"baseline_score", "deletion_3_baseline_score"} < set(columns)


@pytest.mark.parametrize(
    ("name", "target", "message"),
    [
        ("insertion", "toy.CenterMetric", "metric.insertion: protocol 'xplique' has a metric of"),
        ("my-metric", "toy.CenterMetric", "metric.my-metric: expected a name of letters, digits"),
        ("seconds", "toy.CenterMetric", "metric.seconds: its column 'seconds' is also one of rows"),
        ("x", "toy.FixedColumn", "metric.x: its column 'seed' is also one of rows and tables"),
        ("srg", "toy.CenterMetric", "metric.srg: its column 'srg' is also one of rows and tables"),
    ],
)
def test_metrics_that_a_protocol_cannot_have(name, target, message):
    metric = metric_from_settings(name, {"_target_": target}, f"metric.{name}")
    with pytest.raises(BenchError, match=message):
        protocol_with(load_protocol("xplique"), {name: metric})


def test_metrics_with_a_column_in_common():
    raising = {"_target_": "toy.RaisingMetric"}
    metrics = {name: metric_from_settings(name, raising, name) for name in ("one", "two")}
    with pytest.raises(BenchError, match=r"metric\.two: its column 'raising' is also .* 'one'"):
        protocol_with(load_protocol("xplique"), metrics)


def test_columns_that_are_no_metrics_are_known():
    assert {*ROW_COLUMNS, *csv_columns([])} <= TAKEN


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": "probabilty"}, "Did you mean 'probability'"),
        ({"ties": "heap"}, "unknown name 'heap'"),
        ({"extra": 1}, "expected the keys .* and perhaps citation and target; found"),
        (
            {"target": "predicted"},
            r"protocol\.target: expected 'label', 'prediction' or the number",
        ),
        ({"target": -1}, r"protocol\.target: expected"),
        ({"target": True}, r"protocol\.target: expected"),
        ({"metrics": {"insertion": {"steps": 10}}}, "baseline is missing"),
        ({"metrics": {"insertion": {"steps": 0, **ZERO}}}, ">= 1, found 0"),
        ({"metrics": {"insertion": ZERO}}, "either steps or rows_per_step"),
        ({"metrics": {"insertion": {"step": 3, **ZERO}}}, "Did you mean 'steps'"),
        (
            {"metrics": {"insertion": {"steps": 3, "baseline": {"kind": "black"}}}},
            "Known: blur, constant, mean, uniform, zero",
        ),
        (
            {"metrics": {"insertion": {"steps": 3, "baseline": {"kind": "zero", "x": 1}}}},
            "unknown name 'x'",
        ),
        ({"metrics": {"insertoin": ZERO}}, "Did you mean 'insertion'"),
        ({"metrics": {"mine": {"_target_": "no.such.Metric"}}}, "cannot load no.such.Metric"),
        ({"metrics": {"mine": {"_target_": "pathlib.Path"}}}, "expected _target_ to be a subclass"),
        ({"metrics": dict.fromkeys(("insertion", "deletion"))}, "at least one metric"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(BenchError, match=message):
        protocol_from_mapping(settings(name="mine", **changes))
