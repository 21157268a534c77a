"""`bench.evaluate`: what users have in notebooks, to rows that the command line reads."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from toy import SIZE, ConvModel, Faces, LinearModel

import bench
from bench.attribution.control import Random
from bench.backbones.backbone import Preprocessing
from bench.cli import main
from bench.errors import BenchError, BenchWarning


@pytest.fixture
def network():
    return ConvModel().eval()


@pytest.fixture
def images():
    draws = torch.Generator().manual_seed(1)
    return torch.rand(5, 3, SIZE, SIZE, generator=draws), torch.tensor([0, 3, 1, 2, 2])


def mine(model, x, targets):
    """Input times gradient, in absolute values."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)
    return (x * gradient).abs().sum(1).detach()


def columns(result, label):
    rows = result.rows[result.rows["label"] == label]
    return rows[["insertion_auc", "deletion_auc"]].to_numpy()


def test_areas_are_those_of_the_maps(network, images, tmp_path):
    """The same maps by another door: `insertion_deletion` of what the function gives."""
    result = bench.evaluate(network, images, {"mine": mine}, results_dir=tmp_path)
    module = nn.Sequential(network, nn.Softmax(dim=1))
    maps = mine(module, *images)
    expected = bench.insertion_deletion(network, *images, maps, "xplique-probability")
    np.testing.assert_allclose(columns(result, "mine")[:, 0], expected.insertion_auc, atol=1e-6)
    np.testing.assert_allclose(columns(result, "mine")[:, 1], expected.deletion_auc, atol=1e-6)
    assert result.rows["image_id"].tolist() == ["0", "1", "2", "3", "4"]
    assert result.rows["target"].tolist() == images[1].tolist()


def test_a_row_of_several_draws(network, images, tmp_path):
    result = bench.evaluate(
        network, images, {"random": "random", "edge": "edge"}, results_dir=tmp_path, seeds=3
    )
    board = result.leaderboard().set_index("method")
    assert board["draws"].to_dict() == {"random": 3, "edge": 1}
    assert result.rows.groupby(["label", "seed"]).size().to_dict() == {
        ("edge", 0): 5, ("random", 0): 5, ("random", 1): 5, ("random", 2): 5,
    }  # fmt: skip
    of_seeds = result.rows[result.rows["label"] == "random"].groupby("seed")["insertion_auc"].mean()
    assert board.loc["random", "insertion_auc"] == pytest.approx(of_seeds.mean())
    assert board.loc["random", "insertion_draws_sd"] == pytest.approx(of_seeds.std())
    assert "mean of 3 draws" in result.to_markdown()
    with pytest.raises(BenchError, match="seeds: expected an integer >= 1"):
        bench.evaluate(network, images, "random", results_dir=tmp_path, seeds=0)


def test_maps_of_explain_are_those_that_are_judged(network, images, tmp_path):
    given = {"label": "rise", "num_masks": 30}
    result = bench.evaluate(
        network, images, {"rise": {"num_masks": 30}, "grad_cam": "grad_cam"}, results_dir=tmp_path
    )
    for label, settings in (("rise", {"num_masks": given["num_masks"]}), ("grad_cam", {})):
        maps = bench.explain(label, network, *images, score="probability", **settings)
        found = bench.insertion_deletion(network, *images, maps, "xplique-probability")
        np.testing.assert_allclose(columns(result, label)[:, 0], found.insertion_auc, atol=1e-6)


def test_nothing_is_computed_twice(network, images, tmp_path, monkeypatch):
    calls, call = [], Random.__call__

    def counted(self, scorer, batch):
        calls.append(len(batch.x))
        return call(self, scorer, batch)

    monkeypatch.setattr(Random, "__call__", counted)
    first, again = (
        bench.evaluate(network, images, [Random()], results_dir=tmp_path) for _ in range(2)
    )
    assert sum(calls) == 5
    pd.testing.assert_frame_equal(first.rows, again.rows)
    assert first.rows["label"].unique().tolist() == ["random"]


def edited(factor):
    """The next edition of a function of one name."""

    def mine(model, x, targets):
        return x.sum(1) * factor

    return mine


def test_an_edited_function_gets_no_old_rows(network, images, tmp_path):
    results = [
        bench.evaluate(network, images, {"mine": edited(factor)}, results_dir=tmp_path)
        for factor in (1, -1, 1)
    ]
    first, second, third = (columns(result, "mine") for result in results)
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, third)
    keys = [result.runs[0].key for result in results]
    assert keys[0] == keys[2] != keys[1]


def test_an_earlier_edition_leaves_the_leaderboard(network, images, tmp_path):
    for factor in (1, -1):
        result = bench.evaluate(
            network, images, {"mine": edited(factor), "random": "random"}, results_dir=tmp_path
        )
    board = bench.load_rows(tmp_path, result.name)
    assert sorted(board["label"].unique()) == ["mine", "random"]
    np.testing.assert_array_equal(
        board.loc[board["label"] == "mine", "insertion_auc"], columns(result, "mine")[:, 0]
    )
    every = [*(tmp_path / "runs").glob("*/*/manifest.json")]
    assert len(every) == 3  # the rows of the first edition stay


def test_an_edited_network_gets_no_old_rows(images, tmp_path):
    class Net(nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor
            self.layer = LinearModel(4, 3, SIZE, SIZE)

        def forward(self, x):
            return self.layer(x) * self.factor

    results = [
        bench.evaluate(Net(factor).eval(), images, "random", results_dir=tmp_path)
        for factor in (0.01, 0.02)
    ]
    assert not np.allclose(columns(results[0], "random"), columns(results[1], "random"))
    assert (results[0].leaderboard()["backbone"] == "Net").all()


def test_what_cannot_be_told_is_computed_anew(network, images, tmp_path):
    calls, unknown = [], (each for each in range(10**6))

    def drawn(model, x, targets):
        calls.append(next(unknown))
        return x.sum(1)

    for _ in range(2):
        with pytest.warns(
            BenchWarning,
            match="'drawn': .*cannot be identified .*all is computed anew",
        ):
            bench.evaluate(network, images, [drawn], results_dir=tmp_path)
    assert len(calls) == 2 * 5


def test_the_command_line_reads_the_rows(network, images, tmp_path, capsys):
    result = bench.evaluate(
        network, images, ["random", "saliency"], name="board", results_dir=tmp_path
    )
    main(["leaderboard", str(tmp_path)])
    assert "saliency" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "leaderboards" / "board.csv")
    np.testing.assert_allclose(
        written["insertion_auc"], result.leaderboard()["insertion_auc"], atol=1e-6
    )


def test_rows_are_shared_with_the_command_line(image_folder, tmp_path, monkeypatch, capsys):
    """A shipped network, data set and method: `bench run` computes nothing more."""
    monkeypatch.chdir(tmp_path)
    backbone = bench.load_backbone("resnet18", weights="random", num_classes=5, img_size=32)
    data = str(image_folder)
    rise = {"rise": {"num_masks": 4}}
    result = bench.evaluate(backbone, data, rise, results_dir="results")
    command = [
        "run", "backbone=timm", "backbone.name=resnet18", "backbone.weights=random",
        "backbone.num_classes=5", "backbone.img_size=32", "dataset=folder",
        f"dataset.root={data}", "dataset.name=images", "method=[rise]",
        "method.rise.num_masks=4", "device=cpu",
    ]  # fmt: skip
    main(command)
    assert "Rows stored before: rise 7 of 7" in capsys.readouterr().out
    assert len(bench.load_rows("results")) == len(result.rows) == 7


@pytest.mark.parametrize("form", ["arrays", "numpy", "list", "dataset", "loader", "batches"])
def test_forms_of_data_give_the_same_numbers(form, network, images, tmp_path):
    x, targets = images
    forms = {
        "arrays": lambda: (x, targets),
        "numpy": lambda: (x.numpy(), targets.numpy()),
        "list": lambda: [list(x), targets.tolist()],
        "dataset": lambda: TensorDataset(x, targets),
        "loader": lambda: DataLoader(TensorDataset(x, targets), batch_size=2),
        "batches": lambda: DataLoader(
            TensorDataset(x, targets),
            2,
            collate_fn=lambda items: [*map(torch.stack, zip(*items, strict=False))],
        ),
    }
    expected = bench.evaluate(network, images, "saliency", results_dir=tmp_path / "a")
    found = bench.evaluate(network, forms[form](), "saliency", results_dir=tmp_path / "b")
    np.testing.assert_array_equal(columns(found, "saliency"), columns(expected, "saliency"))


def test_a_loader_that_shuffles_finds_its_rows_again(network, images, tmp_path):
    x, targets = images
    twice = TensorDataset(torch.cat([x, x[:1]]), torch.cat([targets, targets[:1]]))
    loader = DataLoader(twice, batch_size=4, shuffle=True)
    torch.manual_seed(0)
    first = bench.evaluate(network, loader, "saliency", results_dir=tmp_path)
    torch.manual_seed(7)
    again = bench.evaluate(network, loader, "saliency", results_dir=tmp_path)
    assert first.runs[0].key == again.runs[0].key
    expected = bench.evaluate(network, (x, targets), "saliency", results_dir=tmp_path / "b")
    of_all = np.concatenate([columns(expected, "saliency"), columns(expected, "saliency")[:1]])
    np.testing.assert_allclose(
        np.sort(columns(first, "saliency")[:, 0]), np.sort(of_all[:, 0]), rtol=1e-6
    )


def test_random_transforms_are_refused(network, tmp_path):
    class Changing(torch.utils.data.Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, number):
            return torch.rand(3, SIZE, SIZE), number

    with pytest.raises(BenchError, match=r"item 0 is another one each time .*random transforms"):
        bench.evaluate(network, Changing(), "random", results_dir=tmp_path)


def test_without_targets_the_predictions_are_explained(network, images, tmp_path):
    x, _ = images
    predicted = network(x).argmax(1)
    found = bench.evaluate(network, x, "saliency", results_dir=tmp_path)
    assert found.rows["target"].tolist() == predicted.tolist()
    expected = bench.evaluate(network, (x, predicted), "saliency", results_dir=tmp_path)
    np.testing.assert_array_equal(columns(found, "saliency"), columns(expected, "saliency"))
    assert found.leaderboard()["protocol"].tolist() == ["xplique-probability-prediction"]


def test_photos_and_a_module(network, tmp_path):
    photos = np.random.default_rng(0).integers(0, 256, (3, 40, 30, 3), np.uint8)
    made = {"size": SIZE, "mean": [127.5] * 3, "std": [127.5] * 3}
    several = [photos[0], photos[1][:20], photos[2]]
    for given in (photos, several):
        found = bench.evaluate(
            network, (given, [0, 1, 2]), ["edge", "random"], preprocessing=made,
            results_dir=tmp_path,
        )  # fmt: skip
        assert len(found.rows) == 6
    with pytest.raises(BenchError, match="preprocessing: the data are photos, so say how"):
        bench.evaluate(network, (photos, [0, 1, 2]), "random", results_dir=tmp_path)


def test_a_backbone_takes_inputs_that_were_made_for_it(images, tmp_path):
    backbone = bench.load_backbone("resnet18", weights="random", img_size=32, num_classes=5)
    x = torch.rand(2, 3, 32, 32)
    before = backbone.preprocessing
    found = bench.evaluate(backbone, (x, [1, 4]), "saliency", results_dir=tmp_path)
    maps = bench.explain("saliency", backbone, x, [1, 4], score="probability")
    expected = bench.insertion_deletion(backbone.module, x, [1, 4], maps, "xplique-probability")
    np.testing.assert_allclose(columns(found, "saliency")[:, 0], expected.insertion_auc, atol=1e-6)
    assert backbone.preprocessing is before
    with pytest.raises(BenchError, match=r"expected inputs \(3, 32, 32\) .* found \(3, 23, 23\)"):
        bench.evaluate(backbone, images, "random", results_dir=tmp_path)


def test_an_edited_preprocessing_of_the_users_gets_no_old_rows(network, tmp_path):
    photos = np.random.default_rng(0).integers(0, 256, (2, 40, 30, 3), np.uint8)
    found = []
    for factor in (1, 5):

        class Scaled(Preprocessing):
            def __call__(self, images):
                return super().__call__(images) * factor  # noqa: B023 # called in this round

        result = bench.evaluate(
            network, (photos, [0, 1]), "edge", preprocessing=Scaled(SIZE, (0,) * 3, (255,) * 3),
            results_dir=tmp_path,
        )  # fmt: skip
        found.append((result.runs[0].key, *result.rows["insertion_auc"]))
    assert found[0][0] != found[1][0]
    assert found[0][1:] != found[1][1:]


def test_colours_are_those_of_mean_and_std(network, images, tmp_path):
    """A black baseline of inputs that were normalised is not zero."""
    _x, targets = images
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
    of = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    protocol = "probability-10-black"
    plain = bench.evaluate(network, images, "saliency", protocol, results_dir=tmp_path)
    told = bench.evaluate(
        network, images, "saliency", protocol, mean=mean, std=std, results_dir=tmp_path
    )
    black = (-of[0] / of[1]).expand(1, 3, SIZE, SIZE)
    score = network(black).softmax(1)[0, int(targets[0])].item()
    assert told.rows["baseline_score"][0] == pytest.approx(score, abs=1e-6)
    assert plain.rows["baseline_score"][0] != pytest.approx(score, abs=1e-6)


def test_the_network_is_left_as_it_was(network, images, tmp_path):
    network.first.weight.requires_grad_(True)
    network.head.bias.requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    needed = [each.requires_grad for each in network.parameters()]
    bench.evaluate(network, images, ["grad_cam", "saliency"], results_dir=tmp_path)
    bench.explain("grad_cam", network, *images)
    assert [each.requires_grad for each in network.parameters()] == needed
    assert all(each.is_contiguous() for each in network.parameters())
    assert all(torch.equal(before[key], each) for key, each in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_network_is_put_back_where_it_lived(network, images, tmp_path, monkeypatch):
    """Where it is moved for the time of a call; here to a device that only seems to be another."""
    places = [torch.device("cpu")]
    monkeypatch.setattr("bench.notebook.network.device_of", lambda module: places[-1])
    monkeypatch.setattr("bench.notebook.evaluate.resolve_device", lambda name: torch.device(name))
    to = nn.Module.to

    def moved(self, *arguments, **settings):
        if self is network and arguments:
            places.append(torch.device(arguments[0]))
        return to(self, *arguments, **settings)

    monkeypatch.setattr(nn.Module, "to", moved)
    bench.evaluate(network, images, "random", results_dir=tmp_path, device="cpu:0")
    assert [str(place) for place in places] == ["cpu", "cpu:0", "cpu"]


def test_objects_names_functions_and_settings_in_one_mapping(network, images, tmp_path):
    found = bench.evaluate(
        network,
        images,
        {
            "mine": mine,
            "drawn": Random(),
            "rise": {"num_masks": 4},
            "rise8": {"method": "rise", "num_masks": 4, "grid_size": 5},
            "lambda": lambda model, x, targets: x.mean(1),
            "inverted": {"of": "saliency"},
        },
        results_dir=tmp_path,
    )
    board = found.leaderboard().set_index("method")
    assert set(board.index) == {"mine", "drawn", "rise", "rise8", "lambda", "inverted"}
    assert board.loc["drawn", "control"]
    assert found.rows["label"].value_counts().eq(5).all()


def test_metrics_beside_the_protocol(network, images, tmp_path):
    found = bench.evaluate(
        network,
        images,
        "saliency",
        metrics={"mufidelity": {"num_masks": 20}, "sparseness": {}},
        results_dir=tmp_path,
    )
    board = found.leaderboard()
    assert board[["mufidelity_xplique_1_1", "sparseness"]].notna().all(axis=None)


def test_failures_are_told_and_the_rest_is_kept(network, images, tmp_path):
    def failing(model, x, targets):
        if int(targets[0]) == 3:
            raise ValueError("no threes")
        return x.sum(1)

    with pytest.warns(BenchWarning, match="1 maps failed, first failing on image 1: .*no threes"):
        found = bench.evaluate(network, images, [failing, "random"], results_dir=tmp_path)
    assert [failure.image_id for failure in found.failures] == ["1"]
    assert found.rows["label"].value_counts().to_dict() == {"random": 5, "failing": 4}


def test_binary_and_grey_networks(tmp_path):
    network = nn.Sequential(nn.Flatten(), nn.Linear(SIZE * SIZE, 1)).eval()
    x = torch.rand(3, 1, SIZE, SIZE)
    found = bench.evaluate(network, (x, [0, 1, 1]), ["saliency", "edge"], results_dir=tmp_path)
    assert len(found.rows) == 6


def test_within_an_application_of_hydra(network, images, tmp_path):
    """Whoever uses Hydra in a notebook keeps what it has initialised."""
    from hydra import compose, initialize_config_module
    from hydra.core.global_hydra import GlobalHydra

    bench.evaluate(network, images, "random", results_dir=tmp_path)
    assert not GlobalHydra.instance().is_initialized()
    with initialize_config_module("bench.conf", version_base="1.3"):
        inside = GlobalHydra.instance().hydra
        bench.evaluate(network, images, ["random", "saliency"], results_dir=tmp_path)
        assert GlobalHydra.instance().hydra is inside
        assert compose("run").seed == 0


WRONG = {
    "model: expected a torch module": {"model": lambda x: x},
    "eval mode; call model.eval": {"model": ConvModel().train()},
    "model: unknown name 'resnet999'. Did you mean": {"model": "resnet999"},
    "data: 'nowhere' is no folder and no shipped data set": {"data": "nowhere"},
    "data: expected .* found int": {"data": 3},
    "x: expected finite": {"data": (torch.full((2, 3, SIZE, SIZE), torch.nan), [0, 1])},
    "targets: expected a class for each input": {"data": (torch.rand(2, 3, SIZE, SIZE), [0])},
    "label 9 of '1' is outside": {"data": (torch.rand(2, 3, SIZE, SIZE), [0, 9])},
    "are they .N, H, W, C.. give x.permute": {"data": (torch.rand(2, SIZE, SIZE, 3), [0, 1])},
    "x: expected .* give x.None.": {"data": (torch.rand(3, SIZE, SIZE), [0])},
    "protocol: expected a Protocol or a name": {"protocol": len},
    "mean: expected 3 numbers or one, found 2": {"mean": [0.1, 0.2], "std": 1},
    "std: expected a number": {"mean": 0, "std": "one"},
    "expected .x, target. in item 0, found keys": {"data": [{"pixels": 1}, {"pixels": 2}] },
    "1 or 3 channels, found 4": {"data": (torch.rand(2, 4, SIZE, SIZE), [0, 1]),
                                     "model": LinearModel(4, 4, SIZE, SIZE).eval()},
    "model: fails on inputs": {"model": LinearModel(4, 3, 9, 9).eval()},
    "Did you mean 'rise'": {"methods": "rize"},
    "Did you mean 'num_masks'": {"methods": {"rise": {"n_masks": 4}}},
    "methods: expected at least one": {"methods": []},
    "two are called 'mine'": {"methods": [mine, mine]},
    "found the class Random: give an object": {"methods": {"r": Random}},
    "expected a name .* found 3": {"methods": {"three": 3}},
    "protocol: unknown name": {"protocol": "xpliqe"},
    "metrics: unknown name": {"metrics": ["mufidelty"]},
    "metric.mufidelity.*'masks'": {"metrics": {"mufidelity": {"masks": 3}}},
    "target: expected": {"target": -1},
    "seed: expected": {"seed": -1},
    "batch_size: expected": {"batch_size": 0},
    "output_kind: unknown": {"output_kind": "logit"},
    "mean, std: expected both": {"mean": 0.5},
    "names no CAM layer": {"methods": "grad_cam", "cam_layer": None},
    "cam_layer: unknown name 'lats'": {"cam_layer": "lats"},
    "device: 'gpu' is not there": {"device": "gpu"},
    "name: 'a/b' cannot be": {"name": "a/b"},
    "name: expected": {"name": 3},
    "model_name: expected": {"model_name": 3},
    "data: expected .* found a mapping of 'x', 'y'": {"data": {"x": 1, "y": 2}},
    "metrics: unknown name 'mufidelty'": {"metrics": "mufidelty"},
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_bad_input(message, network, images, tmp_path):
    given = {"model": network, "data": images, "methods": "random"} | WRONG[message]
    with warnings.catch_warnings(), pytest.raises(BenchError, match=message) as caught:
        warnings.simplefilter("error", BenchWarning)
        bench.evaluate(**given, results_dir=tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("kind", ["script", "compile", "pairs"])
def test_other_forms_of_networks_and_data(kind, network, images, tmp_path):
    x, targets = images
    forms = {
        "script": lambda: (torch.jit.script(network), images),
        "compile": lambda: (torch.compile(network, backend="eager"), images),
        "pairs": lambda: (network, [*zip(x, targets.tolist(), strict=True)]),
    }
    found = bench.evaluate(*forms[kind](), "saliency", results_dir=tmp_path / "a")
    expected = bench.evaluate(network, images, "saliency", results_dir=tmp_path / "b")
    np.testing.assert_allclose(columns(found, "saliency"), columns(expected, "saliency"), atol=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_network_that_cannot_be_told_is_computed_anew(images, tmp_path):
    network, any_number = LinearModel(4, 3, SIZE, SIZE).eval(), {0: torch.export.Dim.AUTO}
    graph = torch.export.export(network, (images[0],), dynamic_shapes=(any_number,)).module()
    with pytest.warns(BenchWarning, match="model .*cannot be identified .*all is computed anew"):
        found = bench.evaluate(graph, images, "random", results_dir=tmp_path, batch_size=5)
    assert len(found.rows) == 5


def test_a_data_set_of_bench(network, tmp_path):
    dataset = Faces(4)
    made = {"size": SIZE, "mean": [0] * 3, "std": [255] * 3}
    found = bench.evaluate(network, dataset, "random", preprocessing=made, results_dir=tmp_path)
    assert len(found.rows) == len(dataset)
