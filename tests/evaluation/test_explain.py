"""Maps that are kept, and maps of another network or score than the curves'."""

import pytest
import torch
from toy import (
    SIZE,
    Faces,
    backbone,
    method_runs,
    other_backbone,
)

from bench.attribution.gradient import Saliency
from bench.attribution.masking import Rise
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.evaluation.loop import evaluate_runs
from bench.experiment.cost import count_cost
from bench.metrics.protocol import load_protocol
from bench.storage.map_store import image_key, open_maps

CPU = torch.device("cpu")
METHODS = {"saliency": Saliency(), "rise": Rise(5)}
SAMPLES = Faces(3).samples
PROTOCOL = load_protocol("smdl-cub")


def stores(folder, dtype="float32", methods=METHODS):
    keys = {sample.image_id: image_key(sample, "pixels") for sample in SAMPLES}
    identity = {"backbone": {"name": "toy"}}
    return {
        name: open_maps(folder, identity | {"method": {"name": name, "is": name}}, dtype, keys)
        for name in methods
    }


def run(
    samples=SAMPLES, protocol=PROTOCOL, methods=METHODS, kept=None, on_pass=lambda _: None,
    **settings,
):  # fmt: skip
    runs = method_runs(methods, maps=kept)
    scorer = Scorer(backbone(), protocol.score, 4, on_forward=on_pass, on_backward=on_pass)
    found = {name: [] for name in methods}
    for result in evaluate_runs(
        samples, scorer, runs, protocol, device=CPU, block_size=4, **settings
    ):
        found[result.method].append(result)
    return found


def cost_of(kept):
    runs = method_runs(METHODS, network=backbone(), maps=kept)
    return count_cost(SAMPLES, runs, PROTOCOL, (SIZE, SIZE))


def maps_of(results):
    return torch.cat([result.maps for result in results])


def rows_of(results):
    columns = ["insertion_curve", "deletion_curve", "tied_fraction", "clean_score"]

    def text(value):
        return str(list(value)) if hasattr(value, "__len__") else value

    return [result.rows[columns].map(text) for result in results]


def test_kept_maps_change_no_bit_and_save_the_methods_passes(tmp_path):
    plain, made = run(), []
    first = run(kept=stores(tmp_path))
    second = run(kept=stores(tmp_path), on_pass=made.append)
    for name in METHODS:
        for kept in (first, second):
            assert torch.equal(maps_of(kept[name]), maps_of(plain[name]))
            for rows, expected in zip(rows_of(kept[name]), rows_of(plain[name]), strict=True):
                assert rows.equals(expected)
    cost = cost_of(stores(tmp_path))
    assert (cost.forward, cost.backward, cost.map_bytes) == (0, 0, 0)
    # What is left are the curves and, in full batches of 4, the end points of two blocks.
    assert sum(made) - cost.curves in range(4 * 2 + 4, 4 * 2 + 4 + 2 * 4 * 4)


def test_only_what_is_not_kept_is_made(tmp_path):
    run(SAMPLES[1:3], kept=stores(tmp_path))
    cost = cost_of(stores(tmp_path))
    assert (cost.forward, cost.backward) == (4 * (1 + 5), 4)
    assert cost.map_bytes == 2 * 4 * SIZE * SIZE * 4
    assert cost_of(None).forward == 6 * (1 + 5)
    explained = []

    class Watched(Saliency):
        def __call__(self, scorer, batch):
            explained.extend(batch.image_ids)
            return super().__call__(scorer, batch)

    methods = {"saliency": Watched()}
    found = run(methods=methods, kept=stores(tmp_path, methods=methods))
    assert explained == [sample.image_id for sample in SAMPLES if sample not in SAMPLES[1:3]]
    assert torch.equal(maps_of(found["saliency"]), maps_of(run()["saliency"]))


def test_seconds_of_kept_maps_are_those_they_had_taken(tmp_path, monkeypatch):
    clock = iter(range(0, 1000, 10))
    for module in ("explain", "loop"):
        monkeypatch.setattr(f"bench.evaluation.{module}.now", lambda device: next(clock))
    for _ in range(2):
        (result,) = run(SAMPLES[:2], methods={"rise": Rise(5)}, kept=stores(tmp_path))["rise"]
        assert result.rows["seconds"].tolist() == [10, 10]  # 5 for the map, 5 for the curves


def test_float16_maps_give_the_same_rows_the_first_and_the_second_time(tmp_path):
    first, second = (run(kept=stores(tmp_path, "float16")) for _ in range(2))
    for name in METHODS:
        assert torch.equal(maps_of(first[name]), maps_of(second[name]))
        assert not torch.equal(maps_of(first[name]), maps_of(run()[name]))


class Fine(Saliency):
    """Values that float32 rounds to 0."""

    def __call__(self, scorer, batch):
        return super().__call__(scorer, batch).double() * 1e-60


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float64_maps_give_the_same_rows_the_first_and_the_second_time(tmp_path, dtype):
    methods = {"fine": Fine(), "saliency": Saliency()}
    first, second = (run(methods=methods, kept=stores(tmp_path, dtype, methods)) for _ in range(2))
    plain = run(methods=methods)
    for name in methods:
        for rows, again, unkept in zip(*map(rows_of, (first[name], second[name], plain[name])),
                                      strict=True):  # fmt: skip
            assert rows.equals(again)
            assert rows.equals(unkept) or dtype == "float16"
    for fine, coarse in zip(plain["fine"], plain["saliency"], strict=True):
        assert fine.maps.dtype == torch.float64
        assert fine.rows["tied_fraction"].tolist() == coarse.rows["tied_fraction"].tolist()


@pytest.mark.parametrize("score", ["probability", "logit"])
def test_methods_explain_what_they_are_told_to(score):
    explained = Scorer(other_backbone(), score, 4)
    found = run(explained=explained)
    for name, method in METHODS.items():
        blocks = [SAMPLES[:4], SAMPLES[4:]]
        for result, block in zip(found[name], blocks, strict=True):
            images = [sample.read() for sample in block]
            x = explained.backbone.preprocess(images)
            targets = torch.tensor([sample.target for sample in block])
            batch = Batch(x, targets, [sample.image_id for sample in block], images)
            assert torch.equal(result.maps, method(explained, batch))
    clean = [result.rows["clean_score"].tolist() for result in found["saliency"]]
    assert clean == [result.rows["clean_score"].tolist() for result in run()["saliency"]]
