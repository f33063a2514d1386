"""The benchmark from a table to its files: verdicts, seeds, resuming, failures, processes."""

import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recipes import benchmark, benchmark_work, learning_curve
from recipes.benchmark import Row, baseline
from toolkit import ToolkitError
from toolkit.tables import Table, read_table
from toolkit.training import Settings

pytestmark = pytest.mark.contract

NET = Settings(backbone="mlp", weights="none", image_size=8, backbone_options={"hidden": [8], "dropout": 0.0},
               learning_rate=0.02, reflect="no", crop="none")


def net(epochs: int = 1) -> Row:
    return Row("net", recipe="fine_tune", settings=Settings(**{**NET.describe(), "epochs": epochs}))


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes 8 x 8 images of two classes that differ by ``contrast`` in grey: separable above 128, noise at 0."""
    folder = tmp_path_factory.mktemp("tables")

    def write(name: str, contrast: int, *, train: int = 240, test: int = 100) -> Path:
        random = np.random.default_rng(0)
        labels = random.integers(0, 2, train + test)
        images = random.integers(0, 256 - contrast, (train + test, 8, 8)) + contrast * labels[:, None, None]
        images = images.astype(np.uint8)
        np.savez(folder / name, x_train=images[:train], y_train=labels[:train], x_test=images[train:],
                 y_test=labels[train:])
        return folder / name

    return write


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rows are done in this process; their names and seeds are kept in a list."""
    done: list[str] = []

    def work(table: Table, row: Row, folder: Path, prepare: object) -> str:
        done.append(f"{row.name} {row.settings.seed}")
        try:
            benchmark_work._work(table, row, folder)
        except ToolkitError as error:
            return str(error)
        return ""

    monkeypatch.setattr(benchmark_work, "_in_own_process", work)
    return done


def test_on_noise_nothing_beats_the_majority_class(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    report = benchmark.run(read_table(write("noise.npz", 0)), output=tmp_path / "run",
                           rows=[baseline("LDA", "pixels"), net()])
    assert report["verdict"]["code"] == "nothing_beats_majority"
    assert json.loads((tmp_path / "run" / "benchmark.json").read_text())["verdict"] == report["verdict"]
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"params.json", "benchmark.csv", "benchmark.md",
                                                                    "benchmark.json", "rows"}


def test_on_separable_data_the_deep_model_is_not_distinguishable(write: Callable[..., Path], here: list[str],
                                                                 tmp_path: Path) -> None:
    report = benchmark.run(read_table(write("separable.npz", 128)), output=tmp_path / "run", rows=[net(epochs=10)])
    assert report["verdict"]["code"] == "not_distinguishable"
    words = "net (error 0.0 %) is not distinguishable from logistic regression on pixels"
    assert words in report["verdict"]["sentence"]
    net_row = report["rows"][2]
    run = json.loads((tmp_path / "run" / "rows" / "net" / "seed-0" / "report.json").read_text())
    assert net_row["error"] == pytest.approx(1 - run["test"]["accuracy"])
    assert net_row["validation_error"] == pytest.approx(1 - run["validation"]["accuracy"])


def test_what_no_seed_changes_is_done_once(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    """The table names its test rows, and the splits of a table that names validation rows too never change."""
    table = read_table(write("noise.npz", 0))
    rows = [baseline("LDA", "pixels"), baseline("radial basis functions", "pixels")]
    report = benchmark.run(table, output=tmp_path / "chosen", rows=rows, seeds=2)
    assert here.count("LDA on pixels 0") == here.count("LDA on pixels 1") == 1  # validation rows are drawn anew
    assert report["same_test_rows"] and report["seeds"] == 2
    here.clear()
    path = write("named.npz", 0)
    with np.load(path) as data:
        np.savez(path, **data, x_val=data["x_test"][:40], y_val=data["y_test"][:40])
    report = benchmark.run(read_table(path), output=tmp_path / "named", rows=rows, seeds=2)
    assert [name for name in here if name.startswith(("LDA", "radial"))] == [
        "LDA on pixels 0", "radial basis functions on pixels 0", "radial basis functions on pixels 1"]
    assert [row["seeds"] for row in report["rows"]] == [1, 1, 1, 2]


def test_resuming_does_what_is_missing_and_takes_more_rows_and_seeds(write: Callable[..., Path], here: list[str],
                                                                     tmp_path: Path) -> None:
    table, output = read_table(write("noise.npz", 0)), tmp_path / "run"
    first = benchmark.run(table, output=output, rows=[])
    assert here == ["majority class 0", "logistic regression on pixels 0"]
    with pytest.raises(ToolkitError, match="use --resume"):
        benchmark.run(table, output=output, rows=[])
    here.clear()
    assert benchmark.run(table, output=output, rows=[], resume=True) == first and not here
    (output / "rows" / "majority-class" / "seed-0" / "result.json").unlink()
    benchmark.run(table, output=output, rows=[baseline("LDA", "pixels")], seeds=2, resume=True)
    assert here == ["majority class 0", "LDA on pixels 0", "majority class 1", "logistic regression on pixels 1",
                    "LDA on pixels 1"]


def test_a_row_of_another_kind_under_the_same_name_is_refused(write: Callable[..., Path], here: list[str],
                                                              tmp_path: Path) -> None:
    table, output = read_table(write("noise.npz", 0)), tmp_path / "run"
    benchmark.run(table, output=output, rows=[Row("mine", method="LDA", space="pixels")])
    with pytest.raises(ToolkitError, match="same name but with other options"):
        benchmark.run(table, output=output, rows=[Row("mine", method="majority class", space="pixels")], resume=True)
    np.save(output / "rows" / "majority-class" / "seed-0" / "probabilities.npy", np.zeros((3, 2)))
    with pytest.raises(ToolkitError, match="damaged"):
        benchmark.run(table, output=output, rows=[], resume=True)


def test_a_row_that_cannot_be_done_is_a_line_of_the_table(write: Callable[..., Path], here: list[str], tmp_path: Path
                                                          ) -> None:
    bad = Row("head of a random net", recipe="fine_tune", settings=NET, options={"unfreeze": "head"})
    report = benchmark.run(read_table(write("noise.npz", 0)), output=tmp_path / "run", rows=[bad], seeds=2)
    assert "leave a network from scratch at its random weights" in report["rows"][2]["failure"]
    assert len([name for name in here if name.startswith("head")]) == 1
    assert report["rows"][1]["error"] > 0


def test_names_too_alike_and_tables_without_test_rows_are_refused(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="'My net' and 'my-net', too alike"):
        benchmark.with_controls([Row("My net", recipe="fine_tune"), Row("my-net", recipe="fine_tune")])
    table = read_table(write("noise.npz", 0))
    table = table.select(table.in_split("train"))
    with pytest.raises(ToolkitError, match="no labelled test row"):
        benchmark.run(table, output=tmp_path / "run", rows=[])


def test_unlabelled_rows_are_left_out(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    table = read_table(write("noise.npz", 0), labels_per_class=3)
    benchmark.run(table, output=tmp_path / "run", rows=[])
    folder = tmp_path / "run" / "rows" / "logistic-regression-on-pixels" / "seed-0"
    found = json.loads((folder / "result.json").read_text())
    assert found["details"]["rows"] == 6 and found["validation_accuracy"] is None


def test_groups_of_test_rows_widen_the_intervals(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    table = read_table(write("noise.npz", 0))
    names = np.array([f"{label} {number // 40}" for number, label in enumerate(table.labels)], object)
    alone, grouped = (benchmark.run(own, output=tmp_path / name, rows=[])["rows"][0]["interval95"] for name, own in
                      (("alone", table), ("grouped", dataclasses.replace(table, groups=names))))
    assert grouped[1] - grouped[0] > 1.5 * (alone[1] - alone[0])  # the majority class is right on whole groups


def test_spaces_of_baselines(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    backbone = Settings(backbone="small_cnn", weights="none", image_size=8, backbone_options={"filters": [4]})
    report = benchmark.run(read_table(write("separable.npz", 128)), output=tmp_path / "run",
                           rows=[baseline("LDA", "hog"), baseline("LDA", "features", backbone)])
    assert [row["name"] for row in report["rows"][2:]] == ["LDA on HOG", "LDA on frozen features"]
    assert report["rows"][3]["error"] < 0.2


def test_a_learning_curve_draws_labels_and_resumes(write: Callable[..., Path], here: list[str], tmp_path: Path) -> None:
    table, output = read_table(write("separable.npz", 128)), tmp_path / "run"
    report = learning_curve.run(table, output=output, labels=[1, 5], rows=[baseline("LDA", "pixels")], seeds=2)
    assert report["labels_per_class"] == [1, 5] and report["labelled_rows"] == [2, 10]
    assert all(len(row["points"]) == 2 and row["points"][0]["seeds"] == 2 for row in report["rows"])
    assert report["rows"][2]["points"][1]["error"] < 0.5
    assert (output / "learning_curve.csv").is_file()
    here.clear()
    learning_curve.run(table, output=output, labels=[1, None], rows=[baseline("LDA", "pixels")], seeds=2, resume=True)
    assert here and all("labels" not in name for name in here)
    assert {path.name for path in output.glob("labels-*")} == {"labels-1", "labels-5", "labels-all"}


# ---- Processes ----------------------------------------------------------------------------------------------------


MAJORITY = baseline("majority class", "pixels")


def test_a_row_in_a_process_of_its_own(write: Callable[..., Path], tmp_path: Path) -> None:
    table = read_table(write("noise.npz", 0))
    ballast = np.ones(500_000_000 // 8)  # memory of this process is not counted to the row
    found = benchmark_work.result(table, MAJORITY, tmp_path / "row")
    test = table.labelled("test")
    most = np.bincount(table.labels[table.labelled("train")]).argmax()
    np.testing.assert_array_equal(found["hits"], table.labels[test] == most)
    assert 0.02 < found["peak_memory_gb"] < 0.4 and len(ballast)


@pytest.mark.parametrize(("prepare", "words"), [
    (functools.partial(os._exit, 7), "its process ended with exit code 7"),
    (functools.partial(signal.raise_signal, signal.SIGKILL), "ended by SIGKILL, as the system does when memory runs"),
    (functools.partial(int, "seven"), "ValueError: invalid literal")])
def test_a_process_that_dies_is_a_sentence(prepare: Callable[[], None], words: str, write: Callable[..., Path],
                                           tmp_path: Path) -> None:
    found = benchmark_work.result(read_table(write("noise.npz", 0)), MAJORITY, tmp_path / "row", prepare=prepare)
    assert words in found["failure"]
    assert not (tmp_path / "row").exists()


def test_the_process_ends_with_the_one_that_started_it(write: Callable[..., Path], tmp_path: Path) -> None:
    """However that ends: here by SIGKILL, in the middle of a row."""
    code = ("import functools, sys, time\nfrom pathlib import Path\nfrom recipes import benchmark, benchmark_work\n"
            "from toolkit.tables import read_table\n"
            "if __name__ == '__main__':\n"
            "    benchmark_work.result(read_table(sys.argv[1]), benchmark.baseline('majority class', 'pixels'),\n"
            "                          Path(sys.argv[2]) / 'row', prepare=functools.partial(time.sleep, 60))\n")
    (tmp_path / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    waiting = subprocess.Popen([sys.executable, str(tmp_path / "script.py"), str(write("noise.npz", 0)), str(tmp_path)],
                               env=environment)
    children = Path(f"/proc/{waiting.pid}/task/{waiting.pid}/children")
    if not children.exists():
        waiting.kill()
        pytest.skip("needs /proc")
    until = time.monotonic() + 60
    workers: list[int] = []
    while not workers and time.monotonic() < until:
        time.sleep(0.1)
        workers = [int(pid) for pid in children.read_text().split() if _is_worker(int(pid))]
    waiting.kill()
    waiting.wait()
    assert workers
    while any(map(_is_worker, workers)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(_is_worker, workers))


def _is_worker(pid: int) -> bool:
    """Whether a process is alive and does a row; multiprocessing starts another one that watches resources."""
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def test_only_rows_that_learn_from_unlabelled_rows_see_them(write: Callable[..., Path], here: list[str],
                                                            tmp_path: Path) -> None:
    table = read_table(write("few.npz", 64), labels_per_class=6)
    assert len(table.unlabelled()) > 200
    few = Row("fix-match", recipe="fix_match", settings=NET, options={"steps": 20, "strong_copies": 1})
    report = benchmark.run(table, output=tmp_path / "run", rows=[net(), few], seeds=2)
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["fix-match"]["kind"] == "unlabelled" and rows["fix-match"]["seeds"] == 2
    assert rows["fix-match"]["details"]["pool"] > 200 and rows["net"]["details"]["rows"] == 12
    predicted = [len((tmp_path / f"run/rows/{name}/seed-0/predictions.csv").read_text().splitlines()) - 1
                 for name in ("net", "fix-match")]
    assert predicted == [12 + 100, len(table)]
    assert 0 <= rows["fix-match"]["labels_only_error"] <= 1 and rows["net"]["labels_only_error"] is None
    own, = report["own_controls"]
    gain = rows["fix-match"]["labels_only_error"] - rows["fix-match"]["error"]
    assert own["first"] == "fix-match" and own["difference"] == pytest.approx(gain)
    assert report["labels_only"] == "net"
    assert report["verdict"]["sentences"][1].startswith("Did the unlabelled rows help? Against the same method on the")
    assert report["verdict"]["sentences"][2].startswith("Against net, which learns from the labels alone")


def test_a_learning_curve_of_series(here: list[str], tmp_path: Path) -> None:
    random, labels = np.random.default_rng(0), np.arange(80) % 2
    rows = [f"\"{' '.join(f'{value:.3f}' for value in random.normal(size=12) + 3 * label * (np.arange(12) > 5))}\","
            f"{'ab'[label]},{'test' if row % 4 == 0 else 'train'}" for row, label in enumerate(labels)]
    (tmp_path / "series.csv").write_text("values,label,split\n" + "\n".join(rows) + "\n")
    report = learning_curve.run(read_table(tmp_path / "series.csv"), output=tmp_path / "curve", labels=(2, None),
                                rows=[baseline("dynamic time warping", "series"), baseline("LDA", "series")], seeds=1)
    errors = {row["name"]: [point["error"] for point in row["points"]] for row in report["rows"]}
    assert list(errors) == ["majority class", "logistic regression on values", "dynamic time warping", "LDA on values"]
    assert errors["LDA on values"][-1] < 0.2 and len(report["comparisons"]) > 0
    with pytest.raises(ToolkitError, match="LDA on pixels.*METHOD@series or METHOD@features"):
        benchmark.run(read_table(tmp_path / "series.csv"), output=tmp_path / "no", rows=[baseline("LDA", "pixels")])
