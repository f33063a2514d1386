"""EfficientNet-Lite0 against PyTorch's outputs from the same file."""

import numpy as np

from toolkit.models import backbones, efficientnet_lite


def test_logits_equal_pytorchs(lite0, goldens):
    expected = np.load(goldens.folder / "efficientnet_lite0.npz")["logits"]
    logits = backbones.network(lite0).predict_on_batch(goldens.photographs().astype(np.float32))
    assert expected.shape == (8, 1000)
    assert np.abs(logits - expected).max() < 1e-4


def test_a_picture_of_the_resize_size_goes_through_the_whole_model_unchanged(lite0, goldens):
    """Of 256 pixels the centre 224 are seen, without resampling."""
    picture = goldens.photographs()[:1]
    whole = np.zeros((1, 256, 256, 3), np.uint8)
    whole[:, 16:240, 16:240] = picture
    inside = backbones.network(lite0).predict_on_batch(picture.astype(np.float32))
    np.testing.assert_allclose(lite0.predict_on_batch(whole), inside, atol=1e-5)


def test_preprocessing(lite0):
    assert backbones.preprocessing(lite0) == backbones.Preprocessing(224, 256, "bicubic", False)


def test_every_layer_with_weights_has_its_counterpart(lite0):
    named = {layer for layer, _, _ in efficientnet_lite.torch_counterparts()}
    assert named == {layer.name for layer in backbones.network(lite0).layers if layer.weights}


def test_blocks_are_stem_seven_stages_and_head(lite0):
    blocks = backbones.blocks(backbones.network(lite0))
    assert [block[0].name.split("_")[0] for block in blocks] == ["stem", *(f"stage{i}" for i in range(1, 8)), "head"]


def test_folding_keeps_the_logits(lite0, goldens):
    network = backbones.network(lite0)
    folded = backbones.fold_batch_normalization(network)
    assert not any("norm" in layer.name and layer.weights for layer in folded.layers)
    pictures = goldens.photographs()[:2].astype(np.float32)
    before, after = network.predict_on_batch(pictures), folded.predict_on_batch(pictures)
    assert np.abs(before - after).max() < 1e-4 * np.abs(before).max()
