import numpy as np
import pytest
import torch
from toy import LinearModel

from bench.errors import BenchError
from bench.metrics.perturbation import TIE_RULES, curves, order_pixels, perturb, tied_fraction

HEIGHT, WIDTH = 7, 9  # 63 pixels: 10 steps do not divide them
COUNTS = torch.from_numpy(np.linspace(0, 63, 11, dtype=np.int32))


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def tied_maps():
    """A map of five values, a constant one, one half zero, one of two values and infinities."""
    some = (rand(4, HEIGHT, WIDTH) * 5).floor()
    some[1] = 3
    some[2] = (rand(HEIGHT, WIDTH, seed=1) - 0.5).relu()
    some[3] = (rand(HEIGHT, WIDTH, seed=2) > 0.5) * 1.0
    return some


@pytest.mark.parametrize("ties", TIE_RULES)
@pytest.mark.parametrize("maps", [rand(3, HEIGHT, WIDTH) - 0.5, tied_maps()])
def test_orders_are_permutations_in_descending_order(ties, maps):
    order = order_pixels(maps, ties)
    assert order.dtype == torch.int32
    for saliency, pixels in zip(maps.flatten(1), order.long(), strict=True):
        assert sorted(pixels.tolist()) == list(range(63))
        assert (saliency[pixels][:-1] >= saliency[pixels][1:]).all()


def test_stable_ties_keep_raster_order():
    assert order_pixels(torch.zeros(1, 3, 4)).flatten().tolist() == list(range(12))


def test_stable_order_is_that_of_the_floats():
    """Signs, both zeros, infinities, subnormals and ties."""
    values = [0.0, -0.0, 1e-45, -1e-45, 1.5, -1.5, torch.inf, -torch.inf, 3e38, -3e38, 1.5, 0.0]
    maps = torch.cat([torch.tensor(values).view(1, 3, 4), rand(1, 3, 4) - 0.5, -rand(1, 3, 4)])
    expected = maps.flatten(1).argsort(dim=1, descending=True, stable=True)
    assert torch.equal(order_pixels(maps).long(), expected)


@pytest.mark.parametrize("ties", TIE_RULES)
@pytest.mark.parametrize("change", [lambda m: m * 1e-60, lambda m: 1 + m * 1e-9, lambda m: -m])
def test_float64_maps_are_ordered_in_float64(ties, change):
    maps = change(rand(3, HEIGHT, WIDTH).double())
    expected = maps.flatten(1).argsort(dim=1, descending=True)
    found = order_pixels(maps, ties)
    assert torch.equal(found.long(), expected)
    assert tied_fraction(maps, found).tolist() == [0, 0, 0]


@pytest.mark.parametrize("ties", TIE_RULES)
def test_dtypes_that_floats_hold_are_ordered_as_they_are(ties):
    """Integers whose neighbours float32 rounds to one value; few levels in what is narrower."""
    ranks = torch.randperm(63, generator=torch.Generator().manual_seed(0)).view(1, 7, 9)
    for first, dtype in ((2**24, torch.int32), (2**53 - 63, torch.int64), (1 - 2**53, torch.int64)):
        found = order_pixels((ranks + first).to(dtype), ties)
        assert torch.equal(found.long(), ranks.flatten(1).argsort(descending=True))
    narrow = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16]
    for dtype in narrow:
        maps = (ranks % 5).to(dtype)
        assert torch.equal(order_pixels(maps, ties), order_pixels(maps.float(), ties)), dtype


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (torch.tensor([[[2**53, 2**53 + 1]]]), r"expected integers below 2\*\*53"),
        (torch.tensor([[[-(2**53) - 2, 0]]]), r"torch\.int64"),
        (torch.ones(1, 2, 2, dtype=torch.complex64), "expected real numbers, found torch.complex"),
    ],
)
def test_maps_that_no_float_holds_are_refused(maps, message):
    with pytest.raises(BenchError, match=message):
        order_pixels(maps)


def test_running_numpy_is_reversed_argsort_of_the_running_numpy():
    maps = torch.cat([tied_maps(), rand(2, HEIGHT, WIDTH)])
    order = np.argsort(maps.flatten(1).numpy(), axis=-1)[:, ::-1]
    assert (order_pixels(maps, "running_numpy").numpy() == order).all()


def test_unknown_tie_rule():
    with pytest.raises(BenchError, match=r"'stabel'.*Did you mean 'stable'"):
        order_pixels(torch.zeros(1, 2, 2), "stabel")


def test_tied_fraction():
    maps = torch.tensor([[1.0, 2, 3, 4], [1, 1, 2, 3], [5, 5, 5, 5], [1, 1, 2, 2]])
    maps = maps.view(4, 2, 2)
    for ties in TIE_RULES:
        assert tied_fraction(maps, order_pixels(maps, ties)).tolist() == [0, 0.5, 1, 1]


def ranks_of(order, height, width):
    return order.argsort(dim=1).view(-1, 1, height, width)


def test_perturb_replaces_all_channels_of_the_first_pixels():
    x, order = rand(2, 3, 2, 3), order_pixels(rand(2, 2, 3, seed=1))
    for count, z in zip(
        [0, 2, 2, 5], perturb(x, torch.full((1, 3, 1, 1), 9.0), order, [0, 2, 2, 5]), strict=True
    ):
        for image in range(2):
            replaced = ranks_of(order, 2, 3)[image, 0] < count
            assert replaced.sum() == count
            assert (z[image, :, replaced] == 9).all()
            assert (z[image, :, ~replaced] == x[image, :, ~replaced]).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_perturb_is_where_to_the_bit(dtype):
    """Zeros keep their sign; infinities and NaN pass through; the arguments stay as they are."""
    odd = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 1e-7], dtype=dtype)
    x, order = odd.expand(2, 3, 5, 6).contiguous(), order_pixels(rand(2, 5, 6))
    last = x.to(memory_format=torch.channels_last)
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[dtype.itemsize]
    color = torch.tensor([0.0, 1, 2], dtype=dtype).view(1, 3, 1, 1)
    for start, end in [(x, -x.flip(3)), (x, color), (color, x), (-x[:1], x), (last, -last)]:
        before = start.clone(), end.clone()
        for count, z in zip([7, 29, 30], perturb(start, end, order, [7, 29, 30]), strict=True):
            expected = torch.where(ranks_of(order, 5, 6) < count, end, start)
            assert z.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(z.contiguous().view(bits), expected.contiguous().view(bits))
        for batch, kept in zip((start, end), before, strict=True):
            assert torch.equal(batch.contiguous().view(bits), kept.contiguous().view(bits))


def linear_case(maps, seed=0):
    """A linear model, its inputs, and scores of clean and zero images."""
    model = LinearModel(classes=5, channels=3, height=HEIGHT, width=WIDTH, seed=seed)
    x = rand(len(maps), 3, HEIGHT, WIDTH, seed=seed + 1)
    targets = torch.arange(len(maps)) % 5
    return model, x, targets, (model.weight[targets] * x).sum(dim=1)


@pytest.mark.parametrize("ties", TIE_RULES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("maps", [rand(4, HEIGHT, WIDTH), tied_maps()])
def test_linear_model_has_closed_form_curves(maps, batch_size, sign, ties):
    """Inserted pixels add their contribution, deleted ones take it away, in the map's order."""
    maps = sign * maps  # both orders: the most and the least important first
    model, x, targets, contributions = linear_case(maps)
    order = order_pixels(maps, ties)
    sums = contributions.flatten(1).gather(1, order.long()).cumsum(dim=1)
    inserted = torch.cat([torch.zeros(len(maps), 1), sums], dim=1)[:, COUNTS.long()]
    total = contributions.flatten(1).sum(dim=1)

    zero, nothing = torch.zeros(1, 3, 1, 1), torch.zeros(len(maps))
    images = torch.arange(len(maps))

    def score(z, t):
        return model(z).gather(1, t[:, None])[:, 0]

    shared = {"images": images, "counts": COUNTS, "batch_size": batch_size}
    insertion = curves(
        score, zero, x, targets, order, start_scores=nothing, end_scores=total, **shared
    )
    deletion = curves(
        score, x, zero, targets, order, start_scores=total, end_scores=nothing, **shared
    )
    scale = inserted.abs().max()
    assert (insertion - inserted).abs().max() <= 1e-5 * scale
    assert (deletion - (total[:, None] - inserted)).abs().max() <= 1e-5 * scale


def test_several_maps_of_one_image_share_its_end_points():
    model, x, targets, contributions = linear_case(torch.zeros(2, HEIGHT, WIDTH))
    total = contributions.flatten(1).sum(dim=1)
    images = torch.tensor([0, 1, 1, 0, 1])
    order = order_pixels(rand(5, HEIGHT, WIDTH, seed=3))
    out = curves(
        lambda z, t: model(z).gather(1, t[:, None])[:, 0],
        x, torch.zeros(1, 3, 1, 1), targets, order, images=images, counts=COUNTS,
        start_scores=total, end_scores=torch.zeros(2), batch_size=4,
    )  # fmt: skip
    assert torch.equal(out[:, 0], total[images])
    assert (out[:, -1] == 0).all()
    assert len(torch.unique(out[:, 5])) == 5


def test_repeated_counts_where_steps_outnumber_pixels():
    model, x, targets, contributions = linear_case(torch.zeros(1, HEIGHT, WIDTH))
    total = contributions.flatten(1).sum(dim=1)
    counts = torch.from_numpy(np.linspace(0, 63, 101, dtype=np.int32))
    order = order_pixels(rand(1, HEIGHT, WIDTH))
    out = curves(
        lambda z, t: model(z).gather(1, t[:, None])[:, 0],
        torch.zeros(1, 3, 1, 1), x, targets, order, images=torch.zeros(1, dtype=torch.int64),
        counts=counts, start_scores=torch.zeros(1), end_scores=total, batch_size=8,
    )  # fmt: skip
    assert out.shape == (1, 101)
    assert (out[0, counts == 63] == total).all()


def test_as_slow_loop_over_images_and_steps():
    """Equal to writing pixels one image and one step at a time, as the reference does."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 63, 4), torch.nn.Softmax(1))
    x, base = rand(3, 3, HEIGHT, WIDTH), rand(3, 3, HEIGHT, WIDTH, seed=5)
    maps, targets = rand(3, HEIGHT, WIDTH, seed=6), torch.tensor([1, 3, 0])
    expected = np.zeros((3, 11), dtype=np.float32)
    for image in range(3):
        order = np.argsort(maps[image].flatten().numpy())[::-1]
        for step, count in enumerate(COUNTS.tolist()):
            z = base[image].clone().flatten(1)
            chosen = order[:count].copy()
            z[:, chosen] = x[image].flatten(1)[:, chosen]
            output = model(z.view(1, 3, HEIGHT, WIDTH))
            expected[image, step] = output[0, targets[image]].item()

    def score(z, t):
        return model(z).gather(1, t[:, None])[:, 0]

    with torch.no_grad():
        ends = {"start_scores": score(base, targets), "end_scores": score(x, targets)}
        order = order_pixels(maps, "running_numpy")
        out = curves(
            score, base, x, targets, order, images=torch.arange(3), counts=COUNTS, batch_size=5,
            **ends,
        )  # fmt: skip
    assert np.abs(out.numpy() - expected).max() <= 1e-6


@pytest.mark.parametrize(("maps", "batch_size"), [(5, 3), (2, 7), (6, 3), (1, 4)])
def test_batches_are_full_and_no_pass_is_made_twice(maps, batch_size):
    """As many maps as a batch holds, a remainder, and fewer maps than a batch holds."""
    _, x, targets, _ = linear_case(torch.zeros(maps, HEIGHT, WIDTH))
    seen = []

    def score(z, t):
        assert z.is_contiguous(memory_format=torch.channels_last)
        seen.append(z.clone())
        z.zero_()  # a network may change its input in place
        return t.float()

    ends = {"start_scores": torch.zeros(maps), "end_scores": torch.ones(maps)}
    order = order_pixels(rand(maps, HEIGHT, WIDTH, seed=3))
    zero, every = torch.zeros(1, 3, 1, 1), torch.arange(maps)
    out = curves(
        score, x, zero, targets, order, images=every, counts=COUNTS, batch_size=batch_size, **ends
    )
    assert (out[:, 1:-1] == targets[:, None]).all()
    assert {len(batch) for batch in seen} == {batch_size}
    assert len(seen) == -(-maps * 9 // batch_size)
    distinct = {image.numpy().tobytes() for image in torch.cat(seen).contiguous()}
    expected = {
        image.contiguous().numpy().tobytes()
        for point in perturb(x, zero, order, COUNTS[1:-1].tolist())
        for image in point
    }
    assert distinct == expected
    assert len(expected) == maps * 9
