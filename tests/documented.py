"""Pages of the documentation, and the code blocks in them."""

import re
import subprocess
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
]


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    page: str
    line: int
    language: str
    text: str
    file: str
    """The file that the line above names, as in "`my_conf/method/mine.yaml`:"; else empty."""


def blocks(page, language=""):
    """The fenced blocks of a page, of one language if it is given."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in re.finditer(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", text, flags=re.MULTILINE):
        named = re.search(r"`([\w/.-]+)`:\n+\Z", text[: match.start()])
        line = text.count("\n", 0, match.start()) + 1
        code = textwrap.dedent(match[3])
        found.append(Block(page, line, match[2].strip(), code, named[1] if named else ""))
    return [block for block in found if not language or block.language == language]


def write_files(page):
    """Writes every file that a page shows into the current folder; returns their names."""
    named = [block for block in blocks(page) if block.file]
    for block in named:
        path = Path(block.file)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
    return [block.file for block in named]


_RECORD = r"""
PATH=/nowhere
command_not_found_handle() { printf '%s\0' "$@" >&3; printf '\n' >&3; }
for builtin in cd source; do
  eval "$builtin() { command_not_found_handle $builtin \"\$@\"; }"
done
seq() { /usr/bin/seq "$@"; }
exec 3>recorded
"""
"""No program is found, so that each is written down with its arguments in place of being run."""


def commands(block):
    """The programs that a shell block would start, each with its arguments as a shell gives them.

    Nothing is started; files that output is sent to appear in the current folder.
    """
    script = _RECORD + block.text.replace(".venv/bin/", "")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert not done.stderr, f"{block.page}:{block.line}: {done.stderr}"
    recorded = Path("recorded").read_text()
    Path("recorded").unlink()
    return [line.split("\0")[:-1] for line in recorded.splitlines()]
