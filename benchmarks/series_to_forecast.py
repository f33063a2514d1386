"""Writes real series that ship inside the package aeon (extra `series`) as tables to forecast.

    python benchmarks/series_to_forecast.py runs/series        # airline.csv, lynx.csv, solar.csv
    toolkit train-lstm runs/series/airline.csv --task forecast --season 12 --horizon 3 --output runs/airline

| table | what | values | season |
|---|---|---|---|
| airline | airline passengers a month, thousands, 1949 to 1960 (Box and Jenkins) | 144 | 12 |
| lynx | lynx trapped a year in Canada, 1821 to 1934 | 114 | about 10 |
| solar | solar power of Great Britain, each half hour, in 2021 | 289 | 48 |
"""

from __future__ import annotations

import csv
import importlib.util
from pathlib import Path

import click

FILES = {"airline": "Airline/Airline.csv", "lynx": "Lynx/Lynx.csv", "solar": "solar/solar.csv"}


@click.command()
@click.argument("output", type=click.Path(file_okay=False, path_type=Path))
def main(output: Path) -> None:
    """Writes the tables into the folder OUTPUT; aeon is not imported, only its files are read."""
    found = importlib.util.find_spec("aeon")
    if found is None or found.origin is None:
        raise click.ClickException('aeon is not installed: pip install "toolkit[series]".')
    output.mkdir(parents=True, exist_ok=True)
    for name, file in FILES.items():
        with (Path(found.origin).parent / "datasets" / "data" / file).open(newline="") as source:
            rows = [row[:2] for row in csv.reader(source)][1:]
        with (output / f"{name}.csv").open("w", newline="") as target:
            csv.writer(target, lineterminator="\n").writerows([("time", "value"), *rows])
        print(f"{output / name}.csv: {len(rows)} values")


if __name__ == "__main__":
    main()
