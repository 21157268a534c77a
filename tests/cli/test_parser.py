import pytest

from bench.cli import main


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["list", "method"], "did you mean `bench list methods`"),
        (["list", "models"], "did you mean `bench list backbones`"),
        (["list"], "as in `bench list methods`"),
        (["methods"], "did you mean `bench list methods`"),
        (["lis", "methods"], "did you mean `bench list`"),
        (["demo"], "did you mean `bench run experiment=demo`"),
        (["method=rise"], "did you mean `bench run method=rise`"),
        (["frobnicate"], "there are run, rerun,"),
        (["report"], "as in `bench report results -o page.html`"),
        (["report", "results", "-o"], "expected one argument"),
        (["leaderboard", "--foo"], "unknown argument --foo"),
        (["list", "methods", "more"], "unknown argument more"),
    ],
)
def test_bad_usage_is_one_line_that_leads(arguments, hint, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out, err = capsys.readouterr()
    assert (ended.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("bench")
    assert hint in err


def test_rules_may_follow_an_option(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "-o", "page.html", "nowhere", "auc=mean"])
    assert ended.value.code == 1
    assert "results folder 'nowhere' is missing" in capsys.readouterr().err
