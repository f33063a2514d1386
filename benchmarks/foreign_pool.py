"""A pool that is half foreign, digits among photographs: what is lost, and what setting foreign rows aside recovers.

    python benchmarks/foreign_pool.py $TOOLKIT_DATA/cifar10_small/images.csv $TOOLKIT_DATA/mnist.npz --labels 25

As many digits as the table has unlabelled images join its pool (``--unlabelled``). ``pseudo-label`` then runs on the
pool as it was, on the mixed pool, and on the mixed pool with no row set aside.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from recipes import pseudo_label
from toolkit.semisupervised import foreign
from toolkit.tables import Table, read_table
from toolkit.training import Settings


def digits(path: str, count: int, to: Path) -> Path:
    """An .npz file of so many training digits."""
    with np.load(path) as archive:
        np.savez(to, x=archive["x_train"][np.sort(np.random.default_rng(0).permutation(60_000)[:count])])
    return to


def shown(title: str, table: Table, output: Path, settings: Settings, scales: int) -> None:
    """Runs pseudo-label and prints what it came to."""
    report: dict[str, Any] = pseudo_label.run(table, output=output, settings=settings, scales=scales)
    own, control = report["unlabelled"], report["baselines"][report["control"]]
    print(f"{title}: accuracy {100 * report['test']['accuracy']:.1f} %, its control {100 * control['accuracy']:.1f} %; "
          f"{own['rows']:,} rows in the pool, {own['set_aside']:,} set aside; precision estimated at "
          f"{100 * own['precision']['estimate']:.0f} %; {'fell back' if own['fall_back'] else 'used'}; alarms: "
          f"{'; '.join(alarm.split(':')[0] for alarm in own['alarms']) or 'none'}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table")
    parser.add_argument("mnist")
    parser.add_argument("--labels", type=int, default=25, help="a class")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=None)
    parser.add_argument("--scales", type=int, default=2)
    arguments = parser.parse_args()
    own_settings = Settings(image_size=arguments.image_size)
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(arguments.seeds):
            few = {"labels_per_class": arguments.labels, "label_seed": seed}
            clean = read_table(arguments.table, **few)
            more = digits(arguments.mnist, len(clean.unlabelled()), Path(folder) / "digits.npz")
            mixed = read_table(arguments.table, unlabelled=[more], **few)
            print(f"label seed {seed}: {len(clean.labelled('train')):,} labels", flush=True)
            for title, table, keep in (("as it was", clean, False), ("half foreign", mixed, False),
                                       ("half foreign, no row set aside", mixed, True)):
                real = foreign.foreign
                if keep:
                    foreign.foreign = lambda labelled, unlabelled, together: np.zeros(len(unlabelled), bool)
                shown(title, table, Path(folder) / f"{seed} {title}", own_settings, arguments.scales)
                foreign.foreign = real
