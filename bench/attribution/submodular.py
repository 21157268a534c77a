"""SMDL: greedy submodular choice of the regions of an image that together explain most."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from bench.attribution.maps import exact_floats, in_one_channel
from bench.attribution.method import Batch, Method, Passes
from bench.attribution.regions import region_map
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.batching import fixed_batches, score_in_batches
from bench.errors import BenchError, require_integer, require_known, require_number
from bench.ties import argsort_numpy_1_23


class Smdl(Method):
    """SMDL: regions chosen one after another, each time the one that raises a sum of scores most.

    Chen et al. 2024, arXiv 2402.09164, in the form of the authors' scripts (SMDL-Attribution).
    A prior map orders the cells of a grid; each `set_size` cells in that order are one region. Of
    the set S of regions that are shown (the others are black before preprocessing), the scores are

    - confidence: 1 - K / sum_c(exp(clip(a o_c, -10, 10)) + 1), o the K outputs of an evidential
      uncertainty network, a = `evidence_scale`;
    - effectiveness: the sum over S of the angle, over pi, to the nearest other member; the angle is
      that of the features of each region shown alone. Of one region 0 (in some of the scripts 1,
      which changes no choice);
    - consistency: how much S looks like the image;
    - collaboration: one minus how much the image without S does.

    Cells of the last, incomplete set are never shown, also not in "the image", and count 0 in the
    map, like the region that is left when all rounds are over. Ties: equal cells are ordered as
    numpy 1.23.5's `argsort` of the negated prior does it, as in the record (`bench.ties`);
    of equal regions the first in the order of the prior is taken. Angles are float32, as theirs.

    Args:
        prior: Its map orders the cells: of the map, resized to the grid as `cv2.resize` does
            (bilinear, no antialias). None: each cell is a region (where cells do not
            divide the image the scripts leave out a border; here nothing is). In YAML a name, or
            {method: NAME} with its settings.
        grid_size: Cells along each side. A pixel is in cell floor(position * cells / side).
        set_size: Cells in a region; 1 without a prior.
        rounds: Regions to choose; None: all but one, as in the record.
        consistency_of: What "looks like" means. `score`: the explained score (CUB always, faces
            from July 2024 on). `embedding`: one minus the angle, over pi, between features (faces
            in 2023).
        score_of: Whose score that is: `target` or `prediction`, the class of the highest output.
        confidence: Weight of that score; 0 without an uncertainty network. A score of weight 0
            costs no pass.
        effectiveness: Weight of that score; like embeddings it needs a feature layer.
        consistency: Weight of that score.
        collaboration: Weight of that score.
        uncertainty: A network whose outputs are evidential logits. Its preprocessing is given
            the image in the size of the explained network's input.
        evidence_scale: a, see above: in the record 5 for faces, 1 for CUB.
        smooth: See `bench.attribution.regions.region_map`.
        cut_size: Side in pixels of the image that regions are cut from, where it is not that of the
            network's input. Each cut image is then preprocessed like any other, so that the resize
            blurs the regions' edges; so is the map at last, as uint8. The uncertainty network is
            given the cut images too. The record cuts at 224, EfficientNetV2-M takes 384.

    Raises:
        BenchError: An argument is out of range, or contradicts another one.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 4.0, 0.5, 2.0] * 3])
        >>> method = Smdl(None, grid_size=2, set_size=1, effectiveness=0)
        >>> explain(method, net, torch.ones(1, 3, 2, 2), [1], mean=0.0, std=1.0).tolist()
        [[[1.0, 3.0], [0.0, 2.0]]]
    """

    version = 2  # equal cells in numpy 1.23's order; angles in float32
    citation = "Chen et al. 2024, arXiv 2402.09164"
    places = ("uncertainty",)
    draws = False

    def __init__(
        self,
        prior: Method | None,
        grid_size: int = 10,
        set_size: int = 4,
        rounds: int | None = None,
        *,
        consistency_of: str = "score",
        score_of: str = "target",
        confidence: float = 0,
        effectiveness: float = 1,
        consistency: float = 1,
        collaboration: float = 1,
        uncertainty: Backbone | None = None,
        evidence_scale: float = 1,
        smooth: int | None = None,
        cut_size: int | None = None,
    ) -> None:
        _check_cells(prior, grid_size, set_size)
        self.num_sets = grid_size**2 // set_size
        self.rounds = _rounds_of(rounds, self.num_sets)
        self.prior = prior
        self.grid_size = grid_size
        self.set_size = set_size
        self.consistency_of = consistency_of
        self.score_of = score_of
        self.confidence = confidence
        self.effectiveness = effectiveness
        self.consistency = consistency
        self.collaboration = collaboration
        self.uncertainty = uncertainty
        self.evidence_scale = evidence_scale
        self.smooth = smooth
        self.cut_size = cut_size
        self._check_scores()
        self._check_sides()

    def _check_scores(self) -> None:
        require_known("consistency_of", self.consistency_of, ("score", "embedding"))
        require_known("score_of", self.score_of, ("target", "prediction"))
        for name in ("confidence", "effectiveness", "consistency", "collaboration"):
            require_number(name, getattr(self, name), -1e6, 1e6)
        if self.uncertainty is None and self.confidence != 0:
            raise BenchError(
                f"confidence: expected 0 without an uncertainty network, found {self.confidence}"
            )
        if self.uncertainty is not None:
            _check_uncertainty(self.uncertainty)
        require_number("evidence_scale", self.evidence_scale, 0, 1e6)

    def _check_sides(self) -> None:
        for name, side in (("smooth", self.smooth), ("cut_size", self.cut_size)):
            if side is None:
                continue
            require_integer(name, side, 1)
            if self.rounds > 255:
                raise BenchError(
                    f"{name}: expected at most 255 rounds, maps being uint8, found {self.rounds}"
                )

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without the layer of embeddings, where a score takes them."""
        super().check(backbone)
        compares = self.consistency != 0 or self.collaboration != 0
        if self.effectiveness != 0 or (compares and self.consistency_of == "embedding"):
            backbone.require_feature_layer()

    def passes(self, backbone: Backbone) -> Passes | None:
        """The prior's; one for each region; in each round one for each candidate and score.

        Passes through the uncertainty network count as those through the explained one. The image
        costs one more where its embedding or its prediction is needed.
        """
        candidates = sum(self.num_sets - done for done in range(self.rounds))
        scores = (self.confidence, self.consistency, self.collaboration)
        forward = candidates * sum(weight != 0 for weight in scores)
        if self.effectiveness != 0:
            forward += self.num_sets
        needs_image = self.consistency_of == "embedding" or self.score_of == "prediction"
        if needs_image and (self.consistency != 0 or self.collaboration != 0):
            forward += 1
        prior = Passes() if self.prior is None else self.prior.passes(backbone)
        return None if prior is None else Passes(prior.forward + forward, prior.backward)

    def identity(self, image_ids: Sequence[str]) -> dict[str, object]:
        """What decides the prior's maps, and the uncertainty network's weights."""
        found: dict[str, object] = {}
        if self.prior is not None:
            found["prior"] = {"version": self.prior.version} | self.prior.identity(image_ids)
        if self.uncertainty is not None:
            found["uncertainty"] = self.uncertainty.identity()
        return found

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x = batch.x
        sets = self._sets(scorer, batch).to(x.device)
        shown = self._inputs(scorer.backbone, scorer, batch, sets)
        ranks = _Search(self, scorer, batch, shown, sets).ranks()
        is_black = shown.is_black()
        ranks = ranks.gather(1, shown.set_of_pixel).view(*is_black.shape[:3], 1)
        # A channel that is 0 in the image cannot be told from one that is not shown.
        pixels = torch.where(is_black, self.rounds, ranks).cpu().numpy()
        height, width = x.shape[2:]
        maps = [region_map(image, self.rounds, self.smooth, (height, width)) for image in pixels]
        return torch.from_numpy(np.stack(maps)).to(x.device)

    def _inputs(
        self, network: Backbone, scorer: Scorer, batch: Batch, sets: Tensor
    ) -> "_Inputs | _CutInputs":
        """What shows regions to a network: the explained one, or the uncertainty network."""
        explained = scorer.backbone
        if self.cut_size is not None:
            to_size = replace(explained.preprocessing, size=self.cut_size).to_size
            pixels = np.stack([to_size(image) for image in batch.images])
            return _CutInputs(torch.from_numpy(pixels).to(sets.device), network.preprocess, sets)
        x = batch.x
        if network is not explained:
            to_size = explained.preprocessing.to_size
            x = network.preprocess([to_size(image) for image in batch.images]).to(sets.device)
        return _Inputs(x, network.to_input(torch.zeros(3)), sets)

    def _sets(self, scorer: Scorer, batch: Batch) -> Tensor:
        """Number of each cell's set, (B, grid_size, grid_size) int64; `num_sets`: in none."""
        side = self.grid_size
        if self.prior is None:
            return torch.arange(side**2).view(1, side, side).expand(len(batch.x), -1, -1)
        maps = in_one_channel(exact_floats(self.prior(scorer, batch).detach()))
        if not maps.isfinite().all():
            raise BenchError("prior: its maps hold NaN or infinite values")
        sets = np.empty((len(maps), side**2), dtype=np.int64)
        numbers = np.minimum(np.arange(side**2) // self.set_size, self.num_sets)
        for set_of_cell, values in zip(sets, maps.cpu().numpy(), strict=True):
            small = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
            set_of_cell[argsort_numpy_1_23(-small.ravel())] = numbers
        return torch.from_numpy(sets).view(-1, side, side)


def _check_cells(prior: Method | None, grid_size: int, set_size: int) -> None:
    if prior is not None and not isinstance(prior, Method):
        raise BenchError(f"prior: expected the name of a method or null, found {prior!r}")
    require_integer("grid_size", grid_size, 2)
    require_integer("set_size", set_size, 1)
    if prior is None and set_size != 1:
        raise BenchError(f"set_size: expected 1 without a prior, found {set_size}")
    if grid_size**2 // set_size < 2:
        raise BenchError(
            f"set_size: expected at most half of the grid's {grid_size**2} cells, found {set_size}"
        )


def _rounds_of(rounds: int | None, num_sets: int) -> int:
    """The rounds that are meant, by default all but one."""
    if rounds is None:
        return num_sets - 1
    require_integer("rounds", rounds, 1)
    if rounds > num_sets:
        raise BenchError(f"rounds: expected at most {num_sets}, found {rounds}")
    return rounds


def _check_uncertainty(network: Backbone) -> None:
    if not isinstance(network, Backbone):
        raise BenchError(f"uncertainty: expected _target_ to give a backbone, found {network!r}")
    if network.output_kind != "logits":
        raise BenchError(f"uncertainty: expected a network of logits, found {network.output_kind}")


class _Inputs:
    """Inputs of a network that show some of an image's regions on black.

    Black is put in after preprocessing, which works pixel by pixel once images have their size, so
    these are the inputs that images with black in them would become.

    Attributes:
        set_of_pixel: (B, H * W) int64; the number of sets: in none.
        black: (C, 1, 1).

    Args:
        x: (B, C, H, W) inputs.
        black: (C,) what black is among them.
        sets: (B, N, N) number of each cell's set.
    """

    def __init__(self, x: Tensor, black: Tensor, sets: Tensor) -> None:
        self.x = x
        self.black = black.to(x)[:, None, None]
        self.set_of_pixel = _enlarged(sets, x.shape[2:])

    def is_black(self) -> Tensor:
        """Which channels (B, H, W, C) are 0 in the images."""
        return (self.x == self.black).permute(0, 2, 3, 1)

    def __call__(self, images: Tensor, shown: Tensor) -> Tensor:
        """Images (n,) and which sets are shown (n, sets + 1) bool to inputs (n, C, H, W)."""
        mask = shown.gather(1, self.set_of_pixel[images]).view(-1, 1, *self.x.shape[2:])
        inputs = torch.where(mask, self.x[images], self.black)
        return inputs.contiguous(memory_format=torch.channels_last)


class _CutInputs:
    """Inputs of a network that show some of an image's regions, cut out before preprocessing.

    Attributes:
        set_of_pixel: (B, H * W) int64; the number of sets: in none.

    Args:
        pixels: (B, H, W, 3) uint8 that regions are cut from, RGB.
        preprocess: Images to inputs on the CPU.
        sets: (B, N, N) number of each cell's set.
    """

    def __init__(
        self,
        pixels: Tensor,
        preprocess: Callable[[Sequence[NDArray[np.uint8]]], Tensor],
        sets: Tensor,
    ) -> None:
        self.pixels = pixels
        self.set_of_pixel = _enlarged(sets, pixels.shape[1:3])
        self._preprocess = preprocess

    def is_black(self) -> Tensor:
        """Which channels (B, H, W, 3) are 0 in the images."""
        return self.pixels == 0

    def __call__(self, images: Tensor, shown: Tensor) -> Tensor:
        """Images (n,) and which sets are shown (n, sets + 1) bool to inputs (n, C, H', W')."""
        mask = shown.gather(1, self.set_of_pixel[images]).view(-1, *self.pixels.shape[1:3], 1)
        cut = (self.pixels[images] * mask).cpu().numpy()
        inputs = self._preprocess(list(cut)).to(self.pixels.device)
        return inputs.contiguous(memory_format=torch.channels_last)


def _enlarged(sets: Tensor, shape: Sequence[int]) -> Tensor:
    """The set (B, H * W) of each pixel, of those (B, N, N) of cells."""
    rows, columns = (
        torch.arange(side, device=sets.device) * sets.shape[-1] // side for side in shape
    )
    return sets[:, rows[:, None], columns].flatten(1)


class _Term(NamedTuple):
    """One of the scores that cost a pass for each candidate.

    Attributes:
        weight: In the sum.
        inputs: The inputs of the network that is asked.
        score: Inputs and the images they show parts of to scores (n,).
        of_rest: Whether the image without the set is scored, and one minus that counts.
    """

    weight: float
    inputs: _Inputs | _CutInputs
    score: Callable[[Tensor, Tensor], Tensor]
    of_rest: bool = False


class _Search:
    """The greedy search, for all images of a batch at once.

    Which sets are shown is (B, sets + 1) bool; the last column, for cells in no set, stays False.
    """

    def __init__(
        self,
        method: Smdl,
        scorer: Scorer,
        batch: Batch,
        inputs: _Inputs | _CutInputs,
        sets: Tensor,
    ) -> None:
        self.method = method
        self.scorer = scorer
        self.batch = batch
        self.inputs = inputs
        self.sets = sets
        self.device = batch.x.device
        self.images = torch.arange(len(batch.x), device=self.device)
        self.all_sets = torch.arange(method.num_sets + 1, device=self.device) < method.num_sets

    @torch.inference_mode()
    def ranks(self) -> Tensor:
        """(B, sets + 1) int64: the round in which a set is chosen; `rounds`: never."""
        count, rounds, num_sets = len(self.images), self.method.rounds, self.method.num_sets
        ranks = torch.full((count, num_sets + 1), rounds, device=self.device)
        shown = torch.zeros_like(ranks, dtype=torch.bool)
        candidates = torch.arange(num_sets, device=self.device).expand(count, -1)
        terms = self._terms()
        distances = self._distances() if self.method.effectiveness != 0 else None
        for done in range(rounds):
            total = torch.zeros(candidates.shape, dtype=torch.float64, device=self.device)
            for term in terms:
                total += term.weight * self._scores(term, shown, candidates)
            if distances is not None and done > 0:
                effect = _effectiveness(distances, shown[:, :-1], candidates)
                total += self.method.effectiveness * effect
            best = total.argmax(dim=1, keepdim=True)  # the first of equal ones
            chosen = candidates.gather(1, best)
            ranks.scatter_(1, chosen, done)
            shown.scatter_(1, chosen, True)
            left = torch.arange(num_sets - done - 1, device=self.device)
            candidates = candidates.gather(1, left + (left >= best))
        return ranks

    def _scores(self, term: _Term, shown: Tensor, candidates: Tensor) -> Tensor:
        """A term's scores (B, candidates) of what is shown with each candidate added."""

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            images = jobs // candidates.shape[1]
            sets = shown[images].scatter(1, candidates.flatten()[jobs][:, None], True)
            return term.inputs(images, ~sets & self.all_sets if term.of_rest else sets), images

        jobs, batch_size = candidates.numel(), self.scorer.batch_size
        found = score_in_batches(term.score, build, jobs, batch_size, self.device)
        return (1 - found if term.of_rest else found).view(candidates.shape)

    def _terms(self) -> list[_Term]:
        """The scores that cost passes and count."""
        method, terms = self.method, []
        if method.uncertainty is not None and method.confidence != 0:
            terms.append(self._confidence(method.uncertainty.to(self.device)))
        if method.consistency != 0 or method.collaboration != 0:
            likeness = self._likeness()
            terms.append(_Term(method.consistency, self.inputs, likeness))
            terms.append(_Term(method.collaboration, self.inputs, likeness, of_rest=True))
        return [term for term in terms if term.weight != 0]

    def _confidence(self, network: Backbone) -> _Term:
        """The uncertainty network's."""
        scale = self.method.evidence_scale
        inputs = self.method._inputs(network, self.scorer, self.batch, self.sets)

        def score(x: Tensor, _: Tensor) -> Tensor:
            outputs = network.outputs(x)
            self.scorer.on_forward(len(x))
            strengths = torch.exp((scale * outputs).clamp(-10, 10)) + 1
            return 1 - outputs.shape[1] / strengths.sum(dim=1)

        return _Term(self.method.confidence, inputs, score)

    def _likeness(self) -> Callable[[Tensor, Tensor], Tensor]:
        """How much inputs look like the images that they show parts of."""
        scorer, targets = self.scorer, self.batch.targets
        shown = self.all_sets.expand(len(self.images), -1)
        if self.method.consistency_of == "embedding":
            whole = _directions(self._collect(scorer.features, self.images, shown))

            def similarity(x: Tensor, images: Tensor) -> Tensor:
                cosines = (_directions(scorer.features(x)) * whole[images]).sum(dim=1)
                return 1 - _angles(cosines)

            return similarity
        if self.method.score_of == "prediction":
            targets = self._collect(scorer.outputs, self.images, shown).argmax(dim=1)
        return lambda x, images: scorer(x, targets[images])

    def _distances(self) -> Tensor:
        """Angles over pi between regions shown alone, (B, sets, sets) float32; to itself inf."""
        num_sets = self.method.num_sets
        images = self.images.repeat_interleave(num_sets)
        alone = torch.eye(num_sets, num_sets + 1, dtype=torch.bool, device=self.device)
        shown = alone.repeat(len(self.images), 1)
        features = _directions(self._collect(self.scorer.features, images, shown))
        itself = torch.full((num_sets,), math.inf, device=self.device).diag()
        # An image at a time: products of one shape have the same bits in any company.
        of_images = features.view(len(self.images), num_sets, -1)
        return torch.stack([_angles(each @ each.T) + itself for each in of_images])

    def _collect(self, ask: Callable[[Tensor], Tensor], images: Tensor, shown: Tensor) -> Tensor:
        """What the network says (n, D) of images (n,) of which some sets are shown, in batches."""
        batches = fixed_batches(len(images), self.scorer.batch_size, self.device)
        return torch.cat(
            [
                ask(self.inputs(images[i], shown[i]))[: items.stop - items.start].clone()
                for i, items in batches
            ]
        )


def _effectiveness(distances: Tensor, shown: Tensor, candidates: Tensor) -> Tensor:
    """Sums of distances to the nearest other member, when a candidate joins what is shown.

    Args:
        distances: (B, sets, sets) float32, inf on the diagonal.
        shown: (B, sets) bool, at least one of each image.
        candidates: (B, n) int64.

    Returns:
        (B, n) float32.
    """
    nearest = distances.masked_fill(~shown[:, None], math.inf).amin(dim=2)  # shown, not itself
    to_candidates = distances.gather(2, candidates[:, None].expand(-1, shown.shape[1], -1))
    joined = torch.minimum(nearest[:, :, None], to_candidates)
    return joined.masked_fill(~shown[:, :, None], 0).sum(dim=1) + nearest.gather(1, candidates)


def _directions(features: Tensor) -> Tensor:
    """Features (n, D) to unit vectors, float32 as in the authors' code.

    Near 1 an angle magnifies its cosine's rounding, by up to 4e-5; more digits would be better, but
    would be other numbers than theirs.
    """
    return functional.normalize(features.float())


def _angles(cosines: Tensor) -> Tensor:
    """Angles over pi, in [0, 1]."""
    return cosines.clamp(-1, 1).arccos() / math.pi
