"""Tests lie where the module lies that they test: tests/storage/test_rows.py for
storage/rows.py."""

from pathlib import Path

ROOT = Path(__file__).parents[1]

OF_SEVERAL_MODULES = {
    "attribution/test_golden_methods.py",
    "attribution/test_golden_rise.py",
    "attribution/test_golden_submodular.py",
    "attribution/test_methods.py",  # the contract, for every shipped method
    "backbones/test_keras_golden.py",
    "leaderboard/test_published_cells.py",  # results/published/
    "metrics/test_golden_curves.py",
    "report/figures/test_limits.py",
    "report/tables/test_one_rule.py",
    "report/test_page.py",  # in a browser
    "scripts/docs/test_site.py",  # in a browser
    # The repository as a whole.
    "test_documentation.py",
    "test_doctests.py",
    "test_examples.py",
    "test_install.py",
    "test_layout.py",
    "test_metric_names.py",
    "test_packaging.py",
    "test_repository.py",
    "test_security.py",
}


def module_of(test):
    """The module whose test this is, without its suffix."""
    return test.with_name(test.stem.removeprefix("test_"))


def test_every_test_has_its_module():
    astray = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        test = path.relative_to(ROOT / "tests")
        if test.as_posix() in OF_SEVERAL_MODULES or test.parts[0] == "runs":
            continue
        module = module_of(test)
        home = ROOT if test.parts[0] == "scripts" else ROOT / "bench"
        package = home / module.parent / "__init__.py"  # tests/cli/test_cli.py
        if not (home / module).with_suffix(".py").exists() and not (
            module.name == module.parent.name and package.exists()
        ):
            astray.add(test.as_posix())
    assert astray == set()


def test_what_is_listed_is_there():
    assert {name for name in OF_SEVERAL_MODULES if not (ROOT / "tests" / name).exists()} == set()


def test_only_the_ground_lies_at_the_top_of_the_package():
    """What is new there has to be small, know no folder, and be named here."""
    assert {path.stem for path in (ROOT / "bench").glob("*.py")} == {
        "__init__", "__main__", "arrays", "batching", "device", "errors", "files", "score",
        "seeding", "target", "ties",
    }  # fmt: skip
