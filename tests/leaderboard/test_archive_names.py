from dataclasses import replace

import pytest

from bench.leaderboard import archive_names
from bench.leaderboard.archive_names import (
    _known,
    archive_column,
    archive_methods,
    archive_tables,
    is_share,
    same_name,
)
from bench.leaderboard.published import recorded_cells, shipped_tables


def test_every_table_is_one_board_of_the_archive():
    tables = [names.table for names in archive_tables().values()]
    assert sorted(tables) == shipped_tables()
    assert _known()["tables"].keys() < {*tables}


@pytest.mark.parametrize("table", shipped_tables())
def test_every_cell_has_a_column_and_a_method_there(table):
    (names,) = (each for each in archive_tables().values() if each.table == table)
    for backbone, method, metric in recorded_cells(table, folders=()):
        column = archive_column(metric, backbone)
        assert names.columns[same_name(column)] == (metric, backbone)
        assert archive_methods()[same_name(method)] == method


def test_per_cent_are_divided_where_the_record_lies_in_0_to_1(monkeypatch):
    cells = recorded_cells("cub")
    key, cell = next(iter(cells.items()))
    assert is_share(cell.metric)
    is_share.cache_clear()
    changed = cells | {key: replace(cell, value="54.16")}
    monkeypatch.setattr(archive_names, "recorded_cells", lambda *_, **__: changed)
    assert not is_share(cell.metric)
    is_share.cache_clear()


def test_no_name_means_two_things():
    methods = _known()["methods"]
    names = [same_name(name) for several in methods.values() for name in several]
    assert len({*names}) == len(names)
    assert all(same_name(method) in names for method in methods)
    metrics = [same_name(name) for several in _known()["metrics"].values() for name in several]
    assert len({*metrics}) == len(metrics)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("grad\u2011cam", "Grad-CAM"), ("GradCAM", "Grad-CAM"), ("Grad-CAM++", "Grad-CAM++"),
        ("KernelSHAP", "Kernel SHAP"), ("HSIC-Attribution Method", "HSIC-Attribution"),
        ("rise", "RISE"), ("RISE 500", None), ("SHAP", None), ("SMDL-Attribution", None),
        ("SMDL-Attribution (ICLR version)", "SMDL-Attribution (ICLR version)"),
    ],
)  # fmt: skip
def test_methods_by_their_names(name, method):
    assert archive_methods().get(same_name(name)) == method


def test_networks_of_the_paper_without_a_cell_on_record():
    columns = archive_tables()["errorunderstanding", "cub2002011"].columns
    column = same_name("Average highest confidence (VGG-19)")
    assert columns[column] == ("avg_highest_conf", "VGG19")
