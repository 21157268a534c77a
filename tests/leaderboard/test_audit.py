"""Audits of made-up metrics, whose values are given."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from bench.leaderboard.audit import (
    NO,
    PARTLY,
    TOLD,
    YES,
    Answer,
    Finding,
    audit,
    is_audited,
)
from bench.metrics.metric import Metric
from bench.metrics.statistic import Statistic
from bench.report.audit import _in_words, audit_in_words, to_markdown


@dataclass(frozen=True)
class Hits(Metric):
    """Higher is better."""

    question: ClassVar[str] = "localised"
    direction: Any = True
    bound: float | None = None

    @property
    def statistics(self):
        return (
            Statistic(
                self.name, self.name.title(), self.direction, warns_above=self.bound,
                warning="maps hardly change", guard="depends on the network",
            ),
            Statistic(f"{self.name}_beside", "Beside", True, is_main=False),
        )  # fmt: skip

    def __call__(self, block, maps):
        raise AssertionError("rows are read, nothing is measured")


@dataclass(frozen=True)
class Scores(Hits):
    question: ClassVar[str] = "faithful"


@dataclass(frozen=True)
class Change(Hits):
    question: ClassVar[str] = "dependent"


@dataclass(frozen=True)
class Spread(Hits):
    question: ClassVar[str] = "concentrated"


def comparison(metrics, values, controls):
    """Values by metric and method, (n,) or one number."""
    metrics = {metric.name: metric for metric in metrics}
    methods = list(dict.fromkeys(method for of in values.values() for method in of))
    tables = {
        name: pd.DataFrame({method: np.broadcast_to(of[method], 8) for method in methods})
        for name, of in values.items()
    }
    return SimpleNamespace(
        protocol=SimpleNamespace(metrics=metrics),
        statistics=[metric.statistics[0] for metric in metrics.values()],
        values=lambda statistic: tables[statistic.name],
        runs=methods,
        controls=controls,
        title="birds",
    )


RISING = np.arange(8) / 100
METRICS = [
    Scores(name="drop", direction=False), Scores(name="gain"), Hits(name="hits"),
    Change(name="alike", direction=None, bound=0.7), Spread(name="gini", direction=None),
]  # fmt: skip


def answers(**of_method):
    """The audit of `mine` beside two controls and a control of another method."""
    controls = {"random": None, "center": None, "turned": "other"}
    usual = {"drop": 0.5, "gain": 0.5, "hits": 0.5, "alike": 1.0, "gini": 0.2}
    values = {
        name: {"mine": of_method.get(name, usual[name]), "other": usual[name]}
        | dict.fromkeys(controls, usual[name])
        for name in usual
    }
    found = comparison(METRICS, values, controls)
    assert is_audited(found)
    assert set(audit(found)) == {"mine", "other"}
    return found, {answer.title: answer for answer in audit(found)["mine"]}


def test_each_question_has_its_answer():
    """Lower drops are better here, a control of another method does not count."""
    _, found = answers(drop=0.4 - RISING, gain=0.4, hits=0.6 + RISING, alike=0.2)
    assert {title: answer.verdict for title, answer in found.items()} == {
        "Faithful": PARTLY, "Localised": YES, "Depends on the network": YES,
        "Concentrated": TOLD, "Beats the controls": PARTLY,
    }  # fmt: skip
    drop, gain = found["Faithful"].findings
    assert (drop.passes, gain.passes) == (True, False)
    assert gain.behind == ["random", "center"]
    assert drop.controls == {"random": 0.5, "center": 0.5}
    assert len(found["Beats the controls"].findings) == 3


@pytest.mark.parametrize(("alike", "verdict"), [(0.7, YES), (0.71, NO), (1.0, NO)])
def test_a_bound_decides_without_controls(alike, verdict):
    assert answers(alike=alike)[1]["Depends on the network"].verdict == verdict


def test_a_lead_that_may_be_chance_is_none():
    lead = np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.45, 0.6])
    _, found = answers(hits=lead)
    (finding,) = found["Localised"].findings
    assert (finding.behind, finding.close) == ([], ["random", "center"])
    assert found["Localised"].verdict == NO


def test_images_without_a_value_are_left_out_of_both_sides():
    hits = np.where(np.arange(8) < 3, np.nan, 0.6 + RISING)
    (finding,) = answers(hits=hits)[1]["Localised"].findings
    assert finding.images == 5
    assert finding.mean == pytest.approx((0.6 + RISING[3:]).mean())


@pytest.mark.parametrize(("images", "verdict"), [(1, TOLD), (5, TOLD), (6, YES)])
def test_few_images_say_nothing_for_or_against(images, verdict):
    """However much better it is on each of them, and however much worse."""
    for lead in (0.1, -0.1):
        hits = np.where(np.arange(8) < images, 0.5 + lead + np.sign(lead) * RISING, np.nan)
        compared, found = answers(hits=hits)
        expected = NO if verdict == YES and lead < 0 else verdict
        assert found["Localised"].verdict == expected
        assert len(found["Beats the controls"].findings) == 3
        said = {answer.title: answer.summary for answer in audit_in_words(compared)["mine"]}
        few = "On 1 measure fewer than 6 images cannot tell it from the controls."
        assert (said["Localised"] == few) == (verdict == TOLD)


def test_a_bound_without_a_value_is_not_broken():
    compared, found = answers(alike=np.nan)
    assert found["Depends on the network"].verdict == TOLD
    said = {answer.title: answer.summary for answer in audit_in_words(compared)["mine"]}
    assert said["Depends on the network"] == ""


@pytest.mark.parametrize(
    ("digits", "text"), [(1, "0.0"), (3, "0.001"), (4, "0.001"), (6, "0.00053")]
)
def test_numbers_that_are_small_by_nature_are_told_apart(digits, text):
    statistic = Statistic("small", "Small", None, digits=digits)
    finding = Finding(statistic, 0.000532, {}, [], [], 8)
    (line,) = _in_words(Answer("Faithful", "", [finding])).findings
    assert line == f"Small {text}, 8 images"


def test_nothing_to_answer():
    values = {"drop": {"mine": 0.5, "random": 0.5}}
    assert not is_audited(comparison(METRICS[:1], values, {"random": None}))
    values = {name: {"random": 0.5} for name in ("drop", "hits")}
    several = [METRICS[0], METRICS[2]]
    assert not is_audited(comparison(several, values, {"random": None}))


def test_in_words():
    compared, _ = answers(drop=0.4 - RISING, gain=0.4, hits=np.nan, alike=0.2)
    found = audit_in_words(compared)
    text = to_markdown({"birds": found}, "b_c")
    for line in (
        "# b_c: audit",
        "### mine",
        "**Faithful? Partly.** Do the pixels that it ranks high decide the score? It beats every "
        "control on 1 of 2 measures: not on Gain.",
        "- Drop ↓ 0.365 (controls: random 0.500, center 0.500), 8 images; better than every "
        "control",
        "- Gain ↑ 0.400 (controls: random 0.500, center 0.500), 8 images; not better than random "
        "and center",
        "- Hits: no image has a value.",
        "- Alike 0.200 (controls: random 1.000, center 1.000), 8 images; depends on the network: "
        "at most 0.7",
        "- Gini 0.200 (controls: random 0.200, center 0.200), 8 images",
    ):
        assert line in text.splitlines()
    assert (
        text.splitlines().count(
            "**Beats the controls? Partly.** Is it better than maps that know "
            "nothing? It beats every control on 1 of 2 measures: not on Gain."
        )
        == 1
    )
    assert found["mine"][-1].findings == []
