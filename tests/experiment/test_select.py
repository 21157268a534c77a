import hashlib
import io
import os
from pathlib import Path

import pytest
import torch
from rich.console import Console
from toy import backbone

from bench.attribution.scorer import Scorer
from bench.datasets.listed import ImageList
from bench.datasets.selection import Selection
from bench.errors import BenchError, BenchWarning
from bench.experiment.select import kept_predictions, predict, select

CPU = torch.device("cpu")


@pytest.fixture
def dataset(image_folder):
    return ImageList("mine", str(image_folder), str(image_folder / "list.txt"))


def expected_predictions(dataset):
    model = backbone()
    with torch.no_grad():
        x = model.preprocess([sample.read() for sample in dataset.samples])
        return model.outputs(x).argmax(dim=1).tolist()


class Job:
    """Runs `select` and notes what it did."""

    def __init__(self, results, batch_size=3, **network):
        self.results, self.batch_size, self.backbone = results, batch_size, backbone(**network)
        self.passes, self.totals, self.out = 0, [], io.StringIO()

    def predict(self, dataset):
        def count(passes):
            self.passes += passes

        self.totals.append(len(dataset))
        scorer = Scorer(self.backbone, "output", self.batch_size, on_forward=count)
        return predict(dataset, scorer, CPU, 2)

    def __call__(self, dataset, **settings):
        selection, predictions = Selection(**settings), None
        if selection.needs_predictions:
            predictions = kept_predictions(
                dataset, self.backbone, self.results, lambda: self.predict(dataset)
            )
        console = Console(file=self.out, width=500)
        return select(dataset, selection, predictions, self.results, console)


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "results")


@pytest.mark.parametrize("batch_size", [1, 3, 7, 20])
def test_predictions_are_the_networks(dataset, batch_size):
    scorer = Scorer(backbone(), "output", batch_size)
    assert predict(dataset, scorer, CPU, workers=2) == expected_predictions(dataset)


@pytest.mark.parametrize("subset", ["correct", "misclassified"])
def test_subsets_are_written_as_lists_that_can_be_read_again(job, dataset, image_folder, subset):
    tops = expected_predictions(dataset)
    assert 0 < sum(s.target == top for s, top in zip(dataset.samples, tops, strict=True)) < 7
    selected = job(dataset, subset=subset)
    assert selected.samples == [
        sample
        for sample, top in zip(dataset.samples, tops, strict=True)
        if (sample.target == top) == (subset == "correct")
    ]
    (path,) = (job.results / "lists").glob("*.txt")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.name == f"mine_{subset}_toy-{digest[:12]}.txt"
    note = f"Selected {len(selected)} of 7 images (subset={subset}): {path}; sha256 {digest}"
    assert job.out.getvalue() == note + "\n"
    assert selected.notes == [*dataset.notes, note]
    again = ImageList("mine", str(image_folder), str(path))
    assert again.samples == selected.samples
    assert again.identity() == selected.identity()
    assert len(dataset) == 7
    assert len(dataset.notes) == 1


def test_predictions_are_made_once(job, dataset):
    job(dataset, subset="correct")
    assert (job.passes, job.totals) == (9, [7])
    again = Job(job.results)
    assert again(dataset, subset="correct").samples
    assert again(dataset, subset="misclassified", per_class=1).samples
    assert again.passes == 0
    assert again.totals == []


def test_other_weights_speed_or_files_are_predicted_anew(job, dataset, monkeypatch):
    job(dataset, subset="correct")
    other = Job(job.results, size=19)
    other(dataset, subset="correct")
    assert other.passes == 9

    fast = Job(job.results)
    fast.backbone.set_speed("bf16", compile=False)
    fast(dataset, subset="correct")
    assert fast.passes == 9

    path = dataset.samples[0].path
    path.write_bytes(dataset.samples[1].path.read_bytes())
    changed = Job(job.results)
    changed(dataset, subset="correct")
    assert changed.passes == 9
    os.utime(path, ns=(1, 1))  # as long as before, but written at another time
    changed(dataset, subset="correct")
    assert changed.passes == 18


def test_no_network_is_needed_for_the_rest(job, dataset):
    job.scorer = None
    assert len(job(dataset, per_class=1)) == 4
    (path,) = (job.results / "lists").iterdir()
    assert path.name.startswith("mine-")


def test_all_images_that_cannot_be_read_are_named(job, dataset):
    for number in (0, 5):
        dataset.samples[number].path.write_bytes(b"")
    dataset.samples[6].path.unlink()
    expected = r"images that cannot be read \(3\): .*photo 0\.png.*photo 5\.png.*photo 6\.png"
    with pytest.raises(BenchError, match=expected):
        job(dataset, subset="correct")
    assert not (job.results / "lists").exists()


def test_labels_that_the_network_does_not_have(tmp_path, dataset):
    with pytest.raises(BenchError, match=r"label 3 of .* is outside"):
        Job(tmp_path, classes=3)(dataset, subset="correct")


def test_nothing_left(job, dataset):
    dataset.samples = job(dataset, subset="correct").samples
    with pytest.raises(BenchError, match=r"none of the \d images of 'mine' is left by subset=misc"):
        job(dataset, subset="misclassified")


def test_kept_predictions_that_are_broken_are_made_again(job, dataset):
    expected = job(dataset, subset="correct")
    (path,) = (job.results / "lists").glob("*.parquet")
    path.write_bytes(b"broken")
    with pytest.warns(BenchWarning, match="broken-predictions-"):
        again = job(dataset, subset="correct")
    assert again.samples == expected.samples


def test_the_batch_is_halved_when_memory_runs_out(dataset, monkeypatch):
    model = backbone()
    outputs = model.outputs

    def narrow(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return outputs(x)

    monkeypatch.setattr(model, "outputs", narrow)
    scorer = Scorer(model, "output", 8, may_shrink=True)
    assert predict(dataset, scorer, CPU) == expected_predictions(dataset)
    assert scorer.batch_size == 2


def test_read_only_data(job, dataset, image_folder):
    folders = [image_folder, *(p for p in image_folder.iterdir() if p.is_dir())]
    before = {p: p.stat().st_mtime_ns for p in image_folder.rglob("*")}
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert job(dataset, subset="correct").identity()
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert {p: p.stat().st_mtime_ns for p in Path(image_folder).rglob("*")} == before
