import pytest

from bench.report import kept
from bench.report.kept import is_page_of, kept_files, mark_page, record_files, sources_sha256


@pytest.fixture
def folder(tmp_path):
    for name in ("runs/a/rise-1/manifest.json", "pictures/a/1.npz", "maps/x.npy"):
        path = tmp_path / "results" / name
        path.parent.mkdir(parents=True)
        path.write_text("one")
    return tmp_path / "results"


CHANGES = {
    "a stored file": lambda folder: (folder / "runs/a/rise-1/manifest.json").write_text("two"),
    "a picture": lambda folder: (folder / "pictures/a/1.npz").write_text("two"),
    "a file that is missing": lambda folder: (folder / "pictures/a/1.npz").unlink(),
    "one more": lambda folder: (folder / "runs/a/rise-1/part-2").write_text(""),
    "another name": lambda folder: (folder / "pictures/a/1.npz").rename(folder / "pictures/2.npz"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_is_read_decides(folder, change):
    before = sources_sha256([folder], {})
    change(folder)
    assert sources_sha256([folder], {}) != before


def test_locks_and_what_is_not_read_do_not(folder):
    before = sources_sha256([folder], {})
    (folder / "runs/.lock").touch()
    (folder / "runs/a/.claim-1").write_text("[]")
    (folder / "runs/a/rise-1/activity-1of1.json").write_text("{}")
    (folder / "maps/x.npy").write_text("two")
    (folder / "report.html").write_text("two")
    assert sources_sha256([folder], {}) == before


def test_settings_decide_and_the_files_that_they_name(folder, tmp_path):
    table = tmp_path / "weather.csv"
    table.write_text("one")
    settings = {"arguments": [f"by={table}:sky", "test=permutation"]}
    before = sources_sha256([folder], settings)
    assert sources_sha256([folder], {"arguments": settings["arguments"][:1]}) != before
    table.write_text("two")
    assert sources_sha256([folder], settings) != before


def test_published_tables_of_the_user_decide(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [sources_sha256([folder], {})]
    (tmp_path / "published").mkdir()
    (tmp_path / "published/notes.txt").write_text("one")
    assert sources_sha256([folder], {}) == found[0]
    for text in ("one", "two"):
        (tmp_path / "published/cub.csv").write_text(text)
        found.append(sources_sha256([folder], {}))
    assert len({*found}) == 3


def test_the_code_decides(folder, monkeypatch):
    before = sources_sha256([folder], {})
    monkeypatch.setattr(kept, "_code_sha256", lambda: "newer")
    assert sources_sha256([folder], {}) != before


def test_a_page_is_kept_until_it_or_its_sources_change(tmp_path):
    page = tmp_path / "page.html"
    assert not is_page_of(page, "0" * 64)
    page.write_text("<html></html>\n")
    assert not is_page_of(page, "0" * 64)
    mark_page(page, "0" * 64)
    assert is_page_of(page, "0" * 64)
    assert not is_page_of(page, "1" * 64)
    for edited in ("<html>!</html>\n", "<html></html>\n"):
        page.write_text(page.read_text().replace("<html></html>\n", edited) + " ")
        assert not is_page_of(page, "0" * 64)


def test_drawn_files_are_kept_until_one_of_them_changes(tmp_path):
    record, names = tmp_path / "board_figures.json", ["a.png", "a.svg"]
    for name in names:
        (tmp_path / name).write_text(name)
    assert kept_files(record, "sources") is None
    record_files(record, "sources", names)
    assert kept_files(record, "sources") == names
    assert kept_files(record, "others") is None
    (tmp_path / "a.svg").write_text("edited")
    assert kept_files(record, "sources") is None
    (tmp_path / "a.svg").unlink()
    assert kept_files(record, "sources") is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"made_of": "sources", "files": 3}', "null"])
def test_a_broken_record_is_none(tmp_path, content):
    (tmp_path / "board_figures.json").write_text(content)
    assert kept_files(tmp_path / "board_figures.json", "sources") is None
