"""Records what shipped methods and metrics say of themselves, for `bench list`.

    python scripts/record_facts.py

Run it when one was added, or says something else: passes, needs, citation. A test compares.
"""

import csv

from bench.cli.facts import FACTS
from bench.cli.listing import RECORDS, TITLES
from bench.config.choices import SHIPPED


def main() -> None:
    """Writes a CSV for each group."""
    for group, facts_of in FACTS.items():
        with (RECORDS / f"{group}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["name", *TITLES[group]])
            for path in sorted((SHIPPED / group).rglob("*.yaml")):
                name = path.relative_to(SHIPPED / group).with_suffix("").as_posix()
                writer.writerow([name, *facts_of(path)])


if __name__ == "__main__":
    main()
