"""evaluate, predict, compare, rerun on finished runs, and the list of backbones."""

import csv
import io
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

Toolkit = Callable[..., Result]
Runs = tuple[Path, Result]
ROOT = Path(__file__).parents[2]


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_evaluate_scores_the_test_rows(fine_tuned: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    folder, _ = fine_tuned
    result = toolkit("evaluate", folder, photos, "--json", "--output", tmp_path / "evaluation")
    assert result.exit_code == 0
    report, trained = json.loads(result.stdout), json.loads((folder / "report.json").read_text())
    assert report["test"] == trained["test"]
    assert report["baselines"] == {} and report["verdict"]["code"] is None
    written = tmp_path / "evaluation"
    assert (written / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
    assert json.loads((written / "report.json").read_text()) == report


@pytest.mark.parametrize(("split", "count"), [("train", 20), ("validation", 8), ("all", 40)])
def test_evaluate_other_splits(split: str, count: int, fine_tuned: Runs, photos: Path, toolkit: Toolkit) -> None:
    report = json.loads(toolkit("evaluate", fine_tuned[0], photos, "--split", split, "--json").stdout)
    assert report["test"]["count"] == count
    assert any("What is called test here" in note for note in report["notes"])


def test_evaluate_prints_a_report_on_a_table_without_splits(fine_tuned: Runs, photos: Path, toolkit: Toolkit) -> None:
    table = photos.with_name("no-splits.csv")
    table.write_text("path,label\n30.png,dark\n31.png,light\n32.png,dark\n3.png,\n")
    result = toolkit("evaluate", fine_tuned[0] / "model.keras", table)
    assert result.exit_code == 0 and "test, 3 images" in result.stdout and "Confusion matrix" in result.stdout


def test_rows_that_a_run_has_learnt_from_test_nothing(fine_tuned: Runs, photos: Path, toolkit: Toolkit) -> None:
    table = photos.with_name("mixed.csv")
    table.write_text("path,label\n0.png,dark\n21.png,light\n30.png,dark\n31.png,light\n2.png,\n")
    report = json.loads(toolkit("evaluate", fine_tuned[0], table, "--json").stdout)
    assert report["test"]["count"] == 2 and any(note.startswith("2 of 5 rows are left out") for note in report["notes"])
    every = json.loads(toolkit("evaluate", fine_tuned[0], table, "--split", "all", "--json").stdout)
    assert every["test"]["count"] == 4
    table.write_text("path,label\n0.png,dark\n21.png,light\n2.png,\n")
    refused = toolkit("evaluate", fine_tuned[0], table)
    assert refused.exit_code == 1 and "none can test it" in refused.stderr


def test_a_backbone_that_has_seen_test_labels_is_refused(fine_tuned: Runs, photos: Path, tmp_path: Path,
                                                         toolkit: Toolkit) -> None:
    table = photos.with_name("other-splits.csv")
    lines = photos.read_text().splitlines()
    table.write_text("\n".join(line.replace(",test", ",train") if ",test" in line else line.replace(",train", ",test")
                               for line in lines))
    for backbone in (fine_tuned[0], fine_tuned[0] / "model.keras"):
        weights = ("--backbone", backbone) if backbone.is_dir() else ("--backbone", "small_cnn", "--weights", backbone)
        refused = toolkit("linear-probe", table, *weights, "--output", tmp_path / "leak")
        assert refused.exit_code == 1 and "20 of 20 test rows" in refused.stderr and "--split-seed" in refused.stderr
    assert toolkit("linear-probe", photos, "--backbone", fine_tuned[0], "--output", tmp_path / "same").exit_code == 0


def test_other_weights_under_one_name_are_noticed(fine_tuned: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit
                                                  ) -> None:
    folder, arguments = tmp_path / "moved", ("linear-probe", photos, "--output", tmp_path / "probe", "--resume")
    shutil.copytree(fine_tuned[0], folder)
    assert toolkit(*arguments, "--backbone", folder).exit_code == 0
    assert toolkit(*arguments, "--backbone", folder).exit_code == 0
    with zipfile.ZipFile(folder / "model.keras", "a") as archive:
        archive.writestr("more", "bytes")
    refused = toolkit(*arguments, "--backbone", folder)
    assert refused.exit_code == 1 and "continues from the same weights" in refused.stderr


def test_unknown_labels_do_not_keep_a_table_from_being_predicted(fine_tuned: Runs, photos: Path, toolkit: Toolkit
                                                                 ) -> None:
    table = photos.with_name("zebra.csv")
    table.write_text("path,label\n30.png,dark\n31.png,zebra\n")
    result = toolkit("predict", fine_tuned[0], table)
    assert result.exit_code == 0 and [line.split(",")[3] for line in result.stdout.splitlines()[1:]] == ["dark", ""]
    assert "1 label (zebra)" in result.stderr
    assert toolkit("evaluate", fine_tuned[0], table).exit_code == 1


@pytest.mark.parametrize(("content", "words"), [
    ("path\n0.png\n", "no labelled test rows"),
    ("path,label\n0.png,grey\n", "grey"),
    ("path,label,split\n0.png,dark,train\n", "no labelled test rows")])
def test_evaluate_refuses_tables_it_cannot_score(content: str, words: str, fine_tuned: Runs, photos: Path,
                                                 tmp_path: Path, toolkit: Toolkit) -> None:
    photos.with_name("unscored.csv").write_text(content)
    result = toolkit("evaluate", fine_tuned[0], photos.with_name("unscored.csv"), "--output", tmp_path / "evaluation")
    assert (result.exit_code, result.stdout) == (1, "") and words in result.stderr.splitlines()[-1]
    assert not (tmp_path / "evaluation").exists()


def test_predict_writes_a_line_for_every_row(fine_tuned: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    folder, _ = fine_tuned
    printed = toolkit("predict", folder, photos)
    written = toolkit("predict", folder, photos, "--output", tmp_path / "new.csv")
    assert (printed.exit_code, written.exit_code, written.stdout) == (0, 0, "")
    assert printed.stdout_bytes == (tmp_path / "new.csv").read_bytes() == (folder / "predictions.csv").read_bytes()
    again = toolkit("predict", folder, photos, "--output", tmp_path / "new.csv")
    assert again.exit_code == 1 and "exists already" in again.stderr


def test_predict_image_files(fine_tuned: Runs, photos: Path, toolkit: Toolkit) -> None:
    names = [str(photos.with_name(name)) for name in ("1.png", "broken.png", "no-such.png", "0.png")]
    rows = lines(toolkit("predict", fine_tuned[0], *names).stdout)
    assert [row["input"] for row in rows] == names
    assert [row["status"] for row in rows] == ["ok", "rejected", "rejected", "ok"]
    assert [row["prediction"] in ("dark", "light") for row in rows] == [True, False, False, True]


@pytest.mark.parametrize(("name", "status"), [("0.png", "ok"), ("broken.png", "rejected")])
def test_predict_one_image_file(name: str, status: str, fine_tuned: Runs, photos: Path, toolkit: Toolkit) -> None:
    result = toolkit("predict", fine_tuned[0], photos.with_name(name))
    assert [row["status"] for row in lines(result.stdout)] == [status]


def test_predict_a_folder_of_images(fine_tuned: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    for name in ("2.png", "3.png"):
        shutil.copy(photos.with_name(name), tmp_path)
    assert [row["status"] for row in lines(toolkit("predict", fine_tuned[0], tmp_path).stdout)] == ["ok", "ok"]


def test_a_name_that_is_no_text_goes_out_as_it_came_in(fine_tuned: Runs, photos: Path, tmp_path: Path,
                                                       toolkit: Toolkit) -> None:
    name = str(tmp_path / "caf\udce9.png")  # latin-1 bytes on a UTF-8 disk
    shutil.copy(photos.with_name("0.png"), name)
    result = toolkit("predict", fine_tuned[0], name)
    assert result.exit_code == 0 and b"caf\xe9.png" in result.stdout_bytes


@pytest.mark.parametrize("arguments", [("evaluate", "{run}", "table.csv"), ("predict", "{run}", "table.csv")])
def test_what_is_no_run_is_refused(arguments: tuple[str, ...], photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    for run in (tmp_path, tmp_path / "no-such", photos):
        result = toolkit(*(argument.format(run=run) for argument in arguments))
        assert (result.exit_code, result.stdout) == (1, "") and str(run) in result.stderr


def test_compare(fine_tuned: Runs, probed: Runs, toolkit: Toolkit) -> None:
    runs = (fine_tuned[0], probed[0])
    printed, result = toolkit("compare", *runs), toolkit("compare", *runs, "--json")
    assert (printed.exit_code, result.exit_code) == (0, 0)
    assert "12 test rows, 2 classes" in printed.stdout and str(runs[1]) in printed.stdout
    assert [run["recipe"] for run in json.loads(result.stdout)["runs"]] == ["fine-tuning", "linear probe"]


def test_compare_refuses_a_single_run(fine_tuned: Runs, tmp_path: Path, toolkit: Toolkit) -> None:
    for runs in ((fine_tuned[0],), (fine_tuned[0], tmp_path)):
        result = toolkit("compare", *runs)
        assert (result.exit_code, result.stdout) == (1, "") and result.stderr.startswith("Error: ")


@pytest.mark.parametrize("kind", ["fine_tuned", "probed"])
def test_rerun_repeats_the_numbers(kind: str, request: pytest.FixtureRequest, tmp_path: Path, toolkit: Toolkit) -> None:
    folder, _ = request.getfixturevalue(kind)
    result = toolkit("rerun", folder, "--output", tmp_path / "again")
    assert result.exit_code == 0 and result.stdout.startswith("The numbers repeat: ")
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (folder / "predictions.csv").read_bytes()


def test_rerun_says_how_far_numbers_differ(probed: Runs, tmp_path: Path, toolkit: Toolkit) -> None:
    folder = tmp_path / "run"
    shutil.copytree(probed[0], folder)
    table = (folder / "predictions.csv").read_text().splitlines()
    cells = table[1].split(",")
    changed = ",".join([*cells[:7], "0.5", "0.5"])
    (folder / "predictions.csv").write_text("\n".join([table[0], changed, *table[2:]]) + "\n")
    params = json.loads((folder / "params.json").read_text())
    params["versions"]["numpy"] = "1.0"
    params["options"]["time_limit"] = 5.0
    (folder / "params.json").write_text(json.dumps(params))
    result = toolkit("rerun", folder)
    assert result.exit_code == 1
    assert "The numbers differ by up to 0." in result.stdout and "all predicted labels are the same" in result.stdout
    assert "numpy was 1.0, now " in result.stdout and "--time-limit" in result.stdout
    assert (tmp_path / "run-rerun" / "report.json").is_file()
    again = toolkit("rerun", folder)
    assert again.exit_code == 1 and "not empty" in again.stderr and "--resume" not in again.stderr


@pytest.mark.parametrize(("change", "words"), [
    ({"fingerprint": "0"}, "The data have changed"),
    ({"recipe": "evaluate"}, "made by evaluate"),
    ({"options": {"strength": 3}}, "made with strength, which this version of toolkit does not know"),
    ({"table": None}, "cannot be used")])
def test_rerun_refuses_what_it_cannot_repeat(change: dict[str, object], words: str, probed: Runs, tmp_path: Path,
                                             toolkit: Toolkit) -> None:
    shutil.copytree(probed[0], tmp_path / "run")
    params = {**json.loads((tmp_path / "run" / "params.json").read_text()), **change}
    (tmp_path / "run" / "params.json").write_text(json.dumps({k: v for k, v in params.items() if v is not None}))
    result = toolkit("rerun", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (1, "") and words in result.stderr.splitlines()[-1]
    assert not (tmp_path / "run-rerun").exists()


def test_rerun_refuses_an_unfinished_run(tmp_path: Path, toolkit: Toolkit) -> None:
    result = toolkit("rerun", tmp_path)
    assert result.exit_code == 1 and "holds no report.json" in result.stderr


def test_backbones(toolkit: Toolkit) -> None:
    from toolkit.models import catalogue

    printed, result = toolkit("backbones"), toolkit("backbones", "--json")
    assert [row["name"] for row in json.loads(result.stdout)] == list(catalogue.ENTRIES)
    table = printed.stdout.splitlines()
    assert table[0].split() == ["name", "size", "features", "parameters", "weights", "present", "note"]
    assert table[1].split()[:3] == ["efficientnet_lite0", "224", "1,280"] and len(table) == len(catalogue.ENTRIES) + 1


def test_a_broken_pipe_is_quiet() -> None:
    code = "import time; time.sleep(0.3)\nfrom toolkit.cli import main\nmain(['backbones'])"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


@pytest.mark.contract
def test_a_run_on_texts_is_evaluated_and_predicts(tmp_path: Path, toolkit: Toolkit) -> None:
    words = {"yes": "good fun great", "no": "bad dull poor"}
    rows = [f"{words[label].split()[number % 3]} film {number},{label},{'train' if number < 16 else 'test'}"
            for number in range(24) for label in words]
    (tmp_path / "texts.csv").write_text("text,label,split\n" + "\n".join(rows) + "\n")
    run = tmp_path / "run"
    trained = toolkit("fine-tune", tmp_path / "texts.csv", "--output", run, "--backbone", "text_cnn", "--weights",
                      "none", "--epochs", 1, "--batch-size", 8, "--json")
    assert trained.exit_code == 0, trained.stderr
    report = json.loads(trained.stdout)
    assert report["data"]["kind"] == "text" and "logistic regression on n-grams" in report["verdict"]["sentence"]
    evaluated = json.loads(toolkit("evaluate", run, tmp_path / "texts.csv", "--json").stdout)
    assert evaluated["test"] == report["test"]
    (tmp_path / "new.csv").write_text('text\n"a good, long\n\nfilm"\n""\nbad\n')
    found = lines(toolkit("predict", run, tmp_path / "new.csv").stdout)
    assert [(row["row"], row["input"], row["status"]) for row in found] == [
        ("1", "a good, long film", "ok"), ("2", "", "rejected"), ("3", "bad", "ok")]
    (tmp_path / "series.csv").write_text("values\n1 2 3\n")
    refused = toolkit("predict", run, tmp_path / "series.csv")
    assert refused.exit_code == 1 and "no column 'text'" in refused.stderr
    refused = toolkit("predict", run, tmp_path / "series.csv", "--kind", "series")
    assert refused.exit_code == 1 and "was trained on rows of kind text" in refused.stderr
