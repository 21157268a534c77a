import re
from dataclasses import replace

import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.baseline import (
    BlurBaseline,
    ConstantBaseline,
    MeanBaseline,
    UniformBaseline,
    ZeroBaseline,
)
from bench.metrics.protocol import (
    Perturbation,
    load_protocol,
    protocol_from_mapping,
    shipped_protocols,
)

# A shipped protocol never changes. If one of these hashes does, the change needs a new name.
FROZEN = {
    "log_probability-10-zero": "cb4f2cd4fbb02372",
    "logit-10-zero": "ec98a1a2ff0d6ef7",
    "probability-10-black": "334f9c87c274775d",
    "probability-10-blur": "ffac42fc89c46f8b",
    "probability-10-mean": "19483e9977915f18",
    "probability-10-noise": "6caf78950d4ca880",
    "probability-25-zero": "267196ed00c079c0",
    "probability-5-zero": "d8f1ea62e3650bb2",
    "rise": "7563dfdd4e28a615",
    "rise-1row": "dfbb39094ec6217f",
    "smdl-cub": "8f7a1f3b97d77790",
    "smdl-cub-errors": "1c7a0d0fc08866b8",
    "smdl-cub-errors-50": "1e685b118b24a0b1",
    "smdl-face": "1dc58560e13d7635",
    "xplique": "1dc58560e13d7635",
    "xplique-mufidelity": "ec93880ce1f9f681",
    "xplique-probability": "adb184530e61b18f",
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
    assert (protocol.insertion.steps, protocol.deletion.steps) == (insertion, deletion)
    assert protocol.insertion.baseline == protocol.deletion.baseline == ZeroBaseline()
    assert (protocol.score, protocol.ties, protocol.auc) == (score, "numpy_1_23", "trapezoid")


BASELINES = {
    "zero": ZeroBaseline(),
    "black": ConstantBaseline((0, 0, 0)),
    "mean": MeanBaseline(),
    "blur": BlurBaseline(11, 5),
    "noise": UniformBaseline(),
}


@pytest.mark.parametrize("name", [own for own in FROZEN if re.fullmatch(r"\w+-\d+-\w+", own)])
def test_protocols_of_the_robustness_experiment_are_what_their_names_say(name):
    """Each changes one thing of xplique-probability, the reference."""
    score, steps, baseline = name.split("-")
    protocol, reference = load_protocol(name), load_protocol("xplique-probability")
    change = Perturbation(BASELINES[baseline], steps=int(steps))
    assert protocol == replace(reference, name=name, score=score, insertion=change, deletion=change)
    changed = [score != "probability", steps != "10", baseline != "zero"]
    assert sum(changed) == 1


@pytest.mark.parametrize(("name", "rows", "points"), [("rise", 8, 29), ("rise-1row", 1, 225)])
def test_rise_protocols_take_rows_of_pixels_a_step(name, rows, points):
    """The notebook that printed RISE's table takes 8 rows: 29 points at 224."""
    protocol = load_protocol(name)
    assert protocol.insertion.baseline == BlurBaseline(11, 5)
    assert protocol.deletion.baseline == ZeroBaseline()
    counts = protocol.deletion.counts(224, 224)
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
    counts = Perturbation(ZeroBaseline(), steps=steps).counts(side, side)
    assert counts[: len(expected)].tolist() == expected
    assert counts[-1] == side * side
    assert len(counts) == steps + 1


def test_the_last_row_step_is_shorter_where_rows_do_not_divide():
    counts = Perturbation(ZeroBaseline(), rows_per_step=2).counts(5, 3)
    assert counts.tolist() == [0, 6, 12, 15]


def test_one_pixel_a_step_up_to_a_fraction():
    counts = Perturbation(ZeroBaseline(), steps=-1, max_fraction=0.4).counts(5, 3)
    assert counts.tolist() == [0, 1, 2, 3, 4, 5, 6]
    counts = Perturbation(ZeroBaseline(), steps=4, max_fraction=0.4).counts(7, 9)
    assert counts.tolist() == np.linspace(0, 25, 5, dtype=np.int32).tolist()


def settings(**changes):
    return {**shipped_protocols()["xplique"], **changes}


def test_a_changed_protocol_needs_a_name_of_its_own():
    five = {"steps": 5, "baseline": {"kind": "zero"}}
    with pytest.raises(BenchError, match=r"'xplique' is frozen.*protocol\.name"):
        protocol_from_mapping(settings(insertion=five))
    mine = protocol_from_mapping(settings(name="mine", insertion=five))
    assert mine.insertion.steps == 5
    assert mine.hash != load_protocol("xplique").hash


@pytest.mark.parametrize(
    "changes",
    [
        {"score": "probability"},
        {"ties": "stable"},
        {"auc": "mean"},
        {"insertion": {"steps": 10, "baseline": {"kind": "mean"}}},
        {"deletion": {"steps": 9, "baseline": {"kind": "zero"}}},
        {"deletion": {"steps": 10, "max_fraction": 0.5, "baseline": {"kind": "zero"}}},
        {"deletion": {"steps": 10, "baseline": {"kind": "blur"}}},
        {"deletion": {"steps": 10, "baseline": {"kind": "blur", "sigma": 4}}},
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
    ("changes", "message"),
    [
        ({"score": "probabilty"}, "Did you mean 'probability'"),
        ({"ties": "heap"}, "unknown name 'heap'"),
        ({"extra": 1}, "expected the keys"),
        ({"insertion": {"steps": 10}}, "baseline is missing"),
        ({"insertion": {"steps": 0, "baseline": {"kind": "zero"}}}, ">= 1, found 0"),
        ({"insertion": {"baseline": {"kind": "zero"}}}, "either steps or rows_per_step"),
        ({"insertion": {"step": 3, "baseline": {"kind": "zero"}}}, "Did you mean 'steps'"),
        (
            {"insertion": {"steps": 3, "baseline": {"kind": "black"}}},
            "Known: blur, constant, mean, uniform, zero",
        ),
        ({"insertion": {"steps": 3, "baseline": {"kind": "zero", "x": 1}}}, "unknown name 'x'"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(BenchError, match=message):
        protocol_from_mapping(settings(name="mine", **changes))
