"""Metrics that ask the methods about other inputs and targets."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from toy import SIZE, Faces, backbone, method_runs, other_backbone

from bench.attribution.control import Blurred, Random
from bench.attribution.gradient import Saliency
from bench.attribution.masking import Rise
from bench.attribution.method import Method
from bench.attribution.scorer import Scorer
from bench.attribution.stored import Stored
from bench.errors import BenchError
from bench.evaluation.explain import Failed
from bench.evaluation.loop import evaluate_runs
from bench.experiment.cost import count_cost
from bench.metrics.metric import Maps, Metric
from bench.metrics.protocol import load_protocol, protocol_with
from bench.metrics.statistic import Statistic
from bench.storage.map_store import image_key, open_maps

CPU = torch.device("cpu")
SAMPLES = Faces(3).samples
METHODS = {"saliency": Saliency(), "random": Random(), "rise": Rise(5)}


@dataclass(frozen=True)
class Difference(Metric):
    """The largest difference from the map of the input times a factor, or of the next class."""

    explains_again = True
    uses_scores = False
    factor: float = 1.0
    next_class: bool = False

    @property
    def statistics(self):
        return (Statistic(self.name, "Difference", None),)

    def explanations_per_map(self, network=None):
        return 1

    def __call__(self, block, maps):
        targets = (maps.targets + 1) % 4 if self.next_class else None
        found = maps.explain(maps.inputs * self.factor, targets)
        assert found.dtype == maps.values.dtype
        return {self.name: (found - maps.values).abs().amax(dim=(1, 2))}


def run(methods, metrics, *, samples=SAMPLES, done=None, kept=None, **settings):
    """Rows by method and image, and the failures; a block of four images and one of two."""
    protocol = protocol_with(load_protocol("smdl-cub"), {each.name: each for each in metrics})
    scorer = Scorer(backbone(), protocol.score, 3)
    rows, failures = {}, []
    for result in evaluate_runs(
        samples, scorer, method_runs(methods, done=done, maps=kept), protocol,
        device=CPU, block_size=4, **settings,
    ):  # fmt: skip
        if isinstance(result, Failed):
            failures.append(result)
            continue
        for row in result.rows.to_dict("records"):
            rows[result.method, row["image_id"]] = row
    return rows, failures


@pytest.mark.parametrize("settings", [{}, {"explained": True}, {"explained_target": 2}])
def test_the_same_input_has_the_same_map(settings):
    """Whatever network and target are explained, and whatever a method draws."""
    if "explained" in settings:
        settings = {"explained": Scorer(other_backbone(), "probability", 3)}
    same, other = Difference(name="same"), Difference(factor=0.5, name="other")
    rows, failures = run(
        METHODS, [same, other, Difference(next_class=True, name="next")], **settings
    )
    assert not failures
    assert len(rows) == 3 * 6
    for (method, _), row in rows.items():
        assert row["same"] == 0
        assert (row["other"] == 0) == (row["next"] == 0) == (method == "random")


def test_some_of_the_maps():
    """Methods lack different images, and the second metric is asked about part of the maps."""
    done = {"saliency": {"1/1", "0/3"}, "rise": {"0/0"}}
    rows, failures = run(METHODS, [Difference(name="same")], done=done)
    assert not failures
    assert len(rows) == 18 - 3
    assert {row["same"] for row in rows.values()} == {0}

    def values(image):
        return torch.full((1, 2, 2), float(image))

    class Numbers:
        inputs, targets = torch.arange(3.0)[:, None, None, None], torch.arange(3)
        can_explain = torch.tensor([True, False, True, True])

        def __call__(self, numbers, x, targets):
            return torch.stack([numbers, targets, x[:, 0, 0, 0].long()], dim=1)

    maps = Maps(
        torch.cat([*map(values, (0, 2, 0, 1))]), torch.tensor([0, 2, 0, 1]), "stable", Numbers()
    )
    part = maps.part(torch.tensor([3, 1, 2])).part(torch.tensor([0, 1]))
    assert part.explain(part.inputs).tolist() == [[3, 1, 1], [1, 2, 2]]
    assert part.can_explain.tolist() == [True, False]


class Dark(Method):
    """Fails on inputs of one image that are darker than they were."""

    def __init__(self, image_id):
        self.image_id = image_id
        self.seen = {}

    def __call__(self, scorer, batch):
        for image_id, x in zip(batch.image_ids, batch.x, strict=True):
            before = self.seen.setdefault(image_id, x)
            if image_id == self.image_id and not torch.equal(x, before):
                raise RuntimeError("too dark")
        return batch.x.mean(dim=1)


def test_a_map_that_failed_is_not_asked_for_again():
    """Once with its batch and once alone by the first metric, never by the second."""
    asked = []

    class Counted(Dark):
        def __call__(self, scorer, batch):
            asked.append(self.image_id in batch.image_ids)
            return super().__call__(scorer, batch)

    metrics = [Difference(factor=0.5, name=name) for name in ("first", "second")]
    rows, failures = run({"dark": Counted("1/1")}, metrics)
    assert [each.image_id for each in failures] == ["1/1"]
    assert len(rows) == 5
    assert sum(asked) == 1 + 2  # its map, and what failed


class Leaves(Method):
    """Changes the network when it is asked for the second time."""

    calls = 0

    def __call__(self, scorer, batch):
        self.calls += 1
        if self.calls == 2:
            scorer.backbone.module.last.weight.data *= 2
        return batch.x.mean(dim=1)


def test_a_method_that_fails_when_it_is_asked_again():
    methods = {"dark": Dark("1/1"), "leaves": Leaves(), "random": Random()}
    rows, failures = run(methods, [Difference(factor=0.5, name="other")])
    assert [(each.method, each.image_id) for each in failures] == [
        ("dark", "1/1"), *(("leaves", sample.image_id) for sample in SAMPLES[:4]),
    ]  # fmt: skip
    assert "method 'dark' raised RuntimeError: too dark" in failures[0].reason
    assert "Traceback" in failures[0].trace
    assert "method 'leaves' left changed: parameter last.weight" in failures[1].reason
    plain, _ = run({"random": Random()}, [Difference(factor=0.5, name="other")])
    for key, row in plain.items():
        assert row["insertion_curve"] == pytest.approx(rows[key]["insertion_curve"], abs=0)
    assert sum(method == "dark" for method, _ in rows) == 5
    assert sum(method == "leaves" for method, _ in rows) == 0  # it is asked no more


@pytest.mark.parametrize("wrap", [lambda stored: stored, Blurred])
def test_maps_that_were_made_before_have_no_number(tmp_path, wrap):
    for sample in SAMPLES:
        path = tmp_path / f"{sample.image_id}.npy"
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.random.default_rng(0).random((SIZE, SIZE), np.float32))
    methods = {"stored": wrap(Stored(tmp_path)), "saliency": Saliency()}
    metric = Difference(name="same")
    rows, failures = run(methods, [metric])
    assert not failures
    for (method, _), row in rows.items():
        assert np.isnan(row["same"]) == (method == "stored")
        assert np.isfinite(row["insertion_curve"]).all()
    protocol = protocol_with(load_protocol("smdl-cub"), {"same": metric})
    runs = method_runs({"stored": methods["stored"], "rise": Rise(5)}, network=backbone())
    assert count_cost(SAMPLES, runs, protocol, (SIZE, SIZE)).forward == 6 * 5 * 2


def test_the_passes_are_told_before():
    made = []
    metric = Difference(name="same")
    methods, protocol = (
        {"rise": Rise(6)},
        protocol_with(load_protocol("smdl-cub"), {"same": metric}),
    )
    runs = method_runs(methods, network=backbone())
    explained = Scorer(other_backbone(), "probability", 3, on_forward=made.append)
    told = count_cost(SAMPLES, runs, protocol, (SIZE, SIZE), explained.backbone)
    run(methods, [metric], explained=explained)
    assert sum(made) == told.forward == 6 * 6 * 2


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_kept_maps_are_looked_up_and_the_others_rounded_alike(tmp_path, dtype):
    keys = {sample.image_id: image_key(sample, "pixels") for sample in SAMPLES}

    class Counted(Saliency):
        calls = 0

        def __call__(self, scorer, batch):
            self.calls += 1
            return super().__call__(scorer, batch)

    identity = {"backbone": {"name": "toy"}, "method": {"name": "counted"}}
    methods, asked = {"counted": Counted()}, []
    for metrics in ([], [Difference(name="same")]):
        kept = {"counted": open_maps(tmp_path, identity, dtype, keys)}
        before = methods["counted"].calls
        rows, failures = run(methods, metrics, kept=kept)
        asked.append(methods["counted"].calls - before)
        assert not failures
    assert asked == [2, 2]  # once a block: first for the maps, then for the metric alone
    assert [row["same"] for row in rows.values()] == [0] * 6


def test_maps_without_a_method():
    maps = Maps(torch.ones(2, 3, 3), torch.tensor([0, 1]), "stable")
    assert maps.can_explain.tolist() == [False, False]
    for ask in (lambda: maps.inputs, lambda: maps.explained, lambda: maps.explain(torch.ones(2))):
        with pytest.raises(BenchError, match="found maps that were made elsewhere"):
            ask()
