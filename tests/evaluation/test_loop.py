import copy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from toy import (
    SIZE,
    Constant,
    ConvModel,
    NotFinite,
    ViewModel,
    WrongShape,
    backbone,
    linear_backbone,
    method_runs,
)

from bench import insertion_deletion
from bench.attribution.control import Edge, Random
from bench.attribution.gradient import Saliency, SignedGradient
from bench.attribution.masking import Rise
from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.bare import BareModel
from bench.datasets.dataset import Sample
from bench.datasets.listed import ImageList
from bench.errors import BenchError
from bench.evaluation.explain import GIVE_UP, Failed
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.evaluation.progress import Tally
from bench.experiment.cost import Cost, count_cost
from bench.metrics.auc import auc
from bench.metrics.baseline import BlurBaseline, ConstantBaseline, Inputs
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.protocol import Protocol, load_protocol, protocol_on
from bench.ties import argsort_numpy_1_23

CPU = torch.device("cpu")
METHODS = {"random": Random(), "saliency": Saliency(), "flat": Constant(), "rise": Rise(5)}


@pytest.fixture
def samples(image_folder):
    return ImageList("mine", str(image_folder), str(image_folder / "list.txt")).samples


def run(samples, methods=METHODS, batch_size=4, protocol="smdl-cub", done=None, **settings):
    protocol = load_protocol(protocol)
    runs = method_runs(methods, done=done)
    scorer = Scorer(backbone(), protocol.score, batch_size)
    return list(evaluate_runs(samples, scorer, runs, protocol, device=CPU, **settings))


def rows_by_image(results):
    """(method, image) -> everything but the seconds."""
    rows = {}
    for result in results:
        for row in result.rows.drop(columns=["seconds", "map_seconds"]).to_dict("records"):
            rows[result.method, row["image_id"]] = {k: np.asarray(v) for k, v in row.items()}
    return rows


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        for column, value in row.items():
            assert (found[key][column] == value).all(), (key, column)


def test_rows(samples):
    results = run(samples, block_size=3)
    assert [len(r.rows) for r in results] == [3] * 4 + [3] * 4 + [1] * 4
    rows = rows_by_image(results)
    assert len(rows) == 4 * 7
    for (method, _), row in rows.items():
        assert row["insertion_curve"].shape == (26,)
        assert row["deletion_curve"].shape == (11,)
        assert row["insertion_curve"].dtype == np.float32
        assert row["insertion_curve"][-1] == row["deletion_curve"][0] == row["clean_score"]
        assert row["insertion_curve"][0] == row["deletion_curve"][-1] == row["baseline_score"]
        assert (row["tied_fraction"] == 1) == (method == "flat")
        assert row["constant_map"] == (method == "flat")


def test_end_points_and_predictions_are_those_of_the_network(samples):
    rows = rows_by_image(run(samples))
    model = backbone()
    with torch.no_grad():
        clean = model.outputs(model.preprocess([s.read() for s in samples]))
        base = model.outputs(torch.zeros(1, 3, SIZE, SIZE)).softmax(dim=1)[0]
    for sample, outputs in zip(samples, clean, strict=True):
        row = rows["saliency", sample.image_id]
        assert row["prediction"] == outputs.argmax()
        expected = outputs.softmax(dim=0)[sample.target].item()
        assert row["clean_score"] == pytest.approx(expected, abs=1e-6)
        assert row["baseline_score"] == pytest.approx(base[sample.target].item(), abs=1e-6)


def test_rise_protocol_starts_from_the_blur(samples):
    rows = rows_by_image(run(samples[:2], {"edge": Edge()}, protocol="rise-1row"))
    blur = load_protocol("rise-1row").curves["insertion"].baseline
    model = backbone()
    for sample in samples[:2]:
        row = rows["edge", sample.image_id]
        with torch.no_grad():
            outputs = model.outputs(blur(Inputs(model.preprocess([sample.read()]))))
        expected = outputs.softmax(dim=1)[0, sample.target].item()
        assert len(row["insertion_curve"]) == SIZE + 1
        assert row["insertion_curve"][0] == pytest.approx(expected, abs=1e-6)
        assert row["deletion_curve"][-1] == row["baseline_score"] != row["insertion_curve"][0]


UNLIKE = Protocol.of(  # the two directions share nothing
    "unlike",
    "log_probability",
    "numpy_1_23",
    Insertion(BlurBaseline(5, 2), steps=7),
    Deletion(ConstantBaseline((255, 0, 90)), rows_per_step=5, max_fraction=0.7),
)


def slow_curve(scorer, start, end, target, order, *, counts):
    """One image, one step, one forward pass at a time; pixels are written by index."""
    curve = []
    for count in counts:
        z, chosen = start.clone().flatten(1), order[:count].copy()
        z[:, chosen] = end.flatten(1)[:, chosen]
        with torch.no_grad():
            curve.append(scorer(z.view(1, *start.shape), torch.tensor([target])).item())
    return curve


@pytest.mark.parametrize("seed", [0, 1])
def test_every_row_equals_a_slow_loop(samples, seed):
    """Ties, gaps in what is stored, several methods and blocks, directions that share nothing."""
    methods = {"random": Random(), "rise": Rise(5), "flat": Constant(), "edge": Edge()}
    done = {
        "random": {samples[i].image_id for i in (0, 5)},
        "rise": {samples[i].image_id for i in (1, 2, 4)},
    }
    model, scorer = backbone(), Scorer(backbone(), UNLIKE.score, 4)
    runs = method_runs(methods, done=done)
    results = list(
        evaluate_runs(samples, scorer, runs, UNLIKE, device=CPU, seed=seed, block_size=4)
    )
    found = {
        (r.method, row["image_id"]): (row, saliency)
        for r in results
        for row, saliency in zip(r.rows.to_dict("records"), r.maps, strict=True)
    }
    assert len(found) == 4 * 7 - 5
    for sample in samples:
        image = sample.read()
        x = model.preprocess([image])
        inputs = Inputs(x, [sample.image_id], seed, model.to_input)
        blur, colour = (curve.baseline(inputs) for curve in UNLIKE.curves.values())
        batch = Batch(x, torch.tensor([sample.target]), [sample.image_id], [image], seed)
        for name, method in methods.items():
            if sample.image_id in done.get(name, ()):
                assert (name, sample.image_id) not in found
                continue
            row, saliency = found[name, sample.image_id]
            (expected,) = method(scorer, batch)
            assert torch.equal(saliency, expected)
            order = argsort_numpy_1_23(expected.flatten().numpy())[::-1]
            for direction, start, end in [
                ("insertion", blur[0], x[0]),
                ("deletion", x[0], colour.expand_as(x)[0]),
            ]:
                counts = UNLIKE.curves[direction].counts(SIZE, SIZE)
                curve = slow_curve(scorer, start, end, sample.target, order, counts=counts)
                assert np.abs(row[f"{direction}_curve"] - curve).max() <= 1e-5


@pytest.mark.parametrize(("name", "rows"), [("rise", 8), ("rise-1row", 1)])
def test_the_rise_protocols_equal_a_slow_loop(samples, name, rows):
    """RISE's metric: rows of pixels a step, inserted onto the blur, deleted to zero."""
    protocol = load_protocol(name)
    model, scorer = backbone(), Scorer(backbone(), "probability", 4)
    (result,) = evaluate_runs(
        samples[:2], scorer, [MethodRun("random", Random())], protocol, device=CPU
    )
    kernel = protocol.curves["insertion"].baseline.kernel()[None, None].expand(3, 1, 11, 11)
    for sample, saliency_map, row in zip(
        samples, result.maps, result.rows.to_dict("records"), strict=False
    ):
        x = model.preprocess([sample.read()])
        blur = torch.nn.functional.conv2d(x, kernel, padding=5, groups=3)[0]
        order = argsort_numpy_1_23(saliency_map.flatten().numpy())[::-1]
        for direction, start, end in [
            ("insertion", blur, x[0]),
            ("deletion", x[0], torch.zeros_like(x[0])),
        ]:
            steps = [*range(0, SIZE * SIZE, rows * SIZE), SIZE * SIZE]
            top = int(scorer.outputs(x).argmax())
            target = top if name == "rise" else sample.target
            curve = slow_curve(scorer, start, end, target, order, counts=steps)
            assert np.abs(row[f"{direction}_curve"] - curve).max() <= 1e-5


@pytest.mark.parametrize("target", ["prediction", 2])
@pytest.mark.parametrize("score", ["probability", "hit"])
def test_curves_of_another_target_equal_a_slow_loop(samples, target, score):
    """Of images that the network mostly takes for something else, in blocks that do not divide."""
    protocol = replace(protocol_on(UNLIKE, target), score=score)
    model = linear_backbone()
    scorer, explained = Scorer(model, score, 4), Scorer(model, "logit", 4)
    methods = {"saliency": Saliency(), "rise": Rise(5)}
    results = evaluate_runs(
        samples, scorer, method_runs(methods), protocol, device=CPU, block_size=3,
        explained=explained,
    )  # fmt: skip
    found = {
        (r.method, row["image_id"]): (row, saliency)
        for r in results
        for row, saliency in zip(r.rows.to_dict("records"), r.maps, strict=True)
    }
    assert len(found) == 2 * 7
    tops = []
    for sample in samples:
        image = sample.read()
        x = model.preprocess([image])
        top = int(model.outputs(x)[0].argmax())
        tops.append(top)
        goal = top if target == "prediction" else target
        inputs = Inputs(x, [sample.image_id], 0, model.to_input)
        blur, colour = (curve.baseline(inputs) for curve in protocol.curves.values())
        batch = Batch(x, torch.tensor([goal]), [sample.image_id], [image])
        for name, method in methods.items():
            row, saliency = found[name, sample.image_id]
            assert (row["image_label"], row["target"]) == (sample.target, goal)
            assert row["prediction"] == top
            assert torch.equal(saliency, method(explained, batch)[0])
            order = argsort_numpy_1_23(saliency.flatten().numpy())[::-1]
            ends = {"insertion": (blur[0], x[0]), "deletion": (x[0], colour.expand_as(x)[0])}
            for direction, (start, end) in ends.items():
                counts = protocol.curves[direction].counts(SIZE, SIZE)
                curve = slow_curve(scorer, start, end, goal, order, counts=counts)
                assert np.abs(row[f"{direction}_curve"] - curve).max() <= 1e-5
    assert len({*tops}) > 2
    assert tops != [sample.target for sample in samples]


def test_of_several_labels_the_largest_is_scored_and_each_counts_as_right(samples):
    """A multi-label network's prediction is the label where that is above 1/2."""
    model = linear_backbone(seed=1)
    model.output_kind = "multilabel"
    protocol = protocol_on(load_protocol("xplique-probability"), "prediction")
    (result,) = evaluate_runs(
        samples, Scorer(model, "probability", 4), method_runs({"edge": Edge()}), protocol,
        device=CPU,
    )  # fmt: skip
    outputs = model.outputs(model.preprocess([sample.read() for sample in samples]))
    labels = [sample.target for sample in samples]
    above = (outputs[range(7), labels] > 0).tolist()
    assert result.rows["target"].tolist() == outputs.argmax(dim=1).tolist()
    assert (result.rows["prediction"] == result.rows["image_label"]).tolist() == above
    right_but_not_first = [
        right and label != top
        for right, label, top in zip(above, labels, result.rows["target"], strict=True)
    ]
    assert any(right_but_not_first)


def test_another_networks_prediction_is_what_methods_explain_of_it(samples):
    """The curves follow that of the network that scores."""
    explained = Scorer(linear_backbone(seed=5), "logit", 4)
    protocol = protocol_on(load_protocol("xplique"), "prediction")
    scorer = Scorer(linear_backbone(), "output", 4)
    (result,) = evaluate_runs(
        samples, scorer, method_runs({"saliency": Saliency()}), protocol, device=CPU,
        explained=explained,
    )  # fmt: skip
    images = [sample.read() for sample in samples]
    x = explained.backbone.preprocess(images)
    theirs = explained.backbone.outputs(x).argmax(dim=1)
    assert theirs.tolist() != result.rows["target"].tolist()
    assert result.rows["target"].tolist() == scorer.outputs(x).argmax(dim=1).tolist()
    batch = Batch(x, theirs, [sample.image_id for sample in samples], images)
    assert torch.equal(result.maps, Saliency()(explained, batch))


def test_seconds_are_per_image_and_hold_the_methods_own(samples, monkeypatch):
    clock = iter([0.0, 6.0, 10.0, 24.0])  # the method takes 6 s, the curves of its 2 images 14 s
    for module in ("explain", "loop"):
        monkeypatch.setattr(f"bench.evaluation.{module}.now", lambda device: next(clock))
    (result,) = run(samples[:2], {"flat": Constant()})
    assert result.rows["seconds"].tolist() == [10, 10]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float64, torch.float64),
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.uint8, torch.float32),
        (torch.bool, torch.float32),
        (torch.int64, torch.float64),
    ],
)
def test_maps_of_other_precisions_lose_nothing(samples, dtype, expected):
    class Ramp(Constant):
        def __call__(self, scorer, batch):
            return torch.linspace(0, 1, SIZE * SIZE).to(dtype).view(1, SIZE, SIZE)

    (result,) = run(samples[:1], {"ramp": Ramp()})
    assert result.maps.dtype == expected


@pytest.mark.parametrize("block_size", [1, 2, 7])
@pytest.mark.usefixtures("two_threads")
def test_same_bits_for_any_order_number_of_methods_and_block(samples, block_size):
    expected = rows_by_image(run(samples))
    order = [samples[i] for i in (4, 0, 6, 1, 5, 3, 2)]
    methods = dict(reversed(METHODS.items()))
    assert_same_bits(rows_by_image(run(order, methods, block_size=block_size)), expected)
    alone = rows_by_image(run(samples, {"saliency": Saliency()}, block_size=block_size))
    assert_same_bits(alone, {k: v for k, v in expected.items() if k[0] == "saliency"})


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_same_within_a_millionth_for_any_batch_size(samples, batch_size):
    methods = {"random": Random(), "flat": Constant()}  # maps that are the same bit for bit
    expected = rows_by_image(run(samples, methods))
    for key, row in rows_by_image(run(samples, methods, batch_size=batch_size)).items():
        for curve in ("insertion_curve", "deletion_curve"):
            assert np.abs(row[curve] - expected[key][curve]).max() <= 1e-6


@pytest.mark.usefixtures("two_threads")
def test_maps_with_channels_beside_maps_without(samples):
    """Others' rows keep their bits; all but channel metrics read the mean over channels."""

    class Mean(Method):
        def __call__(self, scorer, batch):
            return SignedGradient()(scorer, batch).mean(dim=1)

    methods = {"signed": SignedGradient(), "mean": Mean(), **METHODS}
    together = rows_by_image(run(samples, methods))
    alone = rows_by_image(run(samples))
    assert_same_bits({key: row for key, row in together.items() if key in alone}, alone)
    for (method, image), row in together.items():
        if method == "signed":
            mean = together["mean", image]
            assert list(row["deletion_curve"]) == list(mean["deletion_curve"])
    mfaba = rows_by_image(run(samples, methods, protocol="mfaba"))
    assert_same_bits(
        {key: row for key, row in mfaba.items() if key[0] in METHODS},
        rows_by_image(run(samples, protocol="mfaba")),
    )
    differ = [
        list(mfaba["signed", image]["insertion_curve"]) != list(row["insertion_curve"])
        for (method, image), row in mfaba.items()
        if method == "mean"
    ]
    assert all(differ)


def test_only_what_is_missing_is_evaluated(samples):
    expected = rows_by_image(run(samples))
    done = {"random": {s.image_id for s in samples}, "rise": {samples[1].image_id}}
    found = rows_by_image(run(samples, done=done, block_size=2))
    assert_same_bits(
        found, {(m, i): row for (m, i), row in expected.items() if i not in done.get(m, ())}
    )


def test_unusable_maps_fail_alone_and_are_named(samples):
    bad = samples[3].image_id
    methods = {"shape": WrongShape(), "nan": NotFinite(bad), "flat": Constant()}
    results = run(samples, methods, block_size=2)
    failures = [r for r in results if isinstance(r, Failed)]
    shape = [r.image_id for r in failures if r.method == "shape"]
    assert shape == [s.image_id for s in samples[:3]]  # given up after that
    expected = "(images, height, width) = (1, 23, 23), found (1, 3, 23, 23)"
    assert all(expected in r.reason for r in failures if r.method == "shape")
    (nan,) = [r for r in failures if r.method == "nan"]
    assert nan.image_id == bad
    assert f"method 'nan': the map of image '{bad}' holds NaN" in nan.reason
    rows = rows_by_image(r for r in results if not isinstance(r, Failed))
    assert sum(method == "flat" for method, _ in rows) == 7
    assert {i for method, i in rows if method == "nan"} == {s.image_id for s in samples} - {bad}


def test_forward_passes_are_counted(samples):
    made = []
    protocol = load_protocol("smdl-cub")
    scorer = Scorer(backbone(), protocol.score, 1, on_forward=made.append)
    runs = method_runs(METHODS, network=backbone())
    list(evaluate_runs(samples, scorer, runs, protocol, device=CPU))
    told = count_cost(samples, runs, protocol, (SIZE, SIZE))
    assert told == Cost(curves=7 * 4 * (24 + 9), forward=7 * (1 + 5), backward=7, map_bytes=0)
    assert (
        sum(made) == told.curves + told.forward + 7 + 1
    )  # the clean images and, once, the constant baseline


def test_mufidelity_is_a_column_and_its_passes_are_shared(samples):
    made = []
    protocol = load_protocol("xplique-mufidelity")
    scorer = Scorer(backbone(), protocol.score, 1, on_forward=made.append)
    methods = {"random": Random(), "edge": Edge()}
    runs = method_runs(methods, network=backbone())
    results = list(evaluate_runs(samples[:2], scorer, runs, protocol, device=CPU))
    told = count_cost(samples[:2], runs, protocol, (SIZE, SIZE))
    assert told == Cost(curves=2 * (2 * 18 + 200), forward=0, backward=0, map_bytes=0)
    assert sum(made) == told.curves + 2 + 1
    x = scorer.backbone.preprocess([sample.read() for sample in samples[:2]])
    targets = torch.tensor([sample.target for sample in samples[:2]])
    for result in results:
        direct = insertion_deletion(
            scorer.backbone.module, x, targets, result.maps, protocol, batch_size=1
        )
        assert result.rows["mufidelity_xplique_1_1"].to_numpy() == pytest.approx(direct.mufidelity)
        assert (np.abs(direct.mufidelity) < 1).all()


def test_srg_is_least_relevant_first_minus_most_relevant_first():
    """Deleting the least important first, by H*W - k pixels, is inserting the most important.

    So insertion - deletion under one baseline, score and step count is the symmetric relevance
    gain of Bluecher et al. 2024 (arXiv 2401.06654).
    """
    draws = torch.Generator().manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(189, 4), torch.nn.Softmax(1))
    x = torch.rand(3, 3, 7, 9, generator=draws)
    targets = torch.tensor([0, 3, 1])
    maps = (torch.rand(3, 7, 9, generator=draws) * 9).floor()  # many ties
    with torch.no_grad():
        found = insertion_deletion(model.eval(), x, targets, maps, output_kind="probabilities")
    counts = load_protocol("xplique").curves["deletion"].counts(7, 9)
    orders = [argsort_numpy_1_23(m.flatten().numpy())[::-1] for m in maps]

    def deleted_first(image, order, counts):
        scorer = Scorer(BareModel(model, "probabilities"), "output", 1)
        zero = torch.zeros(3, 7, 9)
        return slow_curve(scorer, x[image], zero, targets[image].item(), order, counts=counts)

    for image, order in enumerate(orders):
        most = deleted_first(image, order, counts)
        least = deleted_first(image, order[::-1], 63 - counts[::-1])
        srg = auc(least) - auc(most)
        assert found.insertion_auc[image] - found.deletion_auc[image] == pytest.approx(
            srg, abs=1e-6
        )
        # Its own floor schedule differs by at most one pixel a step.
        assert np.abs((63 - counts[::-1]) - counts).max() <= 1


def starved(limit):
    """A backbone that runs out of memory above `limit` inputs."""
    hungry = backbone()
    outputs = hungry.outputs

    def limited(x):
        if len(x) > limit:
            raise torch.OutOfMemoryError
        return outputs(x)

    hungry.outputs = limited
    return hungry


@pytest.mark.usefixtures("two_threads")
def test_out_of_memory_halves_the_batch_and_goes_on(samples):
    protocol, made = load_protocol("xplique-probability"), []
    scorer = Scorer(starved(5), protocol.score, 16, on_forward=made.append, may_shrink=True)
    methods = {"random": Random(), "rise": Rise(5)}
    found = rows_by_image(
        evaluate_runs(samples, scorer, method_runs(methods), protocol, device=CPU, block_size=3)
    )
    assert scorer.batch_size == 4
    assert set(made) == {4}
    expected = rows_by_image(run(samples, methods, protocol="xplique-probability"))
    assert_same_bits(found, expected)


def test_out_of_memory_for_good(samples):
    for limit, may_shrink, message in [
        (5, False, "batch_size=16: choose a smaller one or batch_size=auto"),
        (0, True, "batch_size=1: choose a smaller network"),
    ]:
        scorer = Scorer(starved(limit), "probability", 16, may_shrink=may_shrink)
        with pytest.raises(BenchError, match=message):
            list(
                evaluate_runs(
                    samples, scorer, method_runs(METHODS), load_protocol("smdl-cub"), device=CPU
                )
            )


GREY = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(72, 2)).eval()


class TestInsertionDeletion:
    x = torch.rand(3, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([1, 0, 1])
    maps = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(216, 2)).eval()

    def test_linear_model(self):
        found = insertion_deletion(self.model, self.x, self.targets, self.maps, batch_size=4)
        weight = self.model[1].weight.detach()[self.targets].view(3, 3, 8, 9)
        bias = self.model[1].bias.detach()[self.targets]
        parts = (weight * self.x).sum(dim=1).flatten(1)
        order = self.maps.flatten(1).argsort(dim=1, descending=True)
        sums = parts.gather(1, order).cumsum(dim=1)
        counts = np.linspace(0, 72, 11, dtype=int)
        sums = torch.cat([torch.zeros(3, 1), sums], dim=1)[:, counts]
        assert np.abs(found.insertion - (bias[:, None] + sums).numpy()).max() <= 1e-5
        left = bias[:, None] + sums[:, -1:] - sums
        assert np.abs(found.deletion - left.numpy()).max() <= 1e-5
        expected = (sums[:, :-1] + sums[:, 1:]).mean(dim=1) / 2 + bias
        assert found.insertion_auc == pytest.approx(expected.numpy(), abs=1e-5)
        expected = (left[:, :-1] + left[:, 1:]).mean(dim=1) / 2
        assert found.deletion_auc == pytest.approx(expected.numpy(), abs=1e-5)
        maps = self.maps.clone()
        maps[1, :4] = 0
        tied = insertion_deletion(self.model, self.x, self.targets, maps).tied_fraction
        assert tied.tolist() == [0, 0.5, 0]

    def test_without_targets_predictions_are_scored(self):
        predicted = self.model(self.x).argmax(dim=1)
        others = 1 - predicted
        expected = insertion_deletion(self.model, self.x, predicted, self.maps)
        assert (expected.targets == predicted.numpy()).all()
        for protocol in ("xplique", protocol_on(load_protocol("xplique"), "prediction")):
            found = insertion_deletion(self.model, self.x, None, self.maps, protocol)
            assert (found.insertion == expected.insertion).all()
            assert (found.targets == predicted.numpy()).all()
        other = protocol_on(load_protocol("xplique"), 1)
        found = insertion_deletion(self.model, self.x, None, self.maps, other)
        assert found.targets.tolist() == [1, 1, 1]
        for protocol in ("rise", other):  # what is given goes before the protocol's target
            found = insertion_deletion(self.model, self.x, others, self.maps, protocol)
            assert (found.targets == others.numpy()).all()
        with pytest.raises(BenchError, match=r"target 2 of image 0 is outside .* 0\.\.1"):
            insertion_deletion(
                self.model, self.x, None, self.maps, protocol_on(load_protocol("xplique"), 2)
            )

    def test_numpy_lists_and_double_precision(self):
        expected = insertion_deletion(self.model, self.x, self.targets, self.maps)
        found = insertion_deletion(
            self.model, self.x.numpy(), self.targets.tolist(), self.maps.numpy()
        )
        assert (found.insertion == expected.insertion).all()
        double = copy.deepcopy(self.model).double()
        found = insertion_deletion(double, self.x.double(), self.targets, self.maps)
        assert np.abs(found.insertion - expected.insertion).max() <= 1e-5

    @pytest.mark.parametrize(
        "changes",
        [
            {"x": x.numpy().astype(np.float64)},
            {"x": x.double()},
            {"x": x.numpy()[..., ::-1], "maps": maps.numpy()[..., ::-1], "flip": True},
            {"x": x.clone().requires_grad_()},
            {"x": x.transpose(2, 3).contiguous().transpose(2, 3)},
            {"x": list(x), "maps": list(maps)},
            {"maps": maps.double().numpy().tolist()},
            {"targets": pd.Series([1, 0, 1], index=[7, 9, 8])},
            {"targets": targets.to(torch.uint8)},
            {"batch_size": np.int64(64), "seed": np.uint8(0)},
            {"model": torch.nn.DataParallel(model).eval()},
        ],
    )
    def test_the_same_numbers_however_they_are_given(self, changes):
        arguments = {"model": self.model, "x": self.x, "targets": self.targets, "maps": self.maps}
        if changes.pop("flip", False):
            flipped = {"x": self.x.flip(-1), "maps": self.maps.flip(-1)}
            expected = insertion_deletion(**(arguments | flipped))
        else:
            expected = insertion_deletion(**arguments)
        found = insertion_deletion(**(arguments | changes))
        assert (found.insertion == expected.insertion).all()
        assert (found.deletion == expected.deletion).all()

    def test_another_default_dtype(self):
        expected = insertion_deletion(self.model, self.x, self.targets, self.maps)
        torch.set_default_dtype(torch.float64)
        try:
            found = insertion_deletion(self.model, self.x, self.targets, self.maps)
        finally:
            torch.set_default_dtype(torch.float32)
        assert found.insertion.dtype == np.float32
        assert (found.insertion == expected.insertion).all()

    def test_inference_tensors(self):
        with torch.inference_mode():
            x, maps = self.x.clone(), self.maps.clone()
        found = insertion_deletion(self.model, x, self.targets, maps)
        expected = insertion_deletion(self.model, self.x, self.targets, self.maps)
        assert (found.insertion == expected.insertion).all()

    def test_a_model_that_changes_its_input_in_place(self):
        class InPlace(torch.nn.Module):
            def __init__(self, model):
                super().__init__()
                self.model = model

            def forward(self, x):
                return self.model(x.sub_(0.5).relu_())

        class Copies(InPlace):
            def forward(self, x):
                return super().forward(x.clone())

        before = self.x.clone()
        found, expected = (
            insertion_deletion(kind(self.model).eval(), self.x, self.targets, self.maps)
            for kind in (InPlace, Copies)
        )
        assert torch.equal(self.x, before)
        assert (found.insertion == expected.insertion).all()

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_precision(self, dtype):
        """Scores are the float32 softmax of what the network gives."""
        half = copy.deepcopy(self.model).to(dtype)
        for x in (self.x, self.x.to(dtype)):
            found = insertion_deletion(half, x, self.targets, self.maps, "xplique-probability")
            outputs = half(self.x.to(dtype)).double().softmax(dim=1)
            expected = outputs.gather(1, self.targets[:, None])[:, 0].detach().numpy()
            assert found.deletion.dtype == np.float32
            assert found.deletion[:, 0] == pytest.approx(expected, rel=1e-6)
        exact = insertion_deletion(
            self.model, self.x, self.targets, self.maps, "xplique-probability"
        )
        assert np.abs(found.insertion_auc - exact.insertion_auc).max() <= 1e-2

    def test_one_logit_is_a_binary_classifier(self):
        binary = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(216, 1)).eval()
        weight, bias = self.model[1].weight, self.model[1].bias
        with torch.no_grad():
            binary[1].weight.copy_(weight[1:] - weight[:1])
            binary[1].bias.copy_(bias[1:] - bias[:1])
        arguments = self.x, self.targets, self.maps
        for protocol in ("xplique-probability", "log_probability-10-zero"):
            found = insertion_deletion(binary, *arguments, protocol)
            expected = insertion_deletion(self.model, *arguments, protocol)
            assert np.abs(found.insertion - expected.insertion).max() <= 1e-6
            assert np.abs(found.deletion - expected.deletion).max() <= 1e-6
        sigmoid = torch.nn.Sequential(binary, torch.nn.Sigmoid()).eval()
        found = insertion_deletion(sigmoid, *arguments, output_kind="probabilities")
        expected = insertion_deletion(self.model, *arguments, "xplique-probability")
        assert np.abs(found.insertion - expected.insertion).max() <= 1e-6
        with pytest.raises(BenchError, match=r"target 2 of image 0 .* classes 0\.\.1"):
            insertion_deletion(binary, self.x, [2, 0, 1], self.maps)

    def test_multilabel(self):
        found = insertion_deletion(
            self.model,
            self.x,
            self.targets,
            self.maps,
            "xplique-probability",
            output_kind="multilabel",
        )
        logits = insertion_deletion(self.model, self.x, self.targets, self.maps, "xplique")
        expected = 1 / (1 + np.exp(-logits.insertion.astype(np.float64)))
        assert found.insertion == pytest.approx(expected, rel=1e-6)

    def test_a_model_that_needs_the_plain_format(self):
        model = ViewModel(classes=2, size=8).eval()
        arguments = self.x[..., :8], self.targets, self.maps[..., :8]
        with pytest.warns(UserWarning, match="cannot take channels-last") as told:
            found = insertion_deletion(model, *arguments)
        assert len(told) == 1
        reshaping = copy.deepcopy(model)
        reshaping.forward = lambda x: model.head(model.last(x).relu().reshape(len(x), -1))
        expected = insertion_deletion(reshaping, *arguments)
        assert np.abs(found.insertion - expected.insertion).max() <= 1e-6

    def test_one_image_makes_few_passes_and_has_the_bits_that_it_has_among_many(self):
        passed = []
        model = ConvModel().eval()
        model.register_forward_hook(lambda _, inputs, __: passed.append(len(inputs[0])))
        draws = torch.Generator().manual_seed(0)
        x, maps = torch.rand(30, 3, SIZE, SIZE, generator=draws), torch.rand(30, SIZE, SIZE)
        targets = torch.arange(30) % 4
        every = insertion_deletion(model, x, targets, maps, "xplique-probability")
        assert 64 in passed
        passed.clear()
        alone = insertion_deletion(model, x[7:8], targets[7:8], maps[7:8], "xplique-probability")
        assert sum(passed) <= 64  # 20 of them are needed
        assert (alone.insertion[0] == every.insertion[7]).all()
        assert (alone.deletion[0] == every.deletion[7]).all()

    def test_softmax_taken_for_logits(self):
        twice = torch.nn.Sequential(self.model, torch.nn.Softmax(1)).eval()
        with pytest.raises(BenchError, match="said to be logits, but sum to 1"):
            insertion_deletion(twice, self.x, self.targets, self.maps, "xplique-probability")

    def test_model_and_inputs_are_left_alone(self):
        weight = self.model[1].weight
        insertion_deletion(self.model, self.x, self.targets, self.maps)
        assert weight.requires_grad
        assert weight.grad is None

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"maps": torch.zeros(3, 9, 8)}, r"= \(3, 8, 9\), found \(3, 9, 8\)"),
            ({"maps": torch.full((3, 8, 9), torch.nan)}, "image 'number 0' holds NaN"),
            ({"targets": torch.tensor([1, 0])}, r"targets \(N,\)"),
            ({"protocol": "xpliqe"}, "Did you mean 'xplique'"),
            ({"protocol": "smdl-cub", "output_kind": "cosines"}, "cannot be read off cosines"),
            ({"model": torch.nn.Linear(2, 2)}, r"call model\.eval"),
            ({"model": lambda x: x}, "expected a torch module"),
            ({"batch_size": 0}, "batch_size: expected an integer >= 1"),
            ({"protocol": {}}, "expected a Protocol or a name"),
            ({"targets": torch.tensor([1.0, 0, 1])}, "expected integers"),
            ({"x": torch.full((3, 3, 8, 9), torch.nan)}, "x: expected finite"),
            ({"x": torch.zeros(0, 3, 8, 9), "targets": [], "maps": []}, "N >= 1"),
            (
                {
                    "output_kind": "probabilities",
                    "protocol": "smdl-cub",
                    "x": torch.full((3, 3, 8, 9), 1e6),  # the model's weights are drawn anew
                },
                "leave 0..1",
            ),
            ({"targets": torch.tensor([1, 2, 0])}, "target 2 of image 1 is outside"),
            ({"targets": [0, 1, -1]}, "target -1 of image 2 is outside"),
            ({"targets": ["0", "1", "0"]}, "targets: expected an array of numbers, found text"),
            ({"targets": torch.eye(3, dtype=torch.long)}, r"give targets\.argmax\(1\)"),
            ({"targets": [True, False, True]}, r"expected integers, found torch\.bool"),
            ({"targets": 1}, r"targets \(N,\) = \(3,\), found \(\)"),
            ({"maps": torch.zeros(3, 1, 8, 9)}, r"found \(3, 1, 8, 9\): give maps\[:, 0\]"),
            ({"maps": torch.zeros(3, 3, 8, 9)}, "give one value a pixel"),
            ({"x": x.permute(0, 2, 3, 1)}, r"seems to be \(N, H, W, C\): give x\.permute"),
            ({"x": x[:1], "targets": [1], "maps": maps[0]}, r"give maps\[None\]"),
            ({"x": x.to("meta")}, "x: expected numbers, found a tensor on torch's meta device"),
            ({"model": torch.nn.Linear(2, 2, device="meta").eval()}, "parameters that have none"),
            ({"model": torch.nn.LazyLinear(2).eval()}, "parameters that have none"),
            ({"model": torch.nn.Linear}, "found the class Linear"),
            ({"maps": torch.zeros(3, 8, 9, dtype=torch.complex64)}, "maps: expected real"),
            ({"maps": [[1.0, 2], [3]]}, "maps: expected rows of one length"),
            ({"x": torch.zeros(3, 3, 8, 9, dtype=torch.uint8)}, "after its preprocessing"),
            ({"x": torch.zeros(3, 3, 8, 9, dtype=torch.complex64)}, "found torch.complex64"),
            ({"x": torch.zeros(3, 8, 9)}, r"x: expected \(N, C, H, W\)"),
            ({"x": torch.zeros(3, 2, 8, 9)}, "model: fails on inputs .* mat1 and mat2"),
            (
                {"x": x[:, :1], "protocol": "probability-10-noise", "model": GREY},
                "baseline 'uniform': expected inputs of 3 channels",
            ),
            (
                {"x": x[:, :1], "protocol": "probability-10-black", "model": GREY},
                "baseline 'constant': expected inputs of 3 channels",
            ),
            ({"batch_size": "64"}, "batch_size: expected an integer"),
            ({"seed": -1}, "seed: expected an integer >= 0"),
            ({"output_kind": "logit"}, "output_kind: unknown name"),
        ],
    )
    def test_bad_input(self, changes, message):
        arguments = {"model": self.model, "x": self.x, "targets": self.targets, "maps": self.maps}
        with pytest.raises(BenchError, match=message):
            insertion_deletion(**{**arguments, **changes})


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("block_size", [2, 7])
@pytest.mark.usefixtures("two_threads")
def test_rows_do_not_depend_on_the_threads_that_read(samples, workers, block_size):
    expected = rows_by_image(run(samples, block_size=7))
    assert_same_bits(rows_by_image(run(samples, block_size=block_size, workers=workers)), expected)


class Noted(Sample):
    """Notes who was read."""

    asked: ClassVar[list[str]] = []

    def read(self):
        Noted.asked.append(self.image_id)
        return super().read()


def test_images_are_read_one_block_ahead_and_only_where_needed(samples):
    Noted.asked.clear()
    noted = [Noted(s.image_id, s.path, s.target) for s in samples]
    ids = [s.image_id for s in samples]
    scorer = Scorer(backbone(), "probability", 4)
    results = evaluate_runs(
        noted, scorer, [MethodRun("edge", Edge(), done=ids[2:4])], load_protocol("smdl-cub"),
        device=CPU, block_size=2, workers=1,
    )  # fmt: skip
    next(results)
    # The first block and, ahead of need, the third: the second is done.
    assert Noted.asked == [*ids[:2], *ids[4:6]]
    rest = [image_id for result in results for image_id in result.rows["image_id"]]
    assert rest == ids[4:]
    assert Noted.asked == [*ids[:2], *ids[4:]]


def test_an_unreadable_image_costs_no_block_before_it(samples):
    samples[5].path.write_bytes(b"")
    results = evaluate_runs(
        samples, Scorer(backbone(), "probability", 4), [MethodRun("edge", Edge())],
        load_protocol("smdl-cub"), device=CPU, block_size=2, workers=2,
    )  # fmt: skip
    assert len(next(results).rows) == len(next(results).rows) == 2
    with pytest.raises(BenchError, match="photo 5"):
        next(results)


def test_nothing_more_is_read_when_all_methods_have_failed(samples):
    Noted.asked.clear()
    noted = [Noted(s.image_id, s.path, s.target) for s in samples]
    failures = run(noted, {"wrong": WrongShape()}, block_size=1)
    assert [type(failure) for failure in failures] == [Failed] * GIVE_UP
    assert len(Noted.asked) <= GIVE_UP + 1


@pytest.mark.parametrize("seconds", [0, 1e-9, 60])
def test_same_bits_however_short_blocks_may_last(samples, seconds):
    assert_same_bits(
        rows_by_image(run(samples, block_seconds=seconds)), rows_by_image(run(samples))
    )


def test_where_an_image_takes_too_long_each_method_is_yielded_alone(samples):
    results = run(samples[:2], block_seconds=0)
    methods = list(dict.fromkeys(result.method for result in results))
    assert [result.method for result in results] == methods * 2
    assert all(len(result.rows) == 1 for result in results)


def test_progress_is_told_of_rows_failures_and_what_is_not_tried(samples):
    class Raises(Edge):
        def __call__(self, scorer, batch):
            raise ValueError

    heard = Tally()
    ended = []
    heard.ended = ended.append
    run(samples, {"edge": Edge(), "raises": Raises()}, block_size=2, progress=heard)
    edge, raises = heard.counts["edge"], heard.counts["raises"]
    assert (edge.images, edge.done, edge.failed, edge.skipped) == (7, 7, 0, 0)
    assert (raises.images, raises.done, raises.failed, raises.skipped) == (7, 0, 3, 4)
    assert sorted(ended) == ["edge", "raises"]
