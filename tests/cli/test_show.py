"""toolkit show: the pictures of a run, and every refusal in one line."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image

pytestmark = pytest.mark.contract

pytest.importorskip("matplotlib")

Toolkit = Callable[..., Result]
Runs = tuple[Path, Result]


@pytest.mark.parametrize("kind", ["fine_tuned", "probed"])
def test_show_writes_the_pictures_of_a_run(kind: str, request: pytest.FixtureRequest, photos: Path, tmp_path: Path,
                                           toolkit: Toolkit) -> None:
    run, output = request.getfixturevalue(kind)[0], tmp_path / "pictures"
    images = [photos.with_name(name) for name in ("1.png", "0.png")]
    result = toolkit("show", run, *images, "--unit", 3, "--table", photos, "--output", output)
    assert result.exit_code == 0
    names = ["grad_cam.png", "filters.png", "activations.png", "activations_2.png", "exciting.png"]
    lines = result.stdout.splitlines()
    assert lines[2:] == [str(output / name) for name in names]
    assert sorted(path.name for path in output.iterdir()) == sorted(names)
    for name in names:
        with Image.open(output / name) as image:
            image.load()
            assert min(image.size) > 100
    predicted = toolkit("predict", run, *images).stdout.splitlines()[1:]
    for line, row, image in zip(lines, predicted, images, strict=False):
        _, _, _, _, _, prediction, confidence, *_ = row.split(",")
        assert line == f"{image}: {prediction}, probability {float(confidence):.3f}"


def test_show_one_class_at_one_layer(fine_tuned: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit) -> None:
    for number, options in enumerate(((), ("--class", "dark"), ("--class", "light"),
                                      ("--class", "light", "--layer", "block1_conv1"))):
        result = toolkit("show", fine_tuned[0] / "model.keras", photos.with_name("1.png"), *options, "--output",
                         tmp_path / str(number))
        assert result.exit_code == 0
    drawn = [(tmp_path / str(number) / "grad_cam.png").read_bytes() for number in range(4)]
    assert len(set(drawn[1:])) == 3
    assert (tmp_path / "2" / "filters.png").read_bytes() == (tmp_path / "3" / "filters.png").read_bytes()


def test_show_goes_beside_the_run_and_overwrites_nothing(probed: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit
                                                         ) -> None:
    shutil.copytree(probed[0], tmp_path / "run")
    result = toolkit("show", tmp_path / "run", photos.with_name("0.png"), photos.with_name("broken.png"))
    assert result.exit_code == 0 and "broken.png set aside: " in result.stderr
    assert (tmp_path / "run-pictures" / "grad_cam.png").is_file()
    again = toolkit("show", tmp_path / "run", photos.with_name("0.png"))
    assert (again.exit_code, again.stdout) == (1, "") and "grad_cam.png exists already" in again.stderr


def test_of_many_images_the_first_are_drawn(probed: Runs, photos: Path, tmp_path: Path, toolkit: Toolkit,
                                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.cli.show.MAX_IMAGES", 2)
    result = toolkit("show", probed[0], photos, "--output", tmp_path / "pictures")
    assert result.exit_code == 0 and "The first 2 of 40 images are drawn." in result.stderr
    assert [line.partition(":")[0] for line in result.stdout.splitlines()[:2]] == ["0.png", "1.png"]


@pytest.mark.parametrize(("arguments", "words"), [
    (("0.png", "--unit", "3"), "--unit and --table belong together"),
    (("0.png", "--table", "photos.csv"), "--unit and --table belong together"),
    (("0.png", "--class", "lite"), "--class 'lite' is not a class of the run (dark, light). Did you mean 'light'?"),
    (("0.png", "--layer", "block9"), "no layer 'block9' with a spatial output; it has block1_conv1"),
    (("0.png", "--unit", "8", "--table", "photos.csv"), "unit 8 was asked for, but layer block2_relu2"),
    (("0.png", "--unit", "1", "--table", "no-such.csv"), "no-such.csv"),
    (("broken.png",), "no image can be used, so there is nothing to draw"),
    (("no-such.png",), "no-such.png")])
def test_show_refuses(arguments: tuple[str, ...], words: str, probed: Runs, photos: Path, tmp_path: Path,
                      toolkit: Toolkit) -> None:
    paths = [photos.with_name(word) if "." in word else word for word in arguments]
    result = toolkit("show", probed[0], *paths, "--output", tmp_path / "pictures")
    assert (result.exit_code, result.stdout) == (1, "") and words in result.stderr.splitlines()[-1]
    assert not (tmp_path / "pictures").exists()


def test_show_refuses_what_is_no_run_and_a_network_without_convolutions(photos: Path, tmp_path: Path, toolkit: Toolkit
                                                                        ) -> None:
    result = toolkit("show", tmp_path, photos.with_name("0.png"))
    assert (result.exit_code, result.stdout) == (1, "") and "name the folder of a finished run" in result.stderr
    toolkit("linear-probe", photos, "--output", tmp_path / "run", "--backbone", "mlp", "--weights", "none",
            "--image-size", "16", "--hidden", "4")
    result = toolkit("show", tmp_path / "run", photos.with_name("0.png"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "choose a run or a backbone with convolutions" in result.stderr.splitlines()[-1]
