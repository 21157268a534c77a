import pytest

from bench.errors import BenchError
from bench.report.front import FrontMatter, front_matter


def test_text_or_a_file_of_it(tmp_path):
    found = front_matter(" A\ttitle ", "A, B", "One\nparagraph.\n\n \nAnother.\n")
    assert found == FrontMatter("A title", "A, B", ("One paragraph.", "Another."))
    path = tmp_path / "intro.txt"
    path.write_bytes("\ufeffErste Zeile.\r\n\r\nZweite: ä.\r\n".encode())
    assert front_matter(text=str(path)).paragraphs == ("Erste Zeile.", "Zweite: ä.")
    assert front_matter(text="n" * 5000).paragraphs == ("n" * 5000,)
    assert front_matter() == FrontMatter()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"title": " "}, "--title: expected a text, found an empty one"),
        ({"text": "nowhere.md"}, "--text: no file 'nowhere.md'"),
        ({"text": "a/b"}, "--text: no file 'a/b'"),
        ({"text": "binary.txt"}, "--text: 'binary.txt' is no text in UTF-8"),
        ({"text": "empty.txt"}, "--text: 'empty.txt' is empty"),
    ],
)
def test_mistakes_are_told(given, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty.txt").write_bytes(b"\n")
    with pytest.raises(BenchError) as error:
        front_matter(**given)
    assert str(error.value).startswith(expected)
