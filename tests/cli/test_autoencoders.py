"""The commands on autoencoders from the command line to their files."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

Toolkit = Callable[..., Result]


@pytest.fixture(scope="module")
def run(photos: Path, toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The folder of a run, and what the command printed."""
    output = tmp_path_factory.mktemp("runs") / "ae"
    return output, toolkit("pretrain-autoencoder", photos, "--output", output, "--hidden", "8", "--epochs", "2",
                           "--image-size", "16", "--corruption", "gaussian")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


@pytest.mark.contract
def test_it_prints_the_report_and_the_errors(run: tuple[Path, Result]) -> None:
    folder, result = run
    assert result.exit_code == 0
    assert result.stdout.startswith("autoencoder pretraining on ") and "Verdict: " in result.stdout
    assert "Reconstruction: mean squared error" in result.stdout and "principal components (" in result.stdout
    options = json.loads((folder / "params.json").read_text())["options"]
    assert options["method"] == "denoising" and options["corruption"] == "gaussian" and options["batch_size"] == 50
    assert options["backbone"] == "mlp" and options["backbone_options"]["hidden"] == [8]


@pytest.mark.contract
def test_a_folder_of_images_without_labels_is_enough(photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    result = toolkit("pretrain-autoencoder", photos.parent, "--output", tmp_path / "ae", "--hidden", "4", "--epochs",
                     "1", "--json")
    assert result.exit_code == 0 and "has no labels" in result.stderr
    report = json.loads(result.stdout)
    assert report["reconstruction"]["splits"]["train"]["rows"] == 32
    assert [line["row"] for line in rows((tmp_path / "ae" / "rejected.csv").read_text())] != []


@pytest.mark.parametrize(("change", "message"), [
    (lambda rows: [*rows[:-1], (rows[-1][0], "grey", "test")], "label 'grey' is not among the training labels"),
    (lambda rows: [(path, label, "test") for path, label, _ in rows], "no training rows"),
    (lambda rows: [(path, "", "test") for path, _, _ in rows], "has 0 training images"),
    (lambda rows: [(path, "dark", split) for path, _, split in rows], "at least two classes"),
    (lambda rows: [(path, "" if split == "train" else label, split) for path, label, split in rows],
     "no labelled training row")])
def test_labels_and_splits_that_cannot_be_used_are_refused(change: Callable[[list[Any]], list[Any]], message: str,
                                                           photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    with open(photos, newline="") as file:
        header, *lines = csv.reader(file)
    with open(tmp_path / "photos.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *change(lines)])
    result = toolkit("pretrain-autoencoder", tmp_path / "photos.csv", "--root", photos.parent, "--output",
                     tmp_path / "ae")
    assert result.exit_code == 1 and message in result.stderr and not (tmp_path / "ae").exists()


def test_splits_without_training_rows_are_refused_where_no_column_has_labels(photos: Path, toolkit: Toolkit,
                                                                             tmp_path: Path) -> None:
    (tmp_path / "photos.csv").write_text("path,split\n1.png,test\n2.png,test\n3.png,validation\n")
    arguments = ("pretrain-autoencoder", tmp_path / "photos.csv", "--root", photos.parent, "--output", tmp_path / "ae")
    result = toolkit(*arguments)
    assert result.exit_code == 1 and "has 0 training images" in result.stderr and not (tmp_path / "ae").exists()
    (tmp_path / "photos.csv").write_text("path\n1.png\n2.png\n3.png\n")
    result = toolkit(*arguments, "--labels-per-class", "1")
    assert result.exit_code == 1 and "label" in result.stderr and not (tmp_path / "ae").exists()


@pytest.mark.contract
def test_a_network_without_a_way_back_is_refused(photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    result = toolkit("pretrain-autoencoder", photos, "--output", tmp_path / "ae", "--backbone", "small_cnn", "--method",
                     "k-sparse")
    assert result.exit_code == 1 and "fully connected" in result.stderr and not (tmp_path / "ae").exists()


@pytest.mark.contract
def test_codes_go_to_a_file(run: tuple[Path, Result], photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    assert toolkit("encode", run[0], photos, "--output", tmp_path / "codes.csv").exit_code == 0
    result = toolkit("encode", run[0], photos, "--output", tmp_path / "codes.npz")
    assert result.exit_code == 0 and "40 rows, 8 codes each, 1 rejected" in result.stdout
    lines = rows((tmp_path / "codes.csv").read_text())
    assert [int(line["row"]) for line in lines] == list(range(1, 42))
    assert lines[40]["status"] == "rejected" and lines[40]["code_0"] == ""
    with np.load(tmp_path / "codes.npz") as arrays:
        assert arrays["codes"].shape == (40, 8) and list(arrays["labels"][:2]) == ["dark", "light"]
        np.testing.assert_allclose(arrays["codes"][3], [float(lines[3][f"code_{i}"]) for i in range(8)], rtol=1e-6)


@pytest.mark.contract
def test_an_image_is_most_like_itself(run: tuple[Path, Result], photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    queries = [photos.parent / "3.png", photos.parent / "8.png"]
    result = toolkit("find-similar", run[0], photos, *queries, "--count", "2", "--metric", "euclidean")
    found = rows(result.stdout)
    assert [(line["query"], line["rank"]) for line in found] == [(str(path), rank) for path in queries for rank in "12"]
    assert [line["input"] for line in found[::2]] == ["3.png", "8.png"]
    assert all(abs(float(line["euclidean_distance"])) < 1e-5 for line in found[::2])
    assert toolkit("find-similar", run[0], photos, *queries, "--output", tmp_path / "found.csv").exit_code == 0
    assert len(rows((tmp_path / "found.csv").read_text())) == 10


@pytest.mark.contract
def test_denoising_writes_pictures_and_is_judged(run: tuple[Path, Result], photos: Path, toolkit: Toolkit,
                                                 tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    plain = toolkit("denoise", run[0], photos.parent / "3.png", "--output", tmp_path / "plain")
    assert plain.exit_code == 0 and plain.stdout == f"1 images in {tmp_path / 'plain'}\n"
    with Image.open(tmp_path / "plain" / "3.png") as picture:
        assert picture.size == (16, 16)
    result = toolkit("denoise", run[0], photos, "--output", tmp_path / "judged", "--noise", "gaussian", "--level",
                     "0.1")
    assert re.search(r"^ *autoencoder +\d+\.\d\d", result.stdout, re.M) and "Gaussian blur" in result.stdout
    assert "means of 12 images" in result.stdout and "chosen on 28 other images." in result.stdout
    assert len(list((tmp_path / "judged").glob("*.png"))) == len(list((tmp_path / "judged/noisy").glob("*.png"))) == 40
    again = toolkit("denoise", run[0], photos, "--output", tmp_path / "judged")
    assert again.exit_code == 1 and "nothing is overwritten" in again.stderr


@pytest.mark.contract
def test_rows_that_the_run_was_trained_on_are_not_judged(photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    """Of a table without splits, which the run has split."""
    pytest.importorskip("skimage")
    table = tmp_path / "photos.csv"
    table.write_text("path\n" + "".join(f"{number}.png\n" for number in range(40)))
    own = ("--root", photos.parent)
    assert toolkit("pretrain-autoencoder", table, *own, "--output", tmp_path / "ae", "--hidden", "4", "--epochs", "1"
                   ).exit_code == 0
    result = toolkit("denoise", tmp_path / "ae", table, *own, "--output", tmp_path / "clean", "--noise", "masking")
    assert "means of 8 images" in result.stdout and "chosen on 32 other images." in result.stdout
    few = toolkit("denoise", tmp_path / "ae", photos.parent / "3.png", "--output", tmp_path / "one", "--noise",
                  "masking")
    assert "means of 1 images" in few.stdout and "since there are no others." in few.stdout


@pytest.mark.contract
def test_a_run_without_a_decoder_denoises_nothing(probed: tuple[Path, Result], photos: Path, toolkit: Toolkit,
                                                  tmp_path: Path) -> None:
    result = toolkit("denoise", probed[0], photos.parent / "3.png", "--output", tmp_path / "out")
    assert result.exit_code == 1 and "without a decoder" in result.stderr


def test_other_files_than_csv_and_npz_are_refused(photos: Path, toolkit: Toolkit, tmp_path: Path) -> None:
    result = toolkit("encode", "nowhere", photos, "--output", tmp_path / "codes.txt")
    assert result.exit_code == 1 and "neither .csv nor .npz" in result.stderr


@pytest.mark.parametrize("arguments", [("--method", "magic"), ("--corruption-level", "2"), ("--kept", "0"),
                                       ("--sparsity-target", "1")])
def test_values_out_of_range_are_wrong_usage(arguments: tuple[str, ...], photos: Path, toolkit: Toolkit, tmp_path: Path
                                             ) -> None:
    result = toolkit("pretrain-autoencoder", photos, "--output", tmp_path / "ae", *arguments)
    assert result.exit_code == 2 and not (tmp_path / "ae").exists()
