"""The contract that every shipped method keeps, and each method's own numbers."""

import copy
import tempfile
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf
from toy import IDS, SIZE, backbone, linear_scorer, make_batch, transformer

from bench.attribution.cam import GradCAM
from bench.attribution.control import Blurred, Center, Constant, Edge, Inverted, Random
from bench.attribution.gradient import GradientInput, Saliency
from bench.attribution.masking import OriginalRise, Rise, _Masks, _OriginalMasks
from bench.attribution.method import require_declared
from bench.attribution.scorer import Scorer
from bench.config.choices import known_names
from bench.config.composing import name_other_methods
from bench.errors import BenchError

CONF = Path(__file__).parents[2] / "conf" / "method"
DRAWS = (
    "random rise rise_500 rise_original smooth_grad square_grad var_grad lime kernel_shap".split()
)

OTHERS_CODE = "captum function pytorch_grad_cam".split()
"""Whether it draws is not known."""

TRANSFORMERS = (
    "attention_rollout attention_grad_cam gradient_rollout transformer_attribution legrad".split()
)


@cache
def made_elsewhere():
    """A folder of maps of the toy batch."""
    folder = Path(tempfile.mkdtemp())
    for number, image_id in enumerate(IDS):
        np.save(folder / f"{image_id}.npy", np.random.default_rng(number).random((SIZE, SIZE)))
    return folder


def shipped_method(name):
    """A method as its YAML says, but for what would take long or is not there."""
    node = yaml.safe_load((CONF / f"{name}.yaml").read_text())[name]
    assert node.pop("label") == name
    node.pop("published", None)
    node.pop("title", None)
    if node.get("root") == "???":
        node["root"] = str(made_elsewhere())
    if node.get("uncertainty"):
        node["uncertainty"] = {"_target_": "toy.backbone"}
    code = {"function": "adapted.gradient", "cam": "adapted.GradCam"}  # of others, in the tests
    node |= {key: value for key, value in code.items() if key in node}
    config = OmegaConf.create({"method": {name: node}})
    name_other_methods(config)
    node = OmegaConf.to_container(config.method[name])
    few = {"num_masks": 11, "num_samples": 11, "steps": 11, "num_designs": 8}
    few |= {"grid_size": 3, "set_size": 2}
    for settings in (node, node.get("prior") or {}):
        settings |= {key: value for key, value in few.items() if key in settings}
    return instantiate(node)


def network(name):
    """A toy network with all that a method may ask for."""
    return transformer() if name in TRANSFORMERS else backbone(feature_layer="last")


@pytest.mark.parametrize("name", known_names("method"))
class TestContract:
    def maps(self, name, batch, batch_size=4):
        return shipped_method(name)(Scorer(network(name), "probability", batch_size), batch)

    def test_shape_type_and_finite(self, name):
        maps = self.maps(name, make_batch())
        channels = (3,) if shipped_method(name).keeps_channels else ()
        assert maps.shape == (5, *channels, SIZE, SIZE)
        assert maps.dtype == (torch.float64 if name == "stored" else torch.float32)
        assert maps.isfinite().all()
        assert not maps.requires_grad

    def test_seeded(self, name):
        maps = self.maps(name, make_batch())
        assert torch.equal(maps, self.maps(name, make_batch()))
        draws = name in DRAWS
        assert torch.equal(maps, self.maps(name, make_batch(seed=1))) == (not draws)
        assert shipped_method(name).may_draw == (draws or name in OTHERS_CODE)

    @pytest.mark.usefixtures("two_threads")
    def test_same_bits_in_any_company(self, name):
        """A map depends neither on the order nor on the number of the other images."""
        every = self.maps(name, make_batch())
        shuffled = self.maps(name, make_batch([IDS[i] for i in (3, 0, 4, 2, 1)]))
        assert torch.equal(shuffled, every[[3, 0, 4, 2, 1]])
        alone = self.maps(name, make_batch([IDS[2]]))
        assert torch.equal(alone[0], every[2])

    def test_same_within_tolerance_for_any_batch_size(self, name):
        maps, others = (self.maps(name, make_batch(), size) for size in (4, 3))
        assert (maps - others).abs().max() <= 1e-5 * maps.abs().max()

    def test_passes_are_as_many_as_told(self, name):
        forward, backward = [], []
        scorer = Scorer(
            network(name), "probability", 1, on_forward=forward.append, on_backward=backward.append
        )
        method = shipped_method(name)
        method(scorer, make_batch(IDS[:1]))
        if method.forward_passes is None:  # nobody knows
            assert method.passes(network(name)) is None
        else:
            assert (sum(forward), sum(backward)) == method.passes(network(name))

    def test_network_and_inputs_are_left_as_they_were(self, name):
        scorer, batch = Scorer(network(name), "probability", 4), make_batch()
        before = copy.deepcopy(scorer.backbone.module.state_dict())
        x = batch.x.clone()
        shipped_method(name)(scorer, batch)
        after = scorer.backbone.module.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert torch.equal(batch.x, x)
        assert not any(module._forward_hooks for module in scorer.backbone.module.modules())
        assert not any(module.training for module in scorer.backbone.module.modules())


def test_saliency_and_gradient_input_of_a_linear_model():
    scorer, module = linear_scorer()
    batch = make_batch()
    weight = module.weight[batch.targets]
    assert torch.allclose(Saliency()(scorer, batch), weight.abs().amax(dim=1))
    assert torch.allclose(GradientInput()(scorer, batch), (batch.x * weight).mean(dim=1), atol=1e-6)


def test_grad_cam_by_hand():
    scorer, batch = Scorer(backbone(), "logit", 4), make_batch()
    module = scorer.backbone.module
    raw = module.last(torch.relu(module.norm(module.first(batch.x)))).detach()
    gradients = module.head.weight[batch.targets][:, :, None, None] / raw[0, 0].numel() * (raw > 0)
    small = (gradients.mean(dim=(2, 3), keepdim=True) * raw).sum(dim=1).relu().numpy()
    maps = GradCAM()(scorer, batch).numpy()
    for saliency, cam in zip(maps, small, strict=True):
        expected = cv2.resize(cam, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
        assert np.abs(saliency - expected).max() <= 1e-4 * np.abs(expected).max()


def slow_rise(scorer, batch, method):
    """RISE one image and one mask at a time, with the draws of the fast one."""
    masks = _Masks(method, batch.seed, (SIZE, SIZE), torch.device("cpu"))
    side = int(SIZE * (1 + 1 / method.grid_size))
    maps = np.zeros((len(batch.x), SIZE, SIZE))
    for image in range(len(batch.x)):
        weighted, total = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
        for number in range(method.num_masks):
            large = cv2.resize(
                masks.grids[number, 0].numpy(), (side, side), interpolation=cv2.INTER_LINEAR
            )
            top, left = masks.offsets[number].tolist()
            mask = large[top : top + SIZE, left : left + SIZE]
            masked = batch.x[image] * torch.from_numpy(mask)
            with torch.no_grad():
                score = scorer(masked[None], batch.targets[image : image + 1]).item()
            weighted += score * mask
            total += mask
        maps[image] = weighted / (total + 1e-4)
    return maps


@pytest.mark.parametrize("num_masks", [11, 64, 70])
def test_rise_equals_a_slow_loop(num_masks):
    scorer, batch, method = Scorer(backbone(), "probability", 4), make_batch(), Rise(num_masks, 5)
    expected = slow_rise(scorer, batch, method)
    found = method(scorer, batch).numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_original_rise_divides_by_the_number_of_masks_shown_on_average():
    """Constant scores give the mean mask, which is flat only in Xplique's form."""
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    monotone = scorer.backbone.module.head
    with torch.no_grad():
        monotone.weight.zero_()
        monotone.bias.zero_()  # all probabilities are 1/4
    method = OriginalRise(30, 5, 0.25)
    masks = _OriginalMasks(method, batch.seed, (SIZE, SIZE), torch.device("cpu"))
    expected = masks(torch.arange(30)).sum(dim=0) / 4 / (30 * 0.25)
    found = method(scorer, batch)
    assert (found - expected).abs().max() <= 1e-6
    flat = Rise(30, 5, 0.25)(scorer, batch)
    assert (flat.std(), found.std() > 0.01) == (pytest.approx(0, abs=1e-4), True)


@pytest.mark.parametrize(
    ("size", "grid_size", "enlarged"), [(224, 10, 253), (30, 7, 40), (9, 1, 18)]
)
def test_original_masks_have_whole_cells_and_use_every_offset(size, grid_size, enlarged):
    method = OriginalRise(2000, grid_size, 0.3)
    masks = _OriginalMasks(method, 0, (size, size), torch.device("cpu"))
    assert masks.enlarged == [enlarged, enlarged]
    cell = -(-size // grid_size)
    assert sorted(set(masks.offsets[:, 0].tolist())) == list(range(cell))
    shown = masks(torch.arange(40))
    assert shown.shape == (40, size, size)
    assert 0 <= shown.min() <= shown.max() <= 1


def test_original_masks_of_oblong_images():
    masks = _OriginalMasks(OriginalRise(6, 4), 3, (30, 41), torch.device("cpu"))
    assert masks.enlarged == [40, 55]
    assert masks(torch.arange(6)).shape == (6, 30, 41)


def test_rise_masks_are_a_prefix_of_those_of_a_longer_run():
    short, long = (_Masks(Rise(n), 3, (30, 40), torch.device("cpu")) for n in (6, 50))
    assert torch.equal(short.grids, long.grids[:6])
    assert torch.equal(short.offsets, long.offsets[:6])


def test_rise_masks_have_their_probability_and_use_every_offset():
    masks = _Masks(Rise(4000, 7, 0.3), 0, (SIZE, SIZE), torch.device("cpu"))
    assert masks.grids.mean().item() == pytest.approx(0.3, abs=0.01)
    assert sorted(set(masks.offsets[:, 0].tolist())) == [0, 1, 2, 3]  # int(23 * 8 / 7) - 23
    shown = masks(torch.arange(4000))
    assert shown.shape == (4000, SIZE, SIZE)
    assert shown.mean().item() == pytest.approx(0.3, abs=0.01)


def test_random_is_keyed_by_seed_and_image():
    maps = Random()(None, make_batch())
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(maps, Random()(None, make_batch(seed=1)))


def test_center_peaks_in_the_middle_and_is_symmetric():
    (bump,) = Center(0.25)(None, make_batch(IDS[:1]))
    assert bump.argmax().item() == (SIZE * SIZE) // 2
    assert torch.allclose(bump, bump.flip(0))
    assert torch.allclose(bump, bump.T)
    # One standard deviation off the middle in one direction: exp(-1/2) of the peak.
    wide = Center(4 / SIZE)(None, make_batch(IDS[:1]))[0]
    assert (wide[SIZE // 2, SIZE // 2 + 4] / wide.max()).item() == pytest.approx(np.exp(-0.5))


def test_constant_maps_tie_everywhere():
    assert (Constant()(None, make_batch()) == 0).all()


def test_inverted_and_blurred_change_the_other_methods_maps():
    batch, noise = make_batch(), Random()(None, make_batch())
    assert torch.equal(Inverted(Random())(None, batch), -noise)
    sigma = 0.05 * SIZE
    for blurred, map_ in zip(Blurred(Random(), 0.05)(None, batch), noise, strict=True):
        side = 2 * int(3 * sigma + 0.5) + 1
        expected = cv2.GaussianBlur(map_.numpy(), (side, side), sigma)
        assert np.abs(blurred.numpy() - expected).max() <= 1e-5


@pytest.mark.parametrize("control", [Inverted, Blurred])
def test_a_changed_method_is_known_by_the_other_one(control):
    class Other(Random):
        version = 7
        forward_passes = 3

        def identity(self, image_ids):
            return {"count": len(image_ids)}

    made = control(Other())
    assert (made.version, made.passes(backbone()), made.identity(["a"])) == (
        7,
        (3, 0),
        {"count": 1},
    )
    with pytest.raises(BenchError, match="of: expected the name of a method, found 'saliency'"):
        control("saliency")


def test_edge_is_the_sobel_magnitude():
    batch = make_batch()
    maps = Edge()(None, batch).numpy()
    for edges, x in zip(maps, batch.x.mean(dim=1).numpy(), strict=True):
        across = cv2.Sobel(x, cv2.CV_32F, 1, 0, scale=1 / 8)
        down = cv2.Sobel(x, cv2.CV_32F, 0, 1, scale=1 / 8)
        assert np.abs(edges - np.hypot(across, down)).max() <= 1e-5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Rise(num_masks=-3), "num_masks: expected an integer >= 1, found -3"),
        (lambda: Rise(num_masks=2.0), "found 2.0"),
        (lambda: Rise(grid_size=0), "grid_size"),
        (lambda: Rise(probability=0), "probability"),
        (lambda: Rise(probability=1.5), "probability"),
        (lambda: Center(sigma=0), "sigma"),
        (lambda: Blurred(Random(), sigma=0.3), "sigma"),
    ],
)
def test_values_out_of_range(build, message):
    with pytest.raises(BenchError, match=message):
        build()


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"forward_passes": "many"}, "forward_passes: expected an integer >= 0, found 'many'"),
        ({"backward_passes": -5}, "backward_passes: expected an integer >= 0, found -5"),
        ({"version": "two"}, "version: expected an integer >= 0, found 'two'"),
        ({"citation": 5}, "citation: expected text, found 5"),
    ],
)
def test_what_a_method_declares_has_the_types_of_the_contract(declared, message):
    require_declared("method.mine", Random())
    with pytest.raises(BenchError, match=f"^method.mine.{message}$"):
        require_declared("method.mine", type("Mine", (Random,), declared)())
