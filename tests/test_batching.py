import pytest
import torch

from bench.batching import fitted_batch_size, fixed_batches, score_in_batches


@pytest.mark.parametrize(("count", "size"), [(0, 4), (1, 4), (4, 4), (9, 4), (10, 1)])
def test_batches_cover_everything_once_at_one_length(count, size):
    covered = []
    for index, items in fixed_batches(count, size):
        assert len(index) == size
        covered += index[: items.stop - items.start].tolist()
        assert (index[items.stop - items.start :] == count - 1).all()
    assert covered == list(range(count))


def test_scores_come_back_in_order_without_the_fill():
    scored = []

    def build(jobs):
        return jobs[:, None].float(), jobs

    def score(x, targets):
        scored.append(len(x))
        return x[:, 0] * 10 + targets

    assert score_in_batches(score, build, 7, 3).tolist() == [11.0 * i for i in range(7)]
    assert scored == [3, 3, 3]


def test_no_graph_is_kept():
    weight = torch.ones(1, requires_grad=True)
    scores = score_in_batches(lambda x, t: x * weight, lambda j: (j.float(), j), 4, 2)
    assert not scores.requires_grad


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        (2, {1: 4, 4: 4, 9: 12, 10: 12, 63: 64, 64: 64, 500: 64}),
        (1, {1: 16, 9: 16, 17: 20, 63: 64, 500: 64}),
    ],
)
def test_batches_for_few_inputs(monkeypatch, threads, expected):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert {count: fitted_batch_size(count, 64) for count in expected} == expected
    assert [fitted_batch_size(1, size) for size in (1, 2, 6, 63)] == [1, 2, 6, 63]
    assert fitted_batch_size(1, 8) == (4 if threads > 1 else 8)
