"""Methods that change the network cost their own rows, and no bit of the others'."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from toy import Faces, backbone, make_batch, method_runs, other_backbone

from bench.attribution.adapters import Function
from bench.attribution.gradient import Saliency
from bench.attribution.masking import Rise
from bench.attribution.method import Method
from bench.attribution.scorer import Scorer
from bench.evaluation.explain import Explainer, Failed
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.metrics.protocol import load_protocol
from bench.storage.map_store import image_key, open_maps

CPU = torch.device("cpu")
PROTOCOL = load_protocol("smdl-cub")
SAMPLES = Faces(4).samples  # eight images: blocks of three, three and two
IDS = [sample.image_id for sample in SAMPLES]


class Offender(Method):
    """Does something to the network, and gives saliency's maps."""

    def __init__(self, change):
        self.change = change
        self.asked = 0

    def __call__(self, scorer, batch):
        self.asked += 1
        self.change(scorer, batch)
        return Saliency()(scorer, batch)


class Raises(Offender):
    def __call__(self, scorer, batch):
        super().__call__(scorer, batch)
        raise ValueError("no maps today")


def monte_carlo_dropout(scorer, batch):
    scorer.backbone.module.train()
    scorer.backbone.module(batch.x)


def perturbed_weights(scorer, batch):
    for weight in scorer.backbone.module.parameters():
        weight.data += torch.randn_like(weight) * 0.3


def other_head(scorer, batch):
    scorer.backbone.module.head = nn.Sequential(scorer.backbone.module.head, nn.Softplus())


def doubled_output(scorer, batch):
    scorer.backbone.module.last.register_forward_hook(lambda *call: call[2] * 2)


def other_settings(scorer, batch):
    torch.set_grad_enabled(True)
    torch.set_default_dtype(torch.float64)
    scorer.score = "log_probability"


def written_batch(scorer, batch):
    batch.x.zero_()
    batch.targets.fill_(2)


CHANGES = [monte_carlo_dropout, perturbed_weights, other_head, other_settings]


def run(methods, explained=None, maps=None, **settings):
    scorer = Scorer(backbone(), PROTOCOL.score, 4)
    explained = explained and Scorer(explained, PROTOCOL.score, 4)
    return list(
        evaluate_runs(SAMPLES, scorer, method_runs(methods, maps=maps), PROTOCOL, device=CPU,
                      block_size=3, explained=explained, **settings)
    )  # fmt: skip


def rows_of(results, name):
    """All that is stored of a method but the seconds, to the bit."""
    explained = [result for result in results if not isinstance(result, Failed)]
    rows = [
        result.rows.drop(columns=["seconds", "map_seconds"])
        for result in explained
        if result.method == name
    ]
    return [table.map(_exactly).to_dict("list") for table in rows]


def _exactly(value):
    return value.tobytes() if isinstance(value, np.ndarray) else value


OTHERS = {"saliency": Saliency(), "rise": Rise(5)}


@pytest.mark.parametrize("explained", [None, other_backbone()], ids=["same", "other network"])
@pytest.mark.parametrize("kind", [Offender, Raises])
@pytest.mark.parametrize(
    "change", [*CHANGES, doubled_output, written_batch], ids=lambda change: change.__name__
)
def test_rows_beside_an_offender_have_the_same_bits(change, kind, explained):
    alone = run(OTHERS, explained)
    offender = kind(change)
    beside = run({"offender": offender} | OTHERS, explained)
    for name in OTHERS:
        assert rows_of(beside, name) == rows_of(alone, name)
    failures = [failure for failure in beside if isinstance(failure, Failed)]
    assert {failure.method for failure in failures} <= {"offender"}
    if kind is Raises:
        assert [failure.image_id for failure in failures] == IDS[:3]
        assert all("ValueError: no maps today" in failure.reason for failure in failures)
    elif change in CHANGES:
        assert [failure.image_id for failure in failures] == IDS[:3]
        (reason,) = {failure.reason for failure in failures}
        assert reason.startswith("method 'offender' left changed: ")
        assert "All was put back; a method must leave" in reason
        assert offender.asked == 1
        assert rows_of(beside, "offender") == []
    else:
        assert failures == []


def test_hooks_that_stay_are_told_once_and_are_no_failure():
    with pytest.warns(UserWarning, match="method 'offender' left hooks of last; they are taken"):
        found = run({"offender": Offender(doubled_output)})
    assert not [result for result in found if isinstance(result, Failed)]


@pytest.mark.parametrize("batched", [True, False])
def test_what_an_adapter_put_back_image_by_image_fails_in_a_run_and_warns_elsewhere(batched):
    method = Function("adapted.gradient", batched=batched)
    results = run({"function": method} | OTHERS)
    failures = [result for result in results if isinstance(result, Failed)]
    assert len(failures) == 3
    assert "method 'function' left changed: training mode of ConvModel, first" in failures[0].reason
    assert rows_of(results, "saliency") == rows_of(run(OTHERS), "saliency")
    with pytest.warns(UserWarning, match="'adapted.gradient' left changed: training mode"):
        method(Scorer(backbone(), "probability", 4), make_batch())


def test_maps_of_an_offender_are_not_kept(tmp_path):
    keys = {sample.image_id: image_key(sample, "pixels") for sample in SAMPLES}
    identity = {"backbone": {"name": "toy"}, "method": {"name": "own"}}
    kept = {"offender": open_maps(tmp_path, identity, "float32", keys)}
    run({"offender": Offender(other_head)}, maps=kept)
    assert not any(sample.image_id in kept["offender"] for sample in SAMPLES)


def test_images_that_methods_share_cannot_be_drawn_on():
    batch = make_batch()
    before = [image.copy() for image in batch.images]

    def draw(scorer, batch):
        batch.images[0][:5] = 0

    explainer = Explainer(Scorer(backbone(), "logit", 4), {})
    failed = explainer(MethodRun("own", Offender(draw)), batch).failures
    assert "read-only" in failed[0].reason
    assert all((image == kept).all() for image, kept in zip(batch.images, before, strict=True))


def test_a_method_that_turns_the_list_of_images_round_names_none_of_its_maps():
    batch = make_batch()
    names = [f"image {number}" for number in range(len(batch.image_ids))]
    batch = replace(batch, image_ids=list(names))

    def turn_round(scorer, batch):
        batch.image_ids.reverse()

    explainer = Explainer(Scorer(backbone(), "logit", 4), {})
    assert not explainer(MethodRun("turned", Offender(turn_round)), batch).failures
    assert batch.image_ids == names  # by these its maps are kept


def test_an_interrupt_ends_the_run_with_the_network_as_it_was():
    scorer = Scorer(backbone(), "logit", 4)

    def interrupt(scorer, batch):
        scorer.backbone.module.train()
        raise KeyboardInterrupt

    explainer = Explainer(scorer, {})
    with pytest.raises(KeyboardInterrupt):
        explainer(MethodRun("own", Offender(interrupt)), make_batch())
    assert not any(module.training for module in scorer.backbone.module.modules())
