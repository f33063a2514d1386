"""Families of keras.applications: their normalisation inside, their weights only on request."""

import email.message
import hashlib
import io
import socket
import urllib.error
import warnings

import keras
import numpy as np
import pytest
from keras import applications as keras_applications
from keras.src.utils import file_utils

from toolkit import ToolkitError
from toolkit.models import applications, backbones, downloads, keras_files
from toolkit.models.catalogue import ENTRIES
from toolkit.models.layers import normalise

MODES = [("mobilenet_v2", keras_applications.mobilenet_v2), ("keras_vgg16", keras_applications.vgg16),
         ("densenet121", keras_applications.densenet), ("keras_resnet50", keras_applications.resnet)]


@pytest.mark.parametrize(("name", "module"), MODES, ids=[name for name, _ in MODES])
def test_normalisation_is_kerass(name, module):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3)).astype(np.float32)
    inputs = keras.Input((4, 4, 3))
    entry = ENTRIES[name]
    ours = keras.Model(inputs, normalise(inputs, entry.mean, entry.std, entry.reverse_channels))
    np.testing.assert_allclose(ours.predict_on_batch(pixels), module.preprocess_input(pixels.copy()), atol=1e-4)


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetV2B0", "MobileNetV3Small",
                                  pytest.param("EfficientNetV2S", marks=pytest.mark.slow)])
def test_normalisation_that_keras_has_inside_is_the_same(name, monkeypatch):
    """We normalise ourselves, so that it stays in float32 and grey pictures get it too."""
    captured = {}

    class Stop(Exception):
        pass

    def capture(*arguments, **options):
        captured.update(options)
        raise Stop

    monkeypatch.setattr(keras.applications, name, capture)
    with pytest.raises(Stop):
        backbones.build(name, "none", 32)
    monkeypatch.undo()
    assert captured["include_preprocessing"] is False
    inner = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(32, 32, 3))
    first = next(layer for layer in inner.layers if layer.weights or isinstance(layer, keras.Sequential))
    theirs = keras.Model(inner.input, first.input)
    inputs = keras.Input((32, 32, 3))
    entry = next(entry for entry in ENTRIES.values() if entry.constructor == name)
    ours = keras.Model(inputs, normalise(inputs, entry.mean, entry.std, entry.reverse_channels))
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    expected = np.resize(theirs.predict_on_batch(pixels), (1, *first.input.shape[1:]))
    result = ours.predict_on_batch(pixels)
    if expected.shape != result.shape:  # the first layer pads
        expected = expected[:, :32, :32]
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("name", ["convnext_tiny", "keras_resnet50"])
def test_grey_pictures(name):
    model = backbones.build(name, "none", 32, channels=1)
    assert model.output_shape == (None, ENTRIES[name].num_features)


def test_include_top_gives_logits_of_any_number_of_classes(images):
    model = backbones.build("mobilenet_v3_small", "none", 32, include_top=True, num_classes=5)
    assert model.output_shape == (None, 5)
    assert model.layers[-1].layers[-1].get_config().get("activation", "linear") == "linear"


def test_options_of_the_constructor():
    assert backbones.build("mobilenet_v2", "none", 32, alpha=0.35).output_shape == (None, 1280)
    with pytest.raises(ToolkitError, match="mobilenet_v2: .*colour"):
        backbones.build("mobilenet_v2", "none", 32, colour="red")


def test_no_weights_no_network(monkeypatch):
    monkeypatch.setattr(downloads, "_open", lambda *_: pytest.fail("asked the network"))
    monkeypatch.setattr(file_utils, "urlretrieve", lambda *_: pytest.fail("Keras asked the network"))
    backbones.build("mobilenet_v3_small", "none", 32)


# ---- ImageNet weights ----------------------------------------------------------------------------------------------


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty folder in place of ~/.keras, and no network but what a test puts at `downloads._open`."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(file_utils.config, "keras_home", lambda: str(tmp_path))
    monkeypatch.setattr(file_utils, "urlretrieve", lambda *_: pytest.fail("Keras asked the network"))
    return tmp_path


def offline(*_):
    raise urllib.error.URLError(socket.gaierror(-3, "Temporary failure in name resolution"))


class Response(io.BytesIO):
    """A body with room for a status and headers."""


def served(content, asked):
    """What `downloads._open` does where a server has this content."""
    def answer(request):
        asked.append(request.full_url)
        headers = email.message.Message()
        headers["Content-Length"] = str(len(content))
        response = Response(content)
        response.status, response.headers = 200, headers
        return response

    return answer


def test_offline_the_message_names_file_and_place(keras_home, monkeypatch):
    monkeypatch.setattr(downloads, "_open", offline)
    place = keras_home / "models" / ENTRIES["keras_vgg16"].file
    with pytest.raises(ToolkitError) as refusal:
        backbones.build("keras_vgg16", image_size=32)
    assert str(refusal.value) == (
        f"https://storage.googleapis.com/tensorflow/keras-applications/vgg16/{place.name} cannot be downloaded "
        f"(Temporary failure in name resolution); download it elsewhere and put it at {place}.")


def test_offline_where_keras_fetches_itself(keras_home, monkeypatch):
    """Variants whose files only Keras knows: with its head, of another width."""
    monkeypatch.setattr(file_utils, "urlretrieve", offline)
    assert keras_files.name_of("https://x.org/NASNet-mobile.h5") == "nasnet_mobile.h5"
    with pytest.raises(ToolkitError, match=r"weights of keras_vgg16 cannot be downloaded; download https://\S+kernels"
                                           r".h5 elsewhere and put it at \S+models/vgg16\S+kernels.h5\."):
        backbones.build("keras_vgg16", image_size=224, include_top=True)


def test_weights_are_downloaded_on_request_and_kept(keras_home, monkeypatch, capsys):
    source = keras.applications.MobileNetV3Small(weights=None, include_top=False, pooling="avg",
                                                 input_shape=(224, 224, 3))
    source.save(keras_home / "source.h5")
    content, asked, file = (keras_home / "source.h5").read_bytes(), [], ENTRIES["mobilenet_v3_small"].file
    monkeypatch.setattr(downloads, "_open", served(content, asked))
    with pytest.raises(ToolkitError, match="is not the expected file: its md5 is"):
        backbones.build("mobilenet_v3_small", image_size=64)
    monkeypatch.setitem(keras_files.CHECKSUMS, file, hashlib.md5(content).hexdigest())
    monkeypatch.setattr(file_utils, "validate_file", lambda *_, **__: True)
    asked.clear()
    images = np.random.default_rng(0).integers(0, 256, (1, 40, 40, 3), np.uint8)
    first, second = (backbones.build("mobilenet_v3_small", image_size=64) for _ in range(2))
    assert asked == [keras_files.URLS[file]]
    expected = [array for layer in source.layers for array in layer.get_weights()]
    ours = backbones.network(first).get_weights()
    assert all(np.array_equal(one, other) for one, other in zip(ours, expected, strict=True))
    np.testing.assert_array_equal(first.predict_on_batch(images), second.predict_on_batch(images))
    output = capsys.readouterr()
    assert output.out == ""
    assert f"downloading {keras_files.URLS[file]} (" in output.err
    assert ENTRIES["mobilenet_v3_small"].weights_path().is_file()


def test_another_file_in_its_place_is_neither_used_nor_replaced(keras_home, monkeypatch):
    place = ENTRIES["keras_vgg16"].weights_path()
    place.parent.mkdir()
    place.write_bytes(b"not the weights")
    with pytest.raises(ToolkitError, match=f"{place.name}: is not the file of https.*Move it away"):
        backbones.build("keras_vgg16", image_size=32)
    assert place.read_bytes() == b"not the weights"


@pytest.mark.parametrize(("name", "size"), [
    ("mobilenet_v3_small", 224), ("mobilenet", 224), ("mobilenet", 128), ("mobilenet", 100), ("mobilenet_v2", 96),
    ("mobilenet_v2", 224), ("keras_vgg16", 64), ("keras_resnet50", 64), ("convnext_tiny", 64),
    *(pytest.param(name, None, marks=pytest.mark.slow) for name, entry in ENTRIES.items() if entry.constructor)])
def test_our_table_is_what_keras_asks_for(name, size, monkeypatch):
    entry, asked = ENTRIES[name], []
    size = size or entry.image_size

    class Stop(BaseException):
        pass

    def get_file(fname, origin, *, cache_subdir, file_hash=None, **_):
        asked.append((fname, origin, cache_subdir, file_hash or ""))
        raise Stop

    monkeypatch.setattr(file_utils, "get_file", get_file)
    with pytest.raises(Stop), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(keras.applications, entry.constructor)(weights="imagenet", include_top=False,
                                                       input_shape=(size, size, 3))
    file = keras_files.file_for(name, entry.file, size)
    assert asked == [(file, keras_files.URLS[file], "models", keras_files.CHECKSUMS.get(file, ""))]


def test_every_entry_of_keras_has_its_file():
    assert {entry.file for entry in ENTRIES.values() if entry.constructor} == set(keras_files.CHECKSUMS)


def test_efficientnet_takes_its_graph_from_the_file(tmp_path):
    """With ImageNet weights Keras builds one more rescaling; the weights alone would not tell."""
    def graph(size, scale):
        pixels = keras.Input((size, size, 3), name="pixels")
        return keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Rescaling(scale)(pixels)), name="network")

    entry, saved = ENTRIES["keras_efficientnet_b0"], graph(8, 0.5)
    keras.Model(saved.input, saved(saved.input)).save(tmp_path / "run.keras")
    loaded = applications._saved(entry, graph(8, 1.0), tmp_path / "run.keras")
    x = np.random.default_rng(0).uniform(0, 255, (1, 8, 8, 3)).astype(np.float32)
    assert loaded.name == "network"
    np.testing.assert_array_equal(loaded.predict_on_batch(x), saved.predict_on_batch(x))
    with pytest.raises(ToolkitError, match="was made for pictures of 8 pixels"):
        applications._saved(entry, graph(9, 1.0), tmp_path / "run.keras")
    (tmp_path / "run.weights.h5").touch()
    with pytest.raises(ToolkitError, match="read from an existing .keras file"):
        backbones.build("keras_efficientnet_b0", tmp_path / "run.weights.h5", 32)
