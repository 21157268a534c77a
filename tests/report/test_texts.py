import numpy as np
import pandas as pd
import pytest
from compared import INSERTION, comparison, drawn_curves

from bench import score
from bench.leaderboard.significance import TESTS, Significance
from bench.metrics import auc, perturbation
from bench.metrics.baseline import ConstantBaseline
from bench.metrics.deletion import Deletion
from bench.metrics.protocol import Protocol, load_protocol, shipped_protocols
from bench.report import texts
from bench.report.texts import label_in_words, protocol_in_words, significance_in_words
from bench.storage.pictures import Picture


def test_there_are_words_for_everything():
    assert set(texts.SCORES) == set(score.SCORES)
    assert set(texts.TIES) == {*perturbation.TIE_RULES}
    assert set(texts.AUC_RULES) == set(auc.AUC_RULES)
    assert set(texts.TESTS) == set(TESTS)


@pytest.mark.parametrize("name", shipped_protocols())
def test_every_shipped_protocol_has_words(name):
    protocol = load_protocol(name)
    words = " ".join(protocol_in_words(protocol, protocol.auc))
    assert "{" not in words
    assert "None" not in words
    assert ("MuFidelity" in words) == ("mufidelity" in protocol.metrics)
    assert ("Confidence" in words) == ("confidence" in protocol.metrics)


def test_words_of_curves():
    words = " ".join(protocol_in_words(load_protocol("rise-1row"), "mean"))
    assert (
        "by the pixels of 1 image row a step; a pixel that is not revealed is the image " in words
    )
    assert "blurred by a 11 by 11 kernel (sigma 5)" in words
    assert "by the pixels of 1 image row a step; a removed pixel is zero" in words
    assert "is the mean of its curve's points" in words
    assert "The table shows means over images." in words
    half = Deletion(ConstantBaseline((1, 2.5, 3)), steps=-1, max_fraction=0.5)
    words = " ".join(protocol_in_words(Protocol.of("p", "output", "stable", half), "trapezoid"))
    assert "Insertion" not in words
    assert "one pixel a step, up to 50% of the pixels; a removed pixel is the colour" in words
    assert "RGB (1, 2.5, 3)" in words


@pytest.mark.parametrize(
    ("label", "names", "expected"),
    [
        ("1", [], ("class 1", "class 1; target: class 2")),
        ("1", ["ara", "élan", "gnu"], ("élan, class 1", "élan, class 1; target: gnu, class 2")),
        ("élan", [], ("élan, class 1", "élan, class 1; target: class 2")),
        ("1", ["ara", "élan"], ("élan, class 1", "élan, class 1; target: class 2")),
    ],
)
def test_classes_have_names_beside_their_numbers(tmp_path, label, names, expected):
    one = comparison(tmp_path, drawn_curves("m"))
    photo = np.zeros((4, 4, 3), np.uint8)
    picture = Picture("b", photo, label, {}, class_names=names)
    assert label_in_words(picture, one) == expected[0]
    one.rows["m"].loc[one.rows["m"]["image_id"] == "b", "target"] = 2
    assert label_in_words(picture, one) == expected[1]


def found(letters, **changes):
    names = list(letters)
    settings = {
        "statistic": INSERTION, "methods": names, "letters": letters, "pairs": pd.DataFrame(),
        "win_rates": pd.DataFrame(), "average_ranks": pd.Series(dtype=float),
        "critical_difference": np.nan, "friedman_p": np.nan, "alpha": np.nan,
    }  # fmt: skip
    return Significance(**settings | changes)


def test_words_of_what_can_be_told_apart():
    (told,) = significance_in_words(found({"x": "a", "y": "ab", "z": "b"}), 9)
    assert told.startswith("x has the best mean; y cannot be told apart from it (Wilcoxon's")
    (told,) = significance_in_words(found({"x": "a", "y": "b"}), 9)
    assert "no other method has such a mean" in told
    (told,) = significance_in_words(found(dict.fromkeys("vwxyz", "a"), test="permutation"), 9)
    assert "w, x, y and z cannot" in told
    assert "permutation" in told
    (told,) = significance_in_words(found(dict.fromkeys("uvwxyz", "a")), 9)
    assert "5 others cannot be told apart" in told
    numbers = {"critical_difference": 2.344, "friedman_p": 0.0123, "alpha": 0.456}
    told = " ".join(significance_in_words(found({"x": "a", "y": "b"}, **numbers), 9))
    for expected in ("alike gives p = 0.012.", "rankings of methods is 0.46", "difference, 2.34,"):
        assert expected in told


def test_one_image_tells_nothing():
    (told,) = significance_in_words(found({"x": "a", "y": "a"}), 1)
    assert "One image" in told
