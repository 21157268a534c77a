from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from toy_rows import begin, identity, rows
from toy_rows import protocol as stored_protocol

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.robustness import RULES, comparable, robustness
from bench.metrics.auc import AUC_RULES, auc
from bench.storage.store import stored_runs

N = 9


def protocol(name, **changes):
    return stored_protocol(name=name, **changes)


def table(folder, protocols, insertion, n=N):
    """Runs of methods under protocols; `insertion[protocol][method]` are curves (n, S+1)."""
    runs = []
    for protocol in protocols:
        for method, curves in insertion[protocol["name"]].items():
            run = begin(
                folder, method, protocol=protocol,
                method={"name": method, "version": 1, "settings": {"m": method}},
                dataset=identity()["dataset"] | {"num_images": n},
            )  # fmt: skip
            stored, curves = rows(*map(str, range(n))), np.asarray(curves[:n], np.float32)
            stored["insertion_curve"], stored["deletion_curve"] = list(curves), list(1 - curves)
            run.append(stored)
            runs.append(run)
    return comparisons(runs, "board")


def flat(heights, n=N):
    """Curves whose area, by the trapezoid, is a height, the same for each image."""
    return {method: np.full((n, 3), height) for method, height in heights.items()}


def two(folder, first, second):
    """Methods whose mean under two protocols is given."""
    protocols = [protocol("first"), protocol("second", score="logit")]
    found = table(folder, protocols, {"first": flat(first), "second": flat(second)})
    return robustness(found, "insertion", rules=())


def test_means_ranks_and_tau(tmp_path):
    found = two(
        tmp_path,
        {"a": 0.9, "b": 0.7, "c": 0.5, "d": 0.3},
        {"a": 0.8, "b": 0.9, "c": 0.1, "d": 0.1},
    )
    assert found.settings == list(found.protocols) == ["first", "second"]
    assert found.means.loc["b"].tolist() == pytest.approx([0.7, 0.9])
    assert found.ranks["first"].to_dict() == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert found.ranks["second"].to_dict() == {"a": 2, "b": 1, "c": 3, "d": 3}
    # Five pairs are in order in both but one: 4 agree, 1 disagrees, 1 ties in the second.
    expected = (4 - 1) / np.sqrt(6 * 5)
    assert found.tau.loc["first", "second"] == found.tau.loc["second", "first"]
    assert found.tau.loc["first", "second"] == pytest.approx(expected)
    assert np.diag(found.tau).tolist() == [1, 1]
    assert (found.title, found.num_images) == ("birds · toy", N)


def test_deletion_is_better_where_it_is_lower(tmp_path):
    protocols = [protocol("first"), protocol("second", score="logit")]
    curves = {protocol["name"]: flat({"a": 0.9, "b": 0.2}) for protocol in protocols}
    found = robustness(table(tmp_path, protocols, curves), "deletion", rules=())
    assert found.means["first"].to_dict() == pytest.approx({"a": 0.1, "b": 0.8})
    assert found.ranks["first"].to_dict() == {"a": 1, "b": 2}
    assert found.conclusions[["better", "worse", "ahead"]].to_numpy().tolist() == [["a", "b", 2]]


def test_swaps_are_pairs_that_turn_round_and_ties_are_none(tmp_path):
    found = two(tmp_path, {"a": 0.9, "b": 0.7, "c": 0.5}, {"a": 0.4, "b": 0.6, "c": 0.4})
    (swap,) = found.swaps.to_dict("records")
    assert (swap["setting"], swap["better"], swap["worse"]) == ("second", "a", "b")
    assert swap["reference_difference"] == pytest.approx(0.2)
    assert swap["difference"] == pytest.approx(-0.2)
    pairs = found.conclusions.set_index(["better", "worse"])
    assert pairs["ahead"].to_dict() == {("a", "b"): 1, ("a", "c"): 1, ("b", "c"): 2}
    assert pairs["behind"].to_dict() == {("a", "b"): 1, ("a", "c"): 0, ("b", "c"): 0}
    assert found.holding[["better", "worse"]].to_numpy().tolist() == [["b", "c"]]


def test_significance_is_wilcoxons_with_holm_within_a_setting(tmp_path):
    draws = np.random.default_rng(0)
    areas = {
        name: {m: draws.normal(mean, 0.1, N) for m, mean in (("a", 0.8), ("b", 0.65), ("c", 0.6))}
        for name in ("first", "second")
    }
    curves = {
        name: {m: np.repeat(curve[:, None], 3, axis=1) for m, curve in by.items()}
        for name, by in areas.items()
    }
    protocols = [protocol("first"), protocol("second", score="logit")]
    found = robustness(table(tmp_path, protocols, curves), "insertion", rules=())
    order = found.means.index.tolist()
    for setting, by in areas.items():
        pairs = [(order[i], order[j]) for i in range(3) for j in range(i + 1, 3)]
        stored = {m: curve.astype(np.float32).astype(float) for m, curve in by.items()}
        raw = [stats.wilcoxon(stored[x], stored[y]).pvalue for x, y in pairs]
        ordered, so_far, expected = np.argsort(raw), 0.0, {}
        for place, k in enumerate(ordered):
            so_far = max(so_far, (3 - place) * raw[k])
            expected[pairs[k]] = min(so_far, 1)
        for pair, p in expected.items():
            assert found.p_values.loc[pair, setting] == pytest.approx(p)
    significant = found.p_values < 0.05
    assert significant.any(axis=None)
    assert not significant.all(axis=None)
    told = found.conclusions["significantly"] + found.conclusions["significantly_behind"]
    assert told.tolist() == significant.sum(axis=1).tolist()


def curves_with_shared_ends(methods=5, points=11, seed=0):
    """Every method's curves (n, points) of an image begin and end alike."""
    draws = np.random.default_rng(seed)
    start, end = draws.uniform(0, 0.2, N), draws.uniform(0.5, 1, N)
    found = {}
    for method in "abcdefgh"[:methods]:
        curves = draws.uniform(0, 1, (N, points))
        curves[:, 0], curves[:, -1] = start, end
        found[method] = curves.astype(np.float32)
    return found


@pytest.mark.parametrize("rule", ["mean", "mean_without_end"])
def test_rules_that_never_change_the_order(rule):
    """Differences of two methods on an image are the trapezoid's, times one number."""
    curves = curves_with_shared_ends()
    areas = {m: auc(curve, rule) for m, curve in curves.items()}
    trapezoids = {m: auc(curve) for m, curve in curves.items()}
    ratios = [
        (areas[m] - areas["a"]) / (trapezoids[m] - trapezoids["a"]) for m in curves if m != "a"
    ]
    assert np.allclose(ratios, 10 / 11 if rule == "mean" else 1)


@pytest.mark.parametrize("rule", RULES[1:])
def test_rules_that_may_change_it(rule):
    clean = {m: curve[:, -1] for m, curve in curves_with_shared_ends().items()}
    found = set()
    for seed in range(20):
        curves = curves_with_shared_ends(seed=seed)
        means = [auc(curve, rule, clean[m]).mean() for m, curve in curves.items()]
        trapezoids = [auc(curve).mean() for curve in curves.values()]
        found.add(round(stats.kendalltau(means, trapezoids).statistic, 6))
    assert min(found) < 1


def test_every_rule_is_a_setting_or_is_known_not_to_matter():
    assert {*RULES, "mean", "mean_without_end"} == {*AUC_RULES}


def test_rules_are_read_from_the_same_curves(tmp_path):
    protocols = [protocol("first"), protocol("second", score="logit", auc="mean")]
    curves = {protocol["name"]: curves_with_shared_ends(3) for protocol in protocols}
    found = robustness(table(tmp_path, protocols, curves), "insertion", ("trapezoid", "quantus"))
    assert found.settings == [
        "first", "first, quantus", "second", "second, trapezoid", "second, quantus",
    ]  # fmt: skip
    assert found.protocols == ("first", "second")
    expected_rules = {"first": "trapezoid", "second": "mean", "second, quantus": "quantus"}
    for setting, rule in expected_rules.items():
        expected = {m: auc(curve, rule).mean() for m, curve in curves["first"].items()}
        assert found.means[setting].to_dict() == pytest.approx(expected)


@pytest.mark.parametrize(("clean", "is_there"), [(0.5, True), (0.0, False), (-3.0, False)])
def test_the_relative_rule_needs_positive_scores(tmp_path, clean, is_there):
    found = table(tmp_path, [protocol("first")], {"first": flat({"a": 0.9, "b": 0.2})})
    (comparison,) = found
    changed = {m: r.assign(clean_score=np.float32(clean)) for m, r in comparison.rows.items()}
    settings = robustness([replace(comparison, rows=changed)], "insertion", RULES).settings
    assert ("first, relative_trapezoid" in settings) == is_there


def test_methods_are_matched_by_their_maps(tmp_path):
    """One that explains another score under the same name is not the same."""
    protocols = [protocol("first"), protocol("second", score="logit")]
    heights = {"a": 0.9, "b": 0.2, "only here": 0.5}
    found = table(
        tmp_path, protocols, {"first": flat(heights), "second": flat({"a": 0.9, "b": 0.2})}
    )
    for label, score in (("c", "logit"), ("c", "probability")):
        run = begin(
            tmp_path, label, protocol=protocols[score == "logit"], explain={"score": score},
            method={"name": "c", "version": 1, "settings": {"m": "c"}},
            dataset=identity()["dataset"] | {"num_images": N},
        )  # fmt: skip
        run.append(rows(*map(str, range(N))))
    found = comparisons(stored_runs(tmp_path, "board"), "board")
    result = robustness(found, "insertion")
    assert result.means.index.tolist() == ["a", "b"]
    assert sorted(result.left_out) == ["c", "only here"]


def test_comparable_sets_and_their_reference(tmp_path):
    """The reference is the one that the others change; other images are another set."""
    zero, black = {"kind": "zero"}, {"kind": "constant", "rgb": [0, 0, 0]}
    center = protocol("z center")
    other_baseline = {"steps": 2, "baseline": black}
    protocols = [
        protocol("a score", score="logit"),
        protocol("b baseline", insertion=other_baseline, deletion=other_baseline),
        protocol("c steps", insertion={"steps": 4, "baseline": zero}),
        center,
    ]
    curves = {protocol["name"]: flat({"a": 0.9}) for protocol in protocols}
    found = table(tmp_path, protocols, curves)
    fewer = table(tmp_path / "fewer", [center], {"z center": flat({"a": 0.9}, 4)}, n=4)
    sets = comparable([*found, *fewer])
    assert [[comparison.protocol.name for comparison in one] for one in sets] == [
        ["z center", "a score", "b baseline", "c steps"]
    ]
    assert comparable(fewer) == comparable([]) == []


def test_protocols_of_one_name_are_told_apart(tmp_path):
    protocols = [protocol("mine"), protocol("mine", score="logit")]
    found = table(tmp_path, protocols, {"mine": flat({"a": 0.9, "b": 0.3})})
    hashes = [comparison.protocol.hash[:4] for comparison in found]
    settings = robustness(found, "insertion", ()).settings
    assert settings == [f"mine ({beginning})" for beginning in hashes]
    assert len(set(settings)) == 2


@pytest.mark.parametrize("shared", [{"a": 0.9}, {}])
def test_fewer_than_two_methods_have_no_order(tmp_path, shared):
    protocols = [protocol("first"), protocol("second", score="logit")]
    curves = {name: flat({f"{name} only": 0.1} | shared) for name in ("first", "second")}
    found = robustness(table(tmp_path, protocols, curves), "insertion")
    assert found.means.index.tolist() == list(shared)
    assert len(found.conclusions) == len(found.swaps) == len(found.holding) == 0
    assert sorted(found.left_out) == ["first only", "second only"]
    assert isinstance(found.tau, pd.DataFrame)
