"""The curve engine against arrays made by the real Xplique (scripts/oracle/curves.py)."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from golden_files import Value, digest, model_of

from bench.metrics.auc import auc
from bench.metrics.baseline import Baseline, Inputs, ZeroBaseline
from bench.metrics.insertion import Insertion
from bench.metrics.perturbation import TIE_RULES, curves, order_pixels, tied_fraction


@dataclass(frozen=True)
class Flipped(Baseline):
    """The per-image function of the golden files: the image upside down, at half contrast."""

    depends_on_image: ClassVar[bool] = True

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        return inputs.x.flip(2, 3) * 0.5

    def in_words(self):
        return "the image upside down"


BASELINES = {0.0: ZeroBaseline(), 0.3: Value(0.3), "function": Flipped()}


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("golden")
    files = sorted(folder.glob("curves_*.npz"))
    assert len(files) >= 6, f"expected golden files in {folder}"
    if "path" in metafunc.fixturenames:
        metafunc.parametrize("path", files, ids=lambda path: path.stem)


@pytest.fixture
def golden(path):
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def cases(golden):
    """Each setting's number, direction, counts and end points."""
    x = torch.from_numpy(golden["x"]).permute(0, 3, 1, 2)
    for number, setting in enumerate(json.loads(str(golden["settings"]))):
        curve = Insertion(
            BASELINES[setting["baseline"]],
            steps=setting["steps"],
            max_fraction=setting["max_percentage"],
        )
        baseline = curve.baseline(Inputs(x))
        counts = curve.counts(*x.shape[2:])
        yield number, "insertion", counts, baseline, x
        yield number, "deletion", counts, x, baseline


def reference_order(golden):
    """The reference's own order, ties included."""
    return torch.from_numpy(golden["order"].astype(np.int32))


def run(golden, score, counts, start, end):
    """Our curves, given the reference's order; the end is scored only if the curve reaches it."""
    x = torch.from_numpy(golden["x"]).permute(0, 3, 1, 2)
    images = torch.arange(len(x))
    reached = counts[-1] == x[0, 0].numel()
    start_scores, end_scores = (
        score(side.expand(x.shape).contiguous(), images)
        if scored
        else torch.full((len(x),), np.nan)
        for side, scored in ((start, True), (end, reached))
    )
    return curves(
        score, start, end, images, reference_order(golden), images=images,
        counts=torch.from_numpy(counts), start_scores=start_scores, end_scores=end_scores,
        batch_size=5,
    )  # fmt: skip


def test_counts_are_xpliques(golden):
    for number, _, counts, _, _ in cases(golden):
        assert counts.tolist() == golden[f"counts_{number}"].tolist()


def test_inputs_are_equal_and_scores_follow(golden):
    """Every input that we build is, to the bit, one that Xplique built for the same image and step.

    Its score is looked up by the input's digest, so an input that Xplique never made is an error.
    """
    for number, direction, counts, start, end in cases(golden):
        digests = golden[f"{direction}_digests_{number}"]
        expected = golden[f"{direction}_scores_{number}"]
        known = [dict(zip(d.tolist(), s, strict=True)) for d, s in
                 zip(digests, expected, strict=True)]  # fmt: skip
        built = [set() for _ in known]

        def score(z, images, known=known, built=built):
            found = []
            for image, number in zip(z, images.tolist(), strict=True):
                built[number].add(digest(image))
                found.append(float(known[number][digest(image)]))
            return torch.tensor(found)

        scores = run(golden, score, counts, start, end)
        assert np.abs(scores.numpy() - expected).max() <= 1e-6
        for seen, reference in zip(built, digests, strict=True):
            assert seen >= set(reference.tolist())
        area = auc(scores.numpy().mean(axis=0))
        assert abs(area - golden[f"{direction}_auc_{number}"]) <= 1e-6


def test_our_own_network_gives_the_same_curves(golden, path):
    outputs = model_of(golden)
    targets = torch.from_numpy(golden["targets"])

    def score(z, images):
        out = outputs(z)
        out = out.softmax(dim=1) if "softmax" in path.stem else out
        return out.gather(1, targets[images][:, None])[:, 0]

    with torch.no_grad():
        for number, direction, counts, start, end in cases(golden):
            expected = golden[f"{direction}_scores_{number}"]
            scores = run(golden, score, counts, start, end)
            scale = max(1, np.abs(expected).max())
            assert np.abs(scores.numpy() - expected).max() <= 1e-5 * scale
            area = auc(scores.numpy().mean(axis=0))
            assert abs(area - golden[f"{direction}_auc_{number}"]) <= 1e-5 * scale


def test_untied_maps_are_ordered_alike(golden, path):
    maps, reference = torch.from_numpy(golden["maps"]), reference_order(golden)
    untied = tied_fraction(maps, reference) == 0
    assert untied.all() or "smooth" not in path.stem
    for ties in TIE_RULES:
        assert torch.equal(order_pixels(maps, ties)[untied], reference[untied])
