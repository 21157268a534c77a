"""`bench run seeds=N`: rows that are the mean of N draws."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import load_rows
from bench.attribution.gradient import Saliency
from bench.metrics.pointing_game import PointingGame
from bench.storage.store import stored_runs

BOARD = Path("leaderboards/list_toy_xplique-probability.csv")
STILL = (
    "sparseness complexity effective_complexity average_drop increase_in_confidence adcc idsds "
    "confidence"
).split()
DRAWING = "mufidelity infidelity road max_sensitivity random_logit parameter_randomisation".split()


def by_method(results):
    return pd.read_csv(Path(results) / BOARD).set_index("method")


def test_a_row_is_the_mean_of_runs_with_these_seeds(bench):
    code, out, err = bench("method=[random,saliency]", "seed=3", "seeds=3", "gallery=0")
    assert code == 0, err
    assert "Draw 1 of 3, seed 3\n" in out
    assert "Draw 3 of 3, seed 5; the same for each seed: saliency" in out
    assert "mean of 3 draws (seeds 3-5), standard deviation between them: Insertion" in out
    found = by_method("results")
    assert found["draws"].to_dict() == {"random": 3, "saliency": 1}
    plain = []
    for seed in (3, 4, 5):
        code, _, err = bench("method=[random,saliency]", f"seed={seed}", f"results_dir=r{seed}")
        assert code == 0, err
        plain.append(by_method(f"r{seed}"))
    for column in ("insertion_auc", "deletion_auc", "srg", "tied_fraction"):
        means = [table.loc["random", column] for table in plain]
        assert found.loc["random", column] == pytest.approx(np.mean(means), abs=1e-6)
    for column in found.columns.intersection(plain[0].columns):
        if not column.startswith(("rank", "insertion_", "deletion_", "run_key")):
            one, other = found.loc["saliency", column], plain[0].loc["saliency", column]
            assert one == other or (pd.isna(one) and pd.isna(other)), column
    spread = np.std([table.loc["random", "insertion_auc"] for table in plain], ddof=1)
    assert found.loc["random", "insertion_draws_sd"] == pytest.approx(spread, abs=1e-6)
    drawn = load_rows("results").sort_values(["method", "seed", "image_id"])
    random = drawn[drawn["method"] == "random"]["insertion_auc"]
    alone = pd.concat([load_rows(f"r{seed}") for seed in (3, 4, 5)])
    alone = alone[alone["method"] == "random"].sort_values(["seed", "image_id"])["insertion_auc"]
    assert random.tolist() == alone.tolist()


def test_rows_are_shared_with_runs_of_single_seeds_and_all_commands_read_them(bench):
    assert bench("method=[random,saliency]", "seed=1")[0] == 0
    code, out, err = bench("method=[random,saliency]", "seeds=2", "figures=true")
    assert code == 0, err
    assert "Rows stored before: random 7 of 7" in out
    (row,) = by_method("results").filter(like="random", axis=0).to_dict("records")
    assert row["draws"] == 2
    assert "saliency (seed=1)" in by_method("results").index  # as two runs of a method are told
    for command, arguments in (
        ("leaderboard", ["results", "reference=random"]),
        ("report", ["results", "--output", "page.html"]),
        ("status", ["results"]),
        ("table", ["results"]),
    ):
        code, out, err = bench(*arguments, command=command)
        assert code == 0, err
    assert "mean of 2 draws" in Path("page.html").read_text()
    (second,) = [
        run for run in stored_runs(Path("results"))
        if run.identity.seed == 1 and run.identity.method.name == "random"
    ]  # fmt: skip
    code, out, err = bench(str(second.folder), "--trust", command="rerun")
    assert code == 0, err
    assert "insertion curves: the same bits" in out
    assert bench("method=[random]", "seeds=0")[0] == 1


def test_of_a_baseline_that_draws_all_methods_are_drawn(bench):
    noise = "protocol.metrics.deletion.baseline={kind: uniform}"
    code, _, err = bench("method=[saliency]", "seeds=2", "protocol.name=noise", noise)
    assert code == 0, err
    (row,) = pd.read_csv("results/leaderboards/list_toy_noise.csv").to_dict("records")
    assert (row["draws"], row["insertion_draws_sd"]) == (2, 0)
    assert row["deletion_draws_sd"] > 0


def test_metrics_that_say_so_draw_nothing(bench):
    asked = f"+metric=[{','.join([*STILL, *DRAWING])}]"
    tables = []
    for seed in (0, 1):
        code, _, err = bench("method=[saliency]", asked, f"seed={seed}", f"results_dir=s{seed}")
        assert code == 0, err
        (run,) = stored_runs(Path(f"s{seed}"))
        tables.append(run.rows())
    for name, metric in run.protocol.metrics.items():
        assert metric.may_draw == (name in DRAWING), name
        same = all(
            np.array_equal(*(np.stack(table[column].tolist()) for table in tables), equal_nan=True)
            for column in metric.columns((23, 23))
        )
        assert same == (not metric.may_draw), name


def test_a_class_of_somebody_elses_inherits_no_promise():
    class Noisy(Saliency):
        pass

    class Still(Saliency):
        draws = False

    class NoisyGame(PointingGame):
        pass

    assert (Noisy().may_draw, Still().may_draw, Saliency().may_draw) == (True, False, False)
    assert (NoisyGame().may_draw, PointingGame().may_draw) == (True, False)
