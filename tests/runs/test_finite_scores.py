"""A score that is NaN or infinite is a failure: no row, a reason, and another try next time."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from toy import SIZE, Constant, backbone, method_runs

from bench import insertion_deletion, load_rows
from bench.attribution.control import Random
from bench.attribution.scorer import Scorer
from bench.datasets.listed import ImageList
from bench.errors import BenchError
from bench.evaluation.loop import Evaluated, evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.metrics.protocol import load_protocol
from bench.storage.store import stored_runs

CPU = torch.device("cpu")
BAD = "class 2/photo 2.png"
METHODS = {"random": Random(), "flat": Constant()}


class Where(nn.Module):
    """A network that gives a value instead of its outputs for the inputs that a rule picks."""

    def __init__(self, module, rule, value=torch.nan):
        super().__init__()
        self.module, self.rule, self.value = module, rule, value

    def forward(self, x):
        return self.module(x).masked_fill(self.rule(x)[:, None], self.value)


def is_blank(x):
    return (x == x[:, :, :1, :1]).flatten(1).all(dim=1)


def is_replaced(fraction):
    """Inputs with more of their pixels at zero than a fraction, but not all."""

    def rule(x):
        zeros = (x == 0).all(dim=1).flatten(1).float().mean(dim=1)
        return (zeros > fraction) & (zeros < 1)

    return rule


@pytest.fixture
def samples(image_folder):
    return ImageList("mine", str(image_folder), str(image_folder / "list.txt")).samples


def run(samples, module, protocol="xplique-probability", block_size=3, methods=METHODS):
    network = backbone()
    network.module = module
    protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
    scorer = Scorer(network, protocol.score, 4)
    results = list(
        evaluate_runs(
            samples, scorer, method_runs(methods), protocol, device=CPU, block_size=block_size
        )
    )
    rows = [
        (result.method, image_id)
        for result in results
        if isinstance(result, Evaluated)
        for image_id in result.rows["image_id"]
    ]
    failures = [result for result in results if not isinstance(result, Evaluated)]
    return rows, {(failure.method, failure.image_id): failure.reason for failure in failures}


def test_a_clean_score_that_is_nan_fails_the_image_for_all_methods(samples):
    bad = backbone().preprocess([samples[2].read()])
    module = Where(backbone().module, lambda x: (x == bad).flatten(1).all(dim=1))
    rows, failures = run(samples, module)
    assert len(rows) == 2 * 6
    assert set(failures) == {("random", BAD), ("flat", BAD)}
    for reason in failures.values():
        assert reason.startswith(f"image '{BAD}': clean score is NaN; expected finite scores")


def test_nan_of_another_class_leaves_no_prediction(samples):
    class OneClass(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = backbone().module

        def forward(self, x):
            outputs = self.module(x).softmax(dim=1)
            is_first = torch.arange(len(x))[:, None] == 0
            other = torch.arange(4)[None] == 3  # photo 0 is of class 0
            return outputs.masked_fill(is_first & other & (outputs > 0), torch.nan)

    network = backbone(output_kind="probabilities")
    network.module = OneClass()
    scorer = Scorer(network, "output", 4)
    results = list(
        evaluate_runs(
            samples[:3], scorer, method_runs(METHODS), load_protocol("smdl-face"), device=CPU
        )
    )
    failures = [result for result in results if not isinstance(result, Evaluated)]
    assert {failure.image_id for failure in failures} == {"class 0/photo 0.png"}
    assert "clean score is NaN" in failures[0].reason


def test_a_baseline_score_that_is_nan_fails_all_images(samples):
    rows, failures = run(samples, Where(backbone().module, is_blank))
    assert rows == []
    assert len(failures) == 2 * 7
    assert failures["flat", BAD].startswith(
        f"image '{BAD}': score of the insertion baseline is NaN"
    )


def test_a_point_of_a_curve_fails_that_map_and_no_other(samples):
    class Ramp(Constant):
        """Pixels in raster order, from a row on, the rows above it last; no ties."""

        def __init__(self, first_row):
            self.first_row = first_row

        def __call__(self, scorer, batch):
            ramp = -torch.arange(SIZE**2, dtype=torch.float32).view(SIZE, SIZE)
            return ramp.roll(self.first_row, dims=0).expand(len(batch.x), -1, -1)

    def only_the_top_is_gone(x):  # as where deletion from the top begins
        gone = (x == 0).all(dim=1)
        return gone[:, 0, 0] & ~gone[:, 5, 0] & ~gone[:, -1, -1]

    methods = {"top": Ramp(0), "half": Ramp(SIZE // 2)}
    rows, failures = run(samples, Where(backbone().module, only_the_top_is_gone), methods=methods)
    assert {method for method, _ in failures} == {"top"}
    assert sorted(rows) == sorted(("half", sample.image_id) for sample in samples)
    # 529 pixels in ten steps: the first replaces 52
    assert failures["top", BAD].startswith(
        f"image '{BAD}': deletion score at point 1 of 10 (52 pixels) is NaN"
    )


def test_methods_are_not_given_up_for_the_networks_fault(samples):
    """Three images in a row fail, and the method goes on."""
    bad = backbone().preprocess([sample.read() for sample in samples[:4]])

    def rule(x):
        return (x[:, None] == bad[None]).flatten(2).all(dim=2).any(dim=1)

    rows, failures = run(samples, Where(backbone().module, rule), block_size=1)
    assert len(failures) == 2 * 4
    assert len(rows) == 2 * 3


def test_drops_of_mufidelity_and_the_curve_of_confidence(samples):
    # Its masks replace a fifth of the cells; deletion never leaves out so few.
    few = lambda x: is_replaced(0.05)(x) & ~is_replaced(0.09)(x)  # noqa: E731
    protocol = load_protocol("xplique-mufidelity")
    less = replace(protocol.metrics["mufidelity"], num_masks=9, subset=0.05)
    protocol = replace(protocol, metrics={**protocol.metrics, "mufidelity": less})
    rows, failures = run(samples[:2], Where(backbone().module, few), protocol)
    assert rows == []
    assert all(" score at mask " in reason and " of 9 (MuFidelity) is NaN" in reason
               for reason in failures.values())  # fmt: skip

    black = -torch.tensor([120.0, 110.0, 100.0]) / torch.tensor([60.0, 61.0, 62.0])

    def on_black(x):
        gone = ((x - black[None, :, None, None]).abs() < 1e-6).all(dim=1).flatten(1)
        return (gone.float().mean(dim=1) > 0.5) & ~gone.all(dim=1)

    rows, failures = run(samples[:2], Where(backbone().module, on_black), "smdl-cub-errors")
    assert rows == []
    assert all(
        "confidence score at point 1 of 25 (21 pixels)" in reason for reason in failures.values()
    )


def test_a_probability_that_underflows_has_no_logarithm(samples):
    class Sure(nn.Module):
        def forward(self, x):
            return torch.tensor([[0.0, 1.0, 0.0, 0.0]]).expand(len(x), -1)

    network = backbone(output_kind="probabilities")
    network.module = Sure()
    protocol = load_protocol("log_probability-10-zero")
    scorer = Scorer(network, protocol.score, 4)
    results = list(
        evaluate_runs(samples, scorer, [MethodRun("random", Random())], protocol, device=CPU)
    )
    rows = [result for result in results if isinstance(result, Evaluated)]
    failures = [result for result in results if not isinstance(result, Evaluated)]
    assert [set(result.rows["target"]) for result in rows] == [{1}]
    assert len(failures) == 5
    assert "clean score is -infinity" in failures[0].reason
    assert "score `probability` instead" in failures[0].reason


def test_insertion_deletion_names_the_images():
    x = torch.rand(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) + 0.1
    maps = torch.rand(5, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 3, 0])
    module = backbone().module

    def passes_of(network):
        passes = []
        network.register_forward_hook(lambda *call: passes.append(len(call[1][0])))
        return passes

    blank = Where(module, is_blank).eval()
    passes = passes_of(blank)
    with pytest.raises(BenchError, match=r"5 of 5 images .*: image 0: score of the insertion base"):
        insertion_deletion(blank, x, targets, maps, batch_size=5)
    assert sum(passes) < 30  # it is told before the curves, of 5 * 18 points, are scored

    is_third = lambda x_: is_replaced(0.85)(x_) & (x_[:, 0].amax((1, 2)) > 7)  # noqa: E731
    x[2, 0] += 7
    with pytest.raises(BenchError, match=r"1 of 5 images .*: image 2: insertion score at point 1 "):
        insertion_deletion(Where(module, is_third).eval(), x, targets, maps, batch_size=4)
    found = insertion_deletion(module, x, targets, maps, batch_size=4)
    assert np.isfinite(found.insertion_auc).all()


def test_a_run_keeps_the_reason_ends_with_1_and_tries_again(bench, image_folder, toy_conf):
    (toy_conf / "backbone/toy.yaml").write_text("_target_: toy.standardised\nclasses: 4\n")
    code, out, err = bench()
    assert code == 1
    told = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert len(told) == 1
    assert "score of the insertion baseline is NaN; expected finite scores" in told[0]
    assert "and 6 more images" in told[0]
    for stored in stored_runs(Path("results")):
        assert not stored.image_ids()
        assert len(json.loads((stored.folder / "failures.json").read_text())) == 7
    board = pd.read_csv("results/leaderboards/list_toy_xplique-probability.csv")
    assert (board["n_missing"] == 7).all()
    assert board["notes"].str.startswith("7 failed").all()
    assert board["insertion_letters"].isna().all()
    code, out, _ = bench()
    assert code == 1
    assert "Rows stored before" not in out
    assert load_rows("results").empty
