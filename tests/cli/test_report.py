import subprocess
import sys

import pytest
from stored_results import write_results

from bench.cli import main
from bench.errors import warn
from bench.storage.store import stored_runs

KEPT = "as it is: nothing that it shows has changed"


@pytest.fixture
def report(tmp_path, capsys):
    folder, output = write_results(tmp_path / "results"), tmp_path / "page.html"

    def run(*rules):
        main(["report", str(folder), *rules, "--output", str(output)])
        return capsys.readouterr().out

    run.folder, run.output = folder, output
    return run


def test_a_page_that_shows_the_same_is_kept(report):
    assert KEPT not in report()
    page = report.output.read_bytes()
    assert KEPT in report()
    assert report.output.read_bytes() == page
    code = (
        "import sys\nfrom bench.cli import main\n"
        f"main(['report', {str(report.folder)!r}, '-o', {str(report.output)!r}])\n"
        "print({'torch', 'hydra', 'pandas'} & {*sys.modules})"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert KEPT in run.stdout
    assert run.stdout.endswith("set()\n")


def test_it_is_made_again_where_anything_differs(report):
    report()
    assert KEPT not in report("auc=mean")
    assert KEPT not in report()
    report.output.write_text(report.output.read_text().replace("<title>", "<title>x"))
    assert KEPT not in report()
    assert KEPT in report()
    next(report.folder.glob("pictures/*/*.npz")).unlink()
    assert KEPT not in report()


def test_title_authors_and_text_decide_the_page(report, tmp_path):
    (tmp_path / "intro.txt").write_text("Why.")
    given = ("--title", "A title", "--authors", "A, B", "--text", str(tmp_path / "intro.txt"))
    assert KEPT not in report(*given)
    assert KEPT in report(*given)
    (tmp_path / "intro.txt").write_text("Why not.")
    assert KEPT not in report(*given)
    text = report.output.read_text()
    assert all(part in text for part in (">A title<", ">A, B<", ">Why not.<"))
    assert KEPT not in report(*given[2:])


def test_warnings_are_told_each_time(report, monkeypatch, capsys):
    from bench.report import html

    write = html.write_report

    def warns(*arguments, **settings):
        warn("something was left out")
        write(*arguments, **settings)

    monkeypatch.setattr(html, "write_report", warns)
    for _ in range(2):
        main(["report", str(report.folder), "--output", str(report.output)])
        out, err = capsys.readouterr()
        assert KEPT not in out
        assert err == "bench: warning: something was left out\n"


def test_what_others_code_has_a_part_in_is_made_each_time(report, monkeypatch):
    (one, *_) = stored_runs(report.folder)
    monkeypatch.setattr(type(one.protocol), "is_shipped", False)
    assert KEPT not in report()
    assert KEPT not in report()
