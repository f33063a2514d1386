"""Does the audit's interval hold the true precision of the pseudo-labels, and is the fall-back right when it fires?

    python benchmarks/audit_coverage.py $TOOLKIT_DATA/mnist.npz --runs 50 --labels 4 --features 96

Of 3,000 fixed training images of MNIST each run draws --labels a class, a pool of 1,500 of the others and keeps the
rest to score: self-training in rounds (``pseudo-label``) against its labels-only control, on pixels or on frozen
features at --features pixels, one view. The true precision is the share of right ones among the pseudo-labels used; the
fall-back is right when the control scores as high as the method on the images kept, and staying is right when it does
not.
"""

import argparse

import numpy as np

from recipes import pseudo_label
from toolkit.models import backbones
from toolkit.semisupervised import class_shares, heads, pools, trials
from toolkit.tables import Table, read_table
from toolkit.training import features

IMAGES, POOL, DIMENSIONS = 3000, 1500, 128


def drawn(path: str, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Values (3000, F) and labels of fixed training images."""
    table: Table = read_table(path)
    some = table.in_split("train")
    table = table.select(np.sort(np.random.default_rng(0).permutation(some)[:IMAGES]))
    if image_size:
        return features.extract(backbones.build("efficientnet_lite0", image_size=image_size), table), table.labels
    return features.pixels(table), table.labels


def one_run(values: np.ndarray, labels: np.ndarray, per_class: int, seed: int, flipped: float) -> dict[str, float]:
    """What one draw of labels and pool came to."""
    random = np.random.default_rng(seed)
    known = np.concatenate([random.permutation(np.flatnonzero(labels == c))[:per_class] for c in range(10)])
    others = random.permutation(np.setdiff1d(np.arange(len(labels)), known))
    pool, kept = others[:POOL], others[POOL:]
    told = np.where(random.random(len(known)) < flipped, random.integers(10, size=len(known)), labels[known])
    reduced = heads.space(values[np.concatenate([known, pool])], max_dimensions=DIMENSIONS)
    views = reduced.features[None]
    problem = trials.Problem(views[:, :len(known)], told, views[:, len(known):], class_shares.of_labels(told, 10),
                             num_weak=0, seed=seed)
    control = trials.choose(pseudo_label.labels_only, pseudo_label.CONTROLS, problem)
    settings = [{**control.settings, **own} for own in pseudo_label.ROUNDS]
    chosen = trials.choose(pseudo_label.in_rounds, settings, problem)
    judgement = pools.judge(chosen.labels, chosen.probabilities, control.probabilities)
    fit, plain = trials.final(chosen, problem), trials.final(control, problem)
    found = trials.audited(fit, chosen, problem, [str(number) for number in range(10)])
    right = (fit.pseudo_labels == labels[pool])[fit.rounds > 0]
    low, high = found["precision"]["interval95"]
    by_method, by_control = (float((one.head.probabilities(heads.projected(reduced, values[kept])).argmax(axis=1)
                                    == labels[kept]).mean()) for one in (fit, plain))
    return {"held": low <= right.mean() <= high, "true": right.mean(), "estimate": found["precision"]["estimate"],
            "width": high - low, "fell_back": judgement.fall_back, "gain": by_method - by_control,
            "alarms": len(found["alarms"])}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mnist")
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--labels", type=int, default=10, help="a class")
    parser.add_argument("--features", type=int, default=0, help="image size of the backbone; 0: pixels")
    parser.add_argument("--flipped", type=float, default=0.0, help="share of the labels drawn anew")
    arguments = parser.parse_args()
    images, classes = drawn(arguments.mnist, arguments.features)
    results = [one_run(images, classes, arguments.labels, seed, arguments.flipped) for seed in range(arguments.runs)]
    columns = {name: np.array([one[name] for one in results], float) for name in results[0]}
    fell, gain = columns["fell_back"] > 0, columns["gain"]
    print(f"{len(results)} runs, {arguments.labels} labels a class: the interval holds the true precision in "
          f"{100 * columns['held'].mean():.0f} % (true {100 * columns['true'].mean():.1f} %, estimate minus truth "
          f"{100 * (columns['estimate'] - columns['true']).mean():+.1f} points, width "
          f"{100 * columns['width'].mean():.0f} points); {int((columns['alarms'] > 0).sum())} runs with an alarm")
    print(f"the fall-back fired in {int(fell.sum())} runs and was right in {int((gain[fell] <= 0).sum())}; it stayed "
          f"away in {int((~fell).sum())} and was right in {int((gain[~fell] > 0).sum())}; gain of the method over its "
          f"control: mean {100 * gain.mean():+.1f} points, worst {100 * gain.min():+.1f}, worst without falling back "
          f"{100 * gain[~fell].min(initial=1):+.1f}")
