import pytest
import yaml
from toy_rows import begin, identity, typed

from bench.config.choices import SHIPPED
from bench.leaderboard.titles import row_titles
from bench.storage.store import open_run, stored_runs


def test_titles_follow_labels_that_somebody_chose(tmp_path):
    settings = {"_target_": "bench.attribution.masking.Rise", "num_masks": 4}
    for label, masks in {"rise": 4, "rise4": 5}.items():
        method = {"name": "rise", "version": 1, "settings": settings | {"num_masks": masks}}
        begin(tmp_path, label, method=method)
    method = {"name": "rise", "version": 1, "settings": {"_target_": "mine.Rise"}}
    begin(tmp_path, "other", method=method)
    titles = row_titles(stored_runs(tmp_path, "board"), "board")
    assert sorted(titles.values()) == ["RISE", "other", "rise4"]


def test_what_tells_rows_apart_stands_behind_their_title(tmp_path):
    for masks in (4, 5):
        settings = {"_target_": "bench.attribution.masking.Rise", "num_masks": masks}
        begin(tmp_path, "rise", method={"name": "rise", "version": 1, "settings": settings})
    titles = row_titles(stored_runs(tmp_path, "board"), "board")
    assert sorted(titles.values()) == ["RISE (num_masks=4)", "RISE (num_masks=5)"]


def test_a_method_of_somebodys_own_has_its_title(tmp_path):
    method = {"name": "mine", "version": 1, "settings": {"_target_": "mine.Mine"}}
    config = {"method": {"mine": {"label": "my method", "title": "MyCAM"}}}
    run = open_run(tmp_path, *typed(identity(method=method)), config, {})
    run.set_label("board", "my method")
    assert row_titles(stored_runs(tmp_path, "board"), "board") == {run.key: "MyCAM"}


@pytest.mark.parametrize("file", sorted((SHIPPED / "method").glob("*.yaml")), ids=lambda f: f.stem)
def test_every_shipped_method_has_a_title(file):
    (node,) = yaml.safe_load(file.read_text()).values()
    assert "_" not in node["title"]
    assert node["title"].strip() == node["title"]
