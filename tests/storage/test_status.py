"""How far runs are, from what is stored."""

import pytest
from toy_rows import begin, protocol, rows

from bench.errors import BenchError, BenchWarning
from bench.storage.activity import Activity, kept_activity
from bench.storage.status import run_statuses


def activity(run, shard="1/1", **changes):
    folders = [part.folder.name for part in run.metrics.values()]
    return Activity(run.protocol.key, shard, 3, 0, folders, **changes)


def keep(run, told):
    with kept_activity(run.folder, told.protocol, told.shard) as file:
        file.write(told)


def test_images_with_all_metrics_are_done(tmp_path):
    run = begin(tmp_path, "RISE")
    run.append(rows("a", "b"))
    run.append(rows("c").drop(columns="deletion_curve"))
    (status,) = run_statuses(tmp_path)
    assert (status.done, status.images, status.label, status.state) == (2, 3, "RISE", "stopped")
    assert status.title == "birds · toy · mine"
    run.append(rows("c"))
    (status,) = run_statuses(tmp_path)
    assert (status.done, status.state) == (3, "done")


def test_failures_are_counted_until_there_is_a_row(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a"))
    run.record_failure("b", "reason")
    run.record_failure("c", "reason")
    assert run_statuses(tmp_path)[0].failures == 2
    run.append(rows("b"))
    assert run_statuses(tmp_path)[0].failures == 1


def test_protocols_of_a_run_stand_apart(tmp_path):
    begin(tmp_path, "one").append(rows("a"))
    other = begin(tmp_path, protocol=protocol(name="yours", insertion={"steps": 5}))
    assert not other.image_ids()
    other.set_label("another", "two")
    found = {status.title: (status.label, status.done) for status in run_statuses(tmp_path)}
    assert found["birds · toy · mine"] == ("one", 1)
    assert found["birds · toy · yours"][0] == "two"


def test_processes_tell_where_a_metrics_rows_lie(tmp_path):
    first = begin(tmp_path)
    first.append(rows("a", "b"))
    second = begin(tmp_path, protocol=protocol(score="logit"))
    keep(second, activity(second))
    keep(first, activity(first))
    assert [status.done for status in run_statuses(tmp_path)] == [2, 0]


@pytest.mark.parametrize(("has_ended", "state"), [(False, "gone"), (True, "stopped")])
def test_what_has_no_living_process_is_gone_or_has_ended(tmp_path, has_ended, state):
    run = begin(tmp_path)
    run.append(rows("a"))
    keep(run, activity(run, has_ended=has_ended))
    assert run_statuses(tmp_path)[0].state == state


def test_of_each_share_the_last_process_is_told(tmp_path):
    run = begin(tmp_path)
    with kept_activity(run.folder, run.protocol.key, "2/2") as first:
        first.write(activity(run, "2/2", done=1))
        keep(run, activity(run, "2/2", done=2, updated="2000-01-01T00:00:00+00:00"))
        keep(run, activity(run, "10/2", done=3))
    (status,) = run_statuses(tmp_path)
    assert [(shard.activity.shard, shard.activity.done) for shard in status.shards] == [
        ("2/2", 1), ("10/2", 3),
    ]  # fmt: skip


def test_nothing_is_begun(tmp_path):
    begin(tmp_path)
    (status,) = run_statuses(tmp_path)
    assert (status.state, status.last, status.done) == ("begun", None, 0)


def test_bad_folders_are_refused_in_a_line(tmp_path):
    with pytest.raises(BenchError, match="is missing or no folder"):
        run_statuses(tmp_path / "none")
    with pytest.raises(BenchError, match="no runs in"):
        run_statuses(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="is missing or no folder"):
        run_statuses(tmp_path / "file")


@pytest.mark.parametrize("name", ["manifest.json", "failures.json", "part", "activity-0-1of1.json"])
def test_broken_files_are_told_and_the_rest_is_shown(tmp_path, name):
    sound = begin(tmp_path)
    sound.append(rows("a"))
    run = begin(tmp_path, method={"name": "other", "version": 1})
    run.append(rows("a"))
    path = run.folder / name
    if name == "part":
        path = next(run.metrics["insertion"].folder.glob("part-*"))
    path.write_text("{")
    with pytest.warns(BenchWarning, match=path.name):
        found = run_statuses(tmp_path)
    assert [status.done for status in found if status.method == "rise"] == [1]
