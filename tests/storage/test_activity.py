"""What processes tell of themselves beside a run's rows."""

import multiprocessing
from dataclasses import replace

import pytest

from bench.errors import BenchWarning
from bench.storage.activity import Activity, kept_activity, read_activities

PROTOCOL = "0123456789abcdef"
ACTIVITY = Activity(PROTOCOL, "1/2", images=4, before=1, metrics=["insertion-0", "deletion-1"])


def keep(folder, is_written, may_end):
    with kept_activity(folder, PROTOCOL, "1/2") as file:
        file.write(replace(ACTIVITY, done=2))
        is_written.set()
        may_end.wait(60)


@pytest.fixture
def neighbour(tmp_path):
    """Another process that is at the same share; ends it and waits."""
    forks = multiprocessing.get_context("fork")
    is_written, may_end = forks.Event(), forks.Event()
    process = forks.Process(target=keep, args=(tmp_path, is_written, may_end))
    process.start()
    assert is_written.wait(60)

    def end():
        process.kill()
        process.join()

    yield end
    end()


def test_what_is_written_is_read(tmp_path):
    long = replace(ACTIVITY, metrics=["m" * 2000], seconds_left=2.5)
    with kept_activity(tmp_path, PROTOCOL, "1/2") as file:
        for activity in (long, ACTIVITY):  # nothing of the longer one is left
            file.write(activity)
            ((found, _),) = read_activities(tmp_path)
            assert found == activity
    assert [path.name for path in tmp_path.iterdir()] == ["activity-01234567-1of2.json"]


def test_a_process_lives_until_it_ends_however_it_ends(tmp_path, neighbour):
    ((activity, lives),) = read_activities(tmp_path)
    assert lives
    assert activity.done == 2
    neighbour()
    ((activity, lives),) = read_activities(tmp_path)
    assert lives is False
    assert activity.done == 2


def test_the_next_process_takes_a_dead_ones_file_and_no_living_ones(tmp_path, neighbour):
    with kept_activity(tmp_path, PROTOCOL, "1/2") as file:
        file.write(replace(ACTIVITY, done=3))
        assert sorted(activity.done for activity, _ in read_activities(tmp_path)) == [2, 3]
    neighbour()
    with kept_activity(tmp_path, PROTOCOL, "1/2") as file:
        file.write(replace(ACTIVITY, done=4))
    assert sorted(activity.done for activity, _ in read_activities(tmp_path)) == [3, 4]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"shard": 1}'])
def test_broken_files_are_left_out(tmp_path, content):
    (tmp_path / "activity-01234567-1of1.json").write_text(content)
    with pytest.warns(BenchWarning, match=r"activity-01234567-1of1\.json"):
        assert read_activities(tmp_path) == []


def test_a_folder_that_refuses_costs_no_run(tmp_path):
    with (
        pytest.warns(BenchWarning, match="`bench status` will not know"),
        kept_activity(tmp_path / "none", PROTOCOL, "1/1") as file,
    ):
        assert file is None
