"""What a name and weights come to, and the preprocessing that travels with the weights."""

import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, classifiers, mobilenet_v3, weight_sources

checkpoint_writers = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "checkpoint_writers.py")))
NAME = "mobilenetv3_small_100"
TIMM = {"architecture": NAME, "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.25], "crop_pct": 0.95,
                                                 "input_size": [3, 64, 64], "interpolation": "bilinear"}}


def as_torch(network):
    """The weights of a MobileNetV3 under timm's names and in PyTorch's layout."""
    tensors = {}
    for name, prefix, kind in mobilenet_v3.torch_counterparts():
        if name == "head_logits":
            continue
        layer = network.get_layer(name)
        if kind == "normalisation":
            tensors |= {f"{prefix}.{suffix}": variable.numpy() for suffix, variable in zip(
                ("weight", "bias", "running_mean", "running_var"), layer.weights, strict=True)}
            continue
        axes = {"depthwise": (2, 3, 0, 1), "convolution_as_dense": (1, 0)}.get(kind, (3, 2, 0, 1))
        tensors[f"{prefix}.weight"] = layer.weights[0].numpy().transpose(axes)
        if kind == "convolution_as_dense":
            tensors[f"{prefix}.weight"] = tensors[f"{prefix}.weight"][:, :, None, None]
        if layer.use_bias:
            tensors[f"{prefix}.bias"] = layer.bias.numpy()
    return tensors | {"bn1.num_batches_tracked": np.array(7)}


@pytest.fixture(scope="module")
def original():
    """A network with weights of its own, and its tensors."""
    keras.utils.set_random_seed(3)
    network = backbones.network(backbones.build(NAME, "none", 64))
    network.set_weights([array + np.float32(0.01) for array in network.get_weights()])
    return SimpleNamespace(network=network, tensors=as_torch(network))


@pytest.fixture(scope="module")
def hub(original, tmp_path_factory):
    """A directory as a hub cache holds it."""
    folder = tmp_path_factory.mktemp("hub") / "mobilenet"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"".join(checkpoint_writers.safetensors(original.tensors)))
    (folder / "config.json").write_text(json.dumps(TIMM))
    return folder


def same_weights(model, network):
    return all(np.array_equal(one, other)
               for one, other in zip(backbones.network(model).get_weights(), network.get_weights(), strict=True))


def test_a_bare_checkpoint_has_the_familys_preprocessing(original, tmp_path):
    for name, content in {"a.pth": checkpoint_writers.torch_zip(original.tensors),
                          "b.pt": checkpoint_writers.torch_legacy(original.tensors)}.items():
        (tmp_path / name).write_bytes(content)
        model = backbones.build(NAME, tmp_path / name, 64)
        assert same_weights(model, original.network)
        assert backbones.origin(model) == {
            "weights": str(tmp_path / name), "preprocessing": "the family's default", "image_size": 64,
            "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "resize_size": 73,
            "interpolation": "bicubic", "antialias": False, "padding": "symmetric"}


def test_the_configuration_travels(hub, original, images):
    for arguments in [(str(hub),), (NAME, hub), (NAME, hub / "model.safetensors")]:
        model = backbones.build(*arguments)
        assert model.name == NAME and same_weights(model, original.network)
        assert backbones.preprocessing(model) == backbones.Preprocessing(64, 67, "bilinear", False)
        found = backbones.origin(model)
        assert found["preprocessing"] == "the checkpoint's own configuration"
        assert (found["mean"], found["std"]) == ([127.5, 102.0, 76.5], [51.0, 51.0, 63.75])
        assert json.loads(json.dumps(found)) == found
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32)
    inner = backbones.network(model).get_layer("normalisation")
    np.testing.assert_allclose(inner(pixels), (pixels / 255 - [0.5, 0.4, 0.3]) / [0.2, 0.2, 0.25], atol=1e-5)


def test_timm_rounds_the_size_before_the_crop_down(hub):
    assert backbones.preprocessing(backbones.build(hub, "none", 96)).resize_size == 101  # 96 / 0.95 = 101.05
    assert backbones.preprocessing(backbones.build(hub, "none")).resize_size == 67  # 67.4
    assert backbones.preprocessing(backbones.build(NAME, "none", 96)).resize_size == 110  # 109.7


@pytest.mark.parametrize(("architecture", "padding", "epsilon"),
                         [(NAME, "symmetric", 1e-5), (f"tf_{NAME}", "same", 1e-3)])
def test_the_name_tells_the_padding(architecture, padding, epsilon, tmp_path, original):
    (tmp_path / "config.json").write_text(json.dumps(TIMM | {"architecture": f"{architecture}.in1k"}))
    model = backbones.build(str(tmp_path), "none")
    assert backbones.origin(model)["padding"] == padding
    layer = next(layer for layer in backbones.network(model).layers
                 if isinstance(layer, keras.layers.BatchNormalization))
    assert layer.epsilon == epsilon
    assert backbones.origin(backbones.build(str(tmp_path), "none", padding="same"))["padding"] == "same"


def test_a_head_of_any_size_and_none(original, tmp_path):
    head = {"classifier.weight": np.zeros((7, 1024), np.float32), "classifier.bias": np.zeros(7, np.float32)}
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"".join(checkpoint_writers.safetensors(original.tensors | head)))
    assert same_weights(backbones.build(NAME, path, 64), original.network)
    assert backbones.build(NAME, path, 64, include_top=True, num_classes=7).output_shape == (None, 7)
    with pytest.raises(ToolkitError, match=r"head_logits/kernel has shape \(1024, 7\); expected \(1024, 1000\)"):
        backbones.build(NAME, path, 64, include_top=True)


@pytest.mark.parametrize(("change", "message"), [
    (lambda t: t | {"extra.weight": t["bn1.weight"]}, "tensor 'extra.weight' and 0 more have no place"),
    (lambda t: t | {"bn1.weight": t["bn1.weight"][:8]}, r"stem_norm/gamma has shape \(8,\); expected \(16,\)"),
    (lambda t: {name: array for name, array in t.items() if name != "bn1.bias"}, "has no tensor 'bn1.bias'"),
])
def test_what_does_not_fit_is_named(change, message, original, tmp_path):
    (tmp_path / "a.pth").write_bytes(checkpoint_writers.torch_zip(change(original.tensors)))
    with pytest.raises(ToolkitError, match=message):
        backbones.build(NAME, tmp_path / "a.pth", 64)


def test_directories_that_are_no_backbone(hub, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ToolkitError, match="no config.json in it names an architecture"):
        backbones.build(str(other))
    (other / "config.json").write_text(json.dumps({"architecture": "resnet18d"}))
    with pytest.raises(ToolkitError, match=r"resnet18d .*Supported are \.safetensors.*resnet50"):
        backbones.build(str(other))
    with pytest.raises(ToolkitError, match=f"its config.json says {NAME}, not resnet18"):
        backbones.build("resnet18", hub)
    with pytest.raises(ToolkitError, match="no backbone and no directory 'no/such'"):
        backbones.build("no/such")


# ---- Runs ---------------------------------------------------------------------------------------------------------


def run_of(folder, model, backbone, options=None, fold=False, preprocessing=None):
    """A folder as a run leaves it behind, with a network of a built model."""
    folder.mkdir()
    network = backbones.network(model)
    member = classifiers.with_head(backbones.fold_batch_normalization(network) if fold else network, 3)
    member.trainable = False
    assembled = classifiers.assemble([member], preprocessing or backbones.preprocessing(model))
    classifiers.save(assembled, folder / "model.keras", ("a", "b", "c"))
    (folder / "params.json").write_text(json.dumps(
        {"recipe": "fine_tune", "options": {"backbone": backbone, "backbone_options": options or {}}}))
    (folder / "report.json").write_text(json.dumps({"training": {"backbone": model.name}}))
    return folder


UNUSUAL = {"filters": (4, 6), "activation": "maxout", "pooling": "average"}


def test_a_run_brings_its_backbone_weights_and_options(tmp_path, images):
    first = backbones.build("small_cnn", "none", 20, channels=1, **UNUSUAL)
    run = run_of(tmp_path / "run", first, "small_cnn", UNUSUAL)
    expected = first.predict_on_batch(images)
    for arguments in [(str(run),), ("small_cnn", run), (str(run), run / "model.keras")]:
        model = backbones.build(*arguments)
        np.testing.assert_array_equal(model.predict_on_batch(images), expected)
        assert model.name == "small_cnn"
        assert backbones.origin(model)["preprocessing"] == "the run's"
        assert backbones.fingerprint(model) == backbones.fingerprint(first)
        assert all(layer.trainable for layer in backbones.network(model).layers)
        assert len(backbones.blocks(backbones.network(model))) == 2
    scratch = backbones.build(str(run), "none")
    assert backbones.network(scratch).count_params() == backbones.network(backbones.build(
        "small_cnn", "none", 20, **UNUSUAL)).count_params()


@pytest.mark.contract
def test_the_preprocessing_of_a_run_with_unusual_normalisation_travels(hub, tmp_path, images):
    """A `.keras` file of a run that began with a checkpoint of another mean, padding and interpolation."""
    (hub / "config.json").write_text(json.dumps(TIMM | {"architecture": f"tf_{NAME}"}))
    first = backbones.build(str(hub))
    (hub / "config.json").write_text(json.dumps(TIMM))
    for fold in (False, True):
        run = run_of(tmp_path / str(fold), first, str(hub), fold=fold)
        for arguments in [(NAME, run / "model.keras"), (str(run),)]:
            model = backbones.build(*arguments)
            np.testing.assert_allclose(model.predict_on_batch(images), first.predict_on_batch(images), atol=1e-4)
            assert backbones.preprocessing(model) == backbones.preprocessing(first)
            assert backbones.origin(model)["mean"] == [127.5, 102.0, 76.5]
    bigger = backbones.build(NAME, run / "model.keras", 96)
    assert backbones.preprocessing(bigger) == backbones.Preprocessing(96, 100, "bilinear", False)
    assert backbones.network(bigger).input_shape == (None, 96, 96, 3)


def test_a_run_in_another_precision(tmp_path, images):
    run = run_of(tmp_path / "run", backbones.build("small_cnn", "none", 20, **UNUSUAL), "small_cnn", UNUSUAL)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = backbones.network(backbones.build(str(run)))
    finally:
        keras.config.set_dtype_policy("float32")
    assert network.get_layer("block1_conv1").compute_dtype == "bfloat16"
    assert network.get_layer("normalisation").compute_dtype == "float32"


def test_runs_that_cannot_serve(tmp_path):
    model = backbones.build("mlp", "none", 16)
    run = run_of(tmp_path / "run", model, "mlp")
    with pytest.raises(ToolkitError, match="is a run of mlp, not of small_cnn"):
        backbones.build("small_cnn", run)
    with pytest.raises(ToolkitError, match="do not fit .* of this network"):
        backbones.build("small_cnn", run / "model.keras")
    with pytest.raises(ToolkitError, match="was made for pictures of 16 pixels"):
        backbones.build(str(run), image_size=20)
    (run / "report.json").unlink()
    with pytest.raises(ToolkitError, match="a run that has not finished"):
        backbones.build(str(run))
    (run / "report.json").write_text("{}")
    for params in ("no JSON", "[]", "{}", '{"options": {"backbone": 3}}'):
        (run / "params.json").write_text(params)
        with pytest.raises(ToolkitError, match="is no run of a backbone"):
            backbones.build(str(run))


def test_the_directory_that_a_run_began_with_may_have_gone(hub, tmp_path):
    run = run_of(tmp_path / "run", backbones.build(str(hub), "none"), str(tmp_path / "gone"))
    assert backbones.build(str(run)).name == NAME


def test_saved_preprocessing_of_what_is_no_run(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"PK\x03\x04")
    assert weight_sources.saved_preprocessing(tmp_path / "a.keras") == {}
    inputs = keras.Input((4,))
    keras.Model(inputs, keras.layers.Dense(2)(inputs)).save(tmp_path / "b.keras")
    assert weight_sources.saved_preprocessing(tmp_path / "b.keras") == {}
