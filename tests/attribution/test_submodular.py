"""SMDL against the formulas of its paper and its authors' scripts, one image and set at a time."""

import cv2
import numpy as np
import pytest
import torch
from toy import IDS, SIZE, ConvModel, backbone, linear_scorer, make_batch

from bench.attribution.control import Constant, Random
from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.attribution.submodular import Smdl, _Inputs
from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError
from bench.ties import argsort_numpy_1_23

WEIGHTS = ("confidence", "effectiveness", "consistency", "collaboration")


def network(output_kind="logits"):
    """More classes and a steeper head than the toy's, so that scores differ well."""
    model = backbone(6, output_kind=output_kind, feature_layer="last")
    model.module.head.weight.mul_(5)
    return model


def uncertainty_network(seed=1):
    preprocessing = Preprocessing(SIZE, (127.5,) * 3, (127.5,) * 3, resize="pil_bilinear")
    module = ConvModel(5, seed)
    module.head.weight.requires_grad_(False).mul_(5)
    return Backbone("edl", module, preprocessing, "logits", 5)


def photos(count=3):
    """Images of differing sizes; in each, a corner is black and blue is missing from an edge."""
    images = []
    for number in range(count):
        draws = np.random.default_rng(number)
        coarse = draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        image = cv2.resize(coarse, (SIZE + 7 * number, SIZE + 4 * number))
        image[:9, :9] = 0
        image[:, -5:, 2] = 0
        images.append(image)
    return images


def batch_of(images, model):
    ids = IDS[: len(images)]
    return Batch(model.preprocess(images), torch.arange(len(images)) + 1, ids, images)


def slow_maps(method, model, score, batch):
    """The maps, by loops over images, rounds, candidates and members, from uint8 images."""
    priors = None if method.prior is None else method.prior(None, batch).numpy()
    return np.stack(
        [
            slow_map(
                method,
                model,
                score,
                image,
                int(target),
                prior=None if priors is None else priors[n],
            )
            for n, (image, target) in enumerate(zip(batch.images, batch.targets, strict=True))
        ]
    )


def slow_map(method, model, score, image, target, *, prior):
    n, d, k = method.grid_size, method.set_size, method.rounds
    side = method.cut_size or SIZE
    square = cv2.resize(image, (side, side))
    order = np.arange(n * n)
    if prior is not None:
        order = argsort_numpy_1_23(-cv2.resize(prior, (n, n)).flatten())
    elements = []
    for i in range(int(n * n / d)):
        mask = np.zeros(n * n, np.uint8)
        mask[order[i * d : (i + 1) * d]] = 1
        mask = cv2.resize(mask.reshape(n, n), (side, side), interpolation=cv2.INTER_NEAREST)
        elements.append(square * mask[:, :, None])
    whole = np.sum(elements, axis=0).astype(np.uint8)

    @torch.no_grad()
    def outputs(pixels):
        (found,) = model.outputs(model.preprocess([pixels])).double()
        return found.softmax(dim=0).numpy() if score == "probability" else found.numpy()

    @torch.no_grad()
    def embedding(pixels):
        return model.features(model.preprocess([pixels]))[0].numpy()

    def angle(a, b):
        cosine = (a / np.linalg.norm(a)) @ (b / np.linalg.norm(b))
        return np.arccos(np.clip(cosine, -1, 1)) / np.pi

    seen = embedding(whole) if method.consistency_of == "embedding" else outputs(whole)

    def likeness(pixels):
        if method.consistency_of == "embedding":
            return 1 - angle(embedding(pixels), seen)
        label = target if method.score_of == "target" else seen.argmax()
        return outputs(pixels)[label]

    @torch.no_grad()
    def confidence(pixels):
        net = method.uncertainty
        (found,) = net.outputs(net.preprocess([pixels])).double().numpy()
        evidence = np.exp(np.clip(method.evidence_scale * found, -10, 10))
        return 1 - len(found) / np.sum(evidence + 1)

    alone = [embedding(element) for element in elements]
    distances = np.array([[angle(a, b) for b in alone] for a in alone])

    def effectiveness(members):
        if len(members) == 1:
            return 0
        return sum(min(distances[i, j] for j in members if j != i) for i in members)

    def total(members):
        merged = np.sum([elements[i] for i in members], axis=0).astype(np.uint8)
        found = method.effectiveness * effectiveness(members)
        if method.confidence:
            found += method.confidence * confidence(merged)
        if method.consistency:
            found += method.consistency * likeness(merged)
        if method.collaboration:
            found += method.collaboration * (1 - likeness(whole - merged))
        return found

    chosen = []
    for _ in range(k):
        left = [i for i in range(len(elements)) if i not in chosen]
        totals = [total([*chosen, i]) for i in left]
        # What rounding could turn around would be no test; the first of equal ones is another.
        gaps = np.max(totals) - np.array(totals)
        assert not ((gaps > 1e-12) & (gaps < 1e-6)).any()
        chosen.append(left[int((gaps <= 1e-12).argmax())])
    counts = np.zeros(square.shape)
    for number, i in enumerate(chosen):
        counts[elements[i] > 0] = k - number
    if side != SIZE:
        counts = cv2.resize(counts.astype(np.uint8), (SIZE, SIZE))
    return counts.mean(axis=2)


def settings(only=None, uncertainty=None, **others):
    """Weights of all scores, or of one alone."""
    chosen = {"confidence": 2, "effectiveness": 0.05, "consistency": 1.5, "collaboration": 0.7}
    if only is not None:
        chosen = {name: float(name == only) for name in chosen}
    if uncertainty is None:
        chosen["confidence"] = 0
    return chosen | {"uncertainty": uncertainty} | others


def check(method, batch_size=4, score="probability", count=2):
    model = network()
    batch = batch_of(photos(count), model)
    found = method(Scorer(model, score, batch_size), batch).numpy()
    expected = slow_maps(method, model, score, batch)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-5
    return found


@pytest.mark.parametrize("consistency_of", ["score", "embedding"])
@pytest.mark.parametrize("only", [None, *WEIGHTS])
def test_equals_a_slow_search_with_each_score(only, consistency_of):
    """A grid of 5 x 5 divides neither 23 pixels, nor do sets of 2 divide its cells."""
    weights = settings(only, uncertainty_network(), consistency_of=consistency_of)
    check(Smdl(Random(), 5, 2, **weights, evidence_scale=0.7))


@pytest.mark.parametrize("cut_size", [13, 37])
@pytest.mark.parametrize("consistency_of", ["score", "embedding"])
def test_regions_may_be_cut_at_another_size(cut_size, consistency_of):
    """As the record does for EfficientNetV2-M: edges blur, in both networks' inputs."""
    weights = settings(uncertainty=uncertainty_network(), consistency_of=consistency_of)
    check(Smdl(Random(), 4, 2, **weights, cut_size=cut_size))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("consistency_of", ["score", "embedding"])
def test_equals_a_slow_search_in_any_batch(batch_size, consistency_of):
    weights = settings(uncertainty=uncertainty_network(), consistency_of=consistency_of)
    check(Smdl(Random(), 4, 2, **weights, evidence_scale=5), batch_size)


@pytest.mark.parametrize("evidence_scale", [10, 20])
def test_evidence_is_clipped(evidence_scale):
    weights = settings("confidence", uncertainty_network())
    check(Smdl(Random(), 4, 2, **weights, evidence_scale=evidence_scale))


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize("score_of", ["target", "prediction"])
def test_equals_a_slow_search_of_either_class(score, score_of):
    check(Smdl(Random(), 4, 2, **settings(score_of=score_of)), score=score)


def test_target_and_prediction_differ_here():
    model = network()
    batch = batch_of(photos(), model)
    assert (model.outputs(batch.x).argmax(dim=1) != batch.targets).any()


@pytest.mark.parametrize("rounds", [None, 1, 9])
def test_equals_a_slow_search_without_a_prior(rounds):
    found = check(Smdl(None, 3, 1, rounds, **settings(uncertainty=uncertainty_network())))
    assert found.max() == pytest.approx(8 if rounds is None else rounds)


def test_network_and_uncertainty_network_may_differ_in_size():
    model = network()
    larger = uncertainty_network()
    larger.preprocessing = Preprocessing(2 * SIZE, (127.5,) * 3, (127.5,) * 3, resize="cv2_linear")
    method = Smdl(Random(), 4, 2, **settings(uncertainty=larger))
    assert method(Scorer(model, "probability", 4), batch_of(photos(), model)).shape == (
        3,
        SIZE,
        SIZE,
    )


@pytest.mark.parametrize("only", ["consistency", "collaboration"])
def test_a_linear_model_shows_its_largest_contributions_first(only):
    scorer, module = linear_scorer()  # of which black is 0
    batch = make_batch()
    method = Smdl(None, 4, 1, **settings(only))
    cells = np.arange(SIZE) * 4 // SIZE
    products = (batch.x * module.weight[batch.targets]).sum(dim=1).numpy()
    for product, found in zip(products, method(scorer, batch).numpy(), strict=True):
        sums = [product[cells == i][:, cells == j].sum() for i in range(4) for j in range(4)]
        ranks = np.argsort(np.argsort(sums))  # the smallest, never chosen, counts 0
        expected = ranks.reshape(4, 4)[cells][:, cells]
        assert np.abs(found - expected).max() <= 1e-5


@pytest.mark.parametrize("prior", [Constant(), Random()])
def test_where_all_ties_the_prior_decides_and_then_numpy_1_23(prior):
    scorer, module = linear_scorer()
    module.weight.zero_()
    batch = make_batch()
    maps = Smdl(prior, 5, 2, **settings("consistency"))(scorer, batch).numpy()
    cells = np.arange(SIZE) * 5 // SIZE
    for prior_map, found in zip(prior(None, batch).numpy(), maps, strict=True):
        counts = np.zeros(25)
        order = argsort_numpy_1_23(-cv2.resize(prior_map, (5, 5)).ravel())
        counts[order[:24]] = np.repeat(np.arange(11, -1, -1), 2)
        assert np.abs(found - counts.reshape(5, 5)[cells][:, cells]).max() <= 1e-5


@pytest.mark.parametrize("smooth", [7, 28])
def test_smoothed_maps(smooth):
    model = network()
    scorer, batch = Scorer(model, "probability", 4), batch_of(photos(), model)
    weights = settings()
    sharp = Smdl(Random(), 5, 2, **weights)(scorer, batch).numpy()
    found = Smdl(Random(), 5, 2, **weights, smooth=smooth)(scorer, batch).numpy()
    for image, before, after in zip(batch.images, sharp, found, strict=True):
        lit = cv2.resize(image, (SIZE, SIZE)) > 0
        counts = np.divide(3 * before, lit.sum(axis=2), where=lit.any(axis=2), out=0 * before)
        order = (lit * counts.round()[:, :, None]).astype(np.uint8)
        expected = cv2.resize(cv2.resize(order, (smooth, smooth)), (SIZE, SIZE)).mean(axis=2)
        assert np.abs(after - expected).max() <= 1e-5


@pytest.mark.parametrize(
    ("grid_size", "side"), [(10, 224), (14, 112), (28, 112), (7, 112), (5, 23)]
)
def test_cells_are_enlarged_as_the_scripts_do(grid_size, side):
    sets = torch.arange(grid_size**2).view(1, grid_size, grid_size)
    found = _Inputs(torch.zeros(1, 3, side, side), torch.zeros(3), sets).set_of_pixel
    small = sets[0].numpy().astype(np.float32)
    large = cv2.resize(small, (side, side), interpolation=cv2.INTER_NEAREST)
    assert np.array_equal(found.view(side, side).numpy(), large)


@pytest.mark.parametrize("only", [None, *WEIGHTS])
@pytest.mark.parametrize(
    "others", [{}, {"consistency_of": "embedding"}, {"score_of": "prediction"}]
)
def test_scores_without_weight_cost_nothing(only, others):
    model, passes = network(), []
    method = Smdl(Random(), 4, 2, **settings(only, uncertainty_network(), **others))
    method(Scorer(model, "probability", 1, on_forward=passes.append), batch_of(photos(1), model))
    assert method.passes(model) == (sum(passes), 0)


def test_cosines_and_networks_without_features():
    model = network("cosines")
    batch = batch_of(photos(), model)
    assert Smdl(None, 3, 1)(Scorer(model, "output", 4), batch).isfinite().all()
    model.feature_layer = None
    assert Smdl(None, 3, 1, effectiveness=0)(Scorer(model, "output", 4), batch).isfinite().all()
    Smdl(None, 3, 1, effectiveness=0).check(model)
    for needs in (Smdl(None, 3, 1), Smdl(None, 3, 1, effectiveness=0, consistency_of="embedding")):
        with pytest.raises(BenchError, match="names no feature layer"):
            needs.check(model)  # before a pass is spent
        with pytest.raises(BenchError, match="names no feature layer"):
            needs(Scorer(model, "output", 4), batch)


def test_prior_and_uncertainty_network_are_part_of_its_identity():
    class Prior(Random):
        version = 4
        forward_passes = 3

        def identity(self, image_ids):
            return {"count": len(image_ids)}

    def identity(prior, seed):
        method = Smdl(prior, confidence=1, uncertainty=uncertainty_network(seed))
        return method.identity(["a"])

    assert identity(Prior(), 1)["prior"] == {"version": 4, "count": 1}
    assert identity(Prior(), 1) == identity(Prior(), 1) != identity(Prior(), 2)
    assert Smdl(None, set_size=1).identity(["a"]) == {}
    assert Smdl(Prior()).passes(network()).forward == 3 + 25 + 2 * sum(range(2, 26))


class Broken(Method):
    def __call__(self, scorer, batch):
        return torch.full((len(batch.x), SIZE, SIZE), torch.nan)


def test_a_prior_that_is_not_finite():
    with pytest.raises(BenchError, match="prior: its maps hold NaN"):
        Smdl(Broken())(Scorer(network(), "probability", 4), make_batch())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prior": "saliency"}, "prior: expected the name of a method or null, found 'saliency'"),
        ({"prior": None}, "set_size: expected 1 without a prior, found 4"),
        ({"grid_size": 1}, "grid_size: expected an integer >= 2"),
        ({"set_size": 51}, "set_size: expected at most half of the grid's 100 cells, found 51"),
        ({"rounds": 26}, "rounds: expected at most 25, found 26"),
        ({"rounds": 0}, "rounds: expected an integer >= 1"),
        ({"consistency_of": "class"}, "consistency_of: unknown name 'class'"),
        ({"score_of": "label"}, "score_of: unknown name 'label'"),
        ({"effectiveness": "1"}, "effectiveness: expected a number"),
        ({"confidence": 1}, "confidence: expected 0 without an uncertainty network, found 1"),
        ({"uncertainty": "edl.pth"}, "uncertainty: expected _target_ to give a backbone"),
        ({"uncertainty": network("cosines")}, "uncertainty: expected a network of logits"),
        ({"evidence_scale": 0}, "evidence_scale: expected a number"),
        ({"smooth": 0}, "smooth: expected an integer >= 1"),
        ({"smooth": 7, "grid_size": 20, "set_size": 1}, "smooth: expected at most 255 rounds"),
    ],
)
def test_settings_out_of_range(arguments, message):
    with pytest.raises(BenchError, match=message):
        Smdl(**{"prior": Random()} | arguments)
