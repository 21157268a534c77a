"""Title, authors and introduction of a page, as whoever writes it gives them."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.errors import BenchError
from bench.files import read_whole


@dataclass(frozen=True)
class FrontMatter:
    """What stands at the head of a page.

    Attributes:
        title: Empty: the leaderboard's name.
        authors: A line under the title, or empty.
        paragraphs: The introduction.
    """

    title: str = ""
    authors: str = ""
    paragraphs: tuple[str, ...] = ()

    def settings(self) -> Mapping[str, object]:
        """What decides it, as plain values."""
        return asdict(self)


def front_matter(
    title: str | None = None, authors: str | None = None, text: str | None = None
) -> FrontMatter:
    """Reads what a page begins with.

    Args:
        title: In one line; None: the leaderboard's name.
        authors: In one line.
        text: The introduction, or the path of a file of it, in UTF-8; a blank line begins a
            paragraph. One word that looks like a path (`intro.txt`) is taken for one.

    Raises:
        BenchError: A value is empty, or the file is missing, cannot be read or is no text.
    """
    given = {"--title": title, "--authors": authors, "--text": text}
    for option, value in given.items():
        if value is not None and not value.strip():
            raise BenchError(f"{option}: expected a text, found an empty one: leave the option out")
    return FrontMatter(_line(title or ""), _line(authors or ""), _paragraphs(text or ""))


def _line(text: str) -> str:
    return " ".join(text.split())


def _paragraphs(text: str) -> tuple[str, ...]:
    path = _path_in(text)
    if path is not None:
        try:
            text = read_whole(path).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BenchError(
                f"--text: '{path}' is no text in UTF-8 (byte {error.start}): expected plain text"
            ) from None
        if not text.strip():
            raise BenchError(f"--text: '{path}' is empty: expected an introduction")
    return tuple(
        _line(part) for part in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if part.strip()
    )


def _path_in(text: str) -> Path | None:
    """The file that a text names; None where it is the introduction itself."""
    path = Path(text)
    try:
        if path.is_file():
            return path
    except (OSError, ValueError):  # longer than names may be, say
        return None
    if re.fullmatch(r"\S*[/\\]\S*|\S+\.(txt|md|text|rst)", text):
        raise BenchError(
            f"--text: no file '{text}': expected a text file, or the introduction itself"
        )
    return None
