"""Grad-CAM against its formula by hand, at the right place of the picture; filters, activations, exciting rows."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from toolkit import ToolkitError
from toolkit.models import backbones, classifiers, explanations

RED, BLUE = 0, 2


def colour_network(side: int = 16) -> keras.Model:
    """Features: the mean redness and the mean blueness. `stem_conv` holds both as pictures."""
    pixels = keras.Input((side, side, 3), name="pixels")
    x = layers.Conv2D(2, 1, use_bias=False, name="stem_conv")(pixels)
    network = keras.Model(pixels, layers.GlobalAveragePooling2D(name="head_pool")(x), name="network")
    kernel = np.zeros((1, 1, 3, 2), np.float32)
    kernel[0, 0, RED, 0] = kernel[0, 0, BLUE, 1] = 1
    network.get_layer("stem_conv").set_weights([kernel])
    return network


def colour_run(test_views: int = 1, members: int = 1, resize_size: int = 20) -> keras.Model:
    """Class 0 is red and not blue, class 1 blue and not red."""
    kernel = np.array([[1.0, -1.0], [-1.0, 1.0]])
    found = [classifiers.with_head(colour_network(), 2, kernel=kernel, bias=np.zeros(2), name=f"member{number}")
             for number in range(members)]
    return classifiers.assemble(found, backbones.Preprocessing(16, resize_size, "bilinear", False),
                                test_views=test_views)


def painted(shape: tuple[int, int], **places: tuple[int, int, int]) -> np.ndarray:
    """A black picture with squares: red=(row, column, side), blue=(...)."""
    picture = np.zeros((*shape, 3), np.uint8)
    for colour, (row, column, side) in places.items():
        picture[row:row + side, column:column + side, {"red": RED, "blue": BLUE}[colour]] = 255
    return picture


def centre_of(heat: np.ndarray) -> np.ndarray:
    """Row and column of the mean place of heat, in pixels from the upper left corner."""
    rows, columns = np.mgrid[:heat.shape[0], :heat.shape[1]] + 0.5
    return np.array([(rows * heat).sum(), (columns * heat).sum()]) / heat.sum()


# ---- Grad-CAM -----------------------------------------------------------------------------------------------------


def test_the_corner_that_decides_lights_up() -> None:
    picture = painted((64, 64), red=(4, 4, 20), blue=(40, 40, 20))
    red, blue = (explanations.grad_cam(colour_run(resize_size=16), picture, number) for number in (0, 1))
    assert red[14, 14] == blue[50, 50] == 1 and red[50, 50] == blue[14, 14] == 0
    assert red[32:].max() == red[:, 32:].max() == 0 and blue[:32].max() == blue[:, :32].max() == 0


def test_heat_is_the_formula_by_hand() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    crop = picture[2:18, 2:18].astype(np.float64)
    for number, sign in ((0, 1), (1, -1)):
        alpha = sign * np.array([1, -1]) / 256
        by_hand = np.maximum(0, alpha[0] * crop[..., RED] + alpha[1] * crop[..., BLUE])
        heat = explanations.grad_cam(colour_run(), picture, number)
        np.testing.assert_allclose(heat[2:18, 2:18], by_hand / by_hand.max(), atol=1e-6)
        heat[2:18, 2:18] = 0
        assert not heat.any()


def test_alpha_is_the_mean_gradient_of_the_logit() -> None:
    """A class that depends on one corner of channel 0 only: alpha_0 = w / (h w), and channel 1 has no part."""
    pixels = keras.Input((4, 4, 3), name="pixels")
    x = layers.Conv2D(2, 1, name="stem_conv")(pixels)
    network = keras.Model(pixels, layers.Flatten(name="head_flatten")(x), name="network")
    kernel = np.zeros((32, 2))
    kernel[0, 0] = 5.0
    model = classifiers.assemble([classifiers.with_head(network, 2, kernel=kernel, bias=np.zeros(2))],
                                 backbones.Preprocessing(4, 4, "bilinear", False))
    picture = np.random.default_rng(1).integers(0, 256, (4, 4, 3), np.uint8)
    weights = network.get_layer("stem_conv").get_weights()[0][0, 0]
    by_hand = np.maximum(0, 5 / 16 * (picture.astype(np.float64) @ weights)[..., 0])
    heat = explanations.grad_cam(model, picture, 0)
    np.testing.assert_allclose(heat, by_hand / by_hand.max() if by_hand.any() else by_hand, atol=1e-5)
    assert not explanations.grad_cam(model, picture, 1).any()


@pytest.mark.parametrize("test_views", [1, 2, 5, 10])
@pytest.mark.parametrize(("shape", "row", "column"), [((60, 100), 12, 27), ((100, 60), 60, 12), ((61, 93), 33, 48)])
def test_heat_lies_where_the_picture_has_its_cause(shape: tuple[int, int], row: int, column: int, test_views: int
                                                   ) -> None:
    """Also off the centre of pictures that are not square, and when mirror images and corners are averaged."""
    heat = explanations.grad_cam(colour_run(test_views, members=2), painted(shape, red=(row, column, 9)))
    assert heat.shape == shape and heat.max() == 1 and heat.min() == 0
    np.testing.assert_allclose(centre_of(heat), (row + 4.5, column + 4.5), atol=1.0)
    assert heat[row + 4, column + 4] > 0.9
    heat[row - 6:row + 15, column - 6:column + 15] = 0  # two resized pixels around
    assert not heat.any()


def test_what_is_not_seen_has_no_heat() -> None:
    heat = explanations.grad_cam(colour_run(), np.full((60, 100, 3), (255, 0, 0), np.uint8), 0)
    assert (heat[7:53, 27:73] > 0.99).all()
    assert not heat[:, :20].any() and not heat[:, 80:].any() and not heat[:4].any() and not heat[56:].any()


def test_the_most_probable_class_is_explained_unless_another_is_named() -> None:
    picture = painted((40, 40), red=(8, 8, 6), blue=(24, 24, 12))
    np.testing.assert_array_equal(explanations.grad_cam(colour_run(), picture),
                                  explanations.grad_cam(colour_run(), picture, 1))
    for number in (-1, 2):
        with pytest.raises(ToolkitError, match=rf"class {number} was asked for, .* the classes 0 to 1"):
            explanations.grad_cam(colour_run(), picture, number)


def small_cnn() -> keras.Model:
    """A backbone with BatchNorm statistics that are not those of the beginning."""
    keras.utils.set_random_seed(0)
    model, random = backbones.build("small_cnn", "none", image_size=16, filters=(4, 8)), np.random.default_rng(0)
    for layer in backbones.network(model).layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    return model


def test_frozen_folded_and_saved_models_give_the_same_heat(images: np.ndarray, tmp_path) -> None:
    model = small_cnn()
    network, preprocessing = backbones.network(model), backbones.preprocessing(model)
    kernel = np.random.default_rng(1).normal(size=(8, 3))
    heats = []
    for variant in (network, backbones.fold_batch_normalization(network)):
        member = classifiers.with_head(variant, 3, kernel=kernel, bias=np.zeros(3))
        run = classifiers.assemble([member], preprocessing)
        run.trainable = variant is network
        heats.append(explanations.grad_cam(run, images[0], 1))
    classifiers.save(run, tmp_path / "model.keras", ["a", "b", "c"])
    heats.append(explanations.grad_cam(classifiers.load(tmp_path / "model.keras")[0], images[0], 1))
    assert heats[0].any()
    np.testing.assert_allclose(heats[1], heats[0], atol=1e-4)
    np.testing.assert_array_equal(heats[2], heats[1])


def test_a_backbone_explains_its_features(images: np.ndarray) -> None:
    model = small_cnn()
    feature = int(model(images[:1])[0].numpy().argmax())
    heat = explanations.grad_cam(model, images[0])
    assert heat.shape == images.shape[1:3] and heat.max() == 1
    np.testing.assert_array_equal(heat, explanations.grad_cam(model, images[0], feature, layer="block2_relu2"))


def test_a_branch_is_not_taken_for_the_whole() -> None:
    """Two branches end apart: the layer before them explains; where they are joined again, the joint."""
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Conv2D(2, 1, name="stem_conv")(pixels)
    branches = [layers.Conv2D(2, 3, padding="same", name=f"branch{number}_conv")(x) for number in (1, 2)]
    apart = ops.concatenate([layers.GlobalAveragePooling2D()(branch) for branch in branches])
    joined = layers.GlobalAveragePooling2D()(layers.Concatenate(name="joint")(branches))
    added = layers.GlobalAveragePooling2D()(ops.add(*branches))
    for features, layer in ((apart, "stem_conv"), (joined, "joint"), (added, "add")):
        member = classifiers.with_head(keras.Model(pixels, features, name="network"), 2)
        run = classifiers.assemble([member], backbones.Preprocessing(16, 16, "bilinear", False))
        picture = painted((16, 16), red=(2, 3, 5))
        np.testing.assert_array_equal(explanations.grad_cam(run, picture, 0),
                                      explanations.grad_cam(run, picture, 0, layer=explanations.last_layer(run)))
        assert explanations.last_layer(run).startswith(layer)


def test_a_layer_that_is_called_twice_does_no_harm() -> None:
    pixels, shared = keras.Input((16, 16, 3), name="pixels"), layers.Conv2D(3, 1, name="shared_conv")
    x = layers.Conv2D(4, 1, name="last_conv")(shared(shared(pixels)))
    network = keras.Model(pixels, layers.GlobalAveragePooling2D()(x), name="network")
    run = classifiers.assemble([classifiers.with_head(network, 2)], backbones.Preprocessing(16, 16, "bilinear", False))
    assert explanations.last_layer(run) == "last_conv"
    assert explanations.grad_cam(run, painted((16, 16), red=(2, 3, 5)), 0).shape == (16, 16)


def test_layers_that_were_called_elsewhere_before_do_no_harm() -> None:
    run, original = colour_run(), colour_network()
    elsewhere = keras.Input((16, 16, 3), name="pixels")
    network = keras.Model(elsewhere, original.call(elsewhere), name="network")
    kernel = np.array([[1.0, -1.0], [-1.0, 1.0]])
    again = classifiers.assemble([classifiers.with_head(network, 2, kernel=kernel, bias=np.zeros(2))],
                                 backbones.Preprocessing(16, 20, "bilinear", False))
    picture = painted((60, 100), red=(12, 27, 9), blue=(30, 60, 4))
    np.testing.assert_array_equal(explanations.grad_cam(again, picture), explanations.grad_cam(run, picture))


def test_networks_of_keras_and_nested_ones(images: np.ndarray) -> None:
    model = backbones.build("mobilenet", "none", image_size=64, alpha=0.25)
    assert explanations.grad_cam(model, images[0], 0).shape == images.shape[1:3]
    assert explanations.first_layer_filters(model).shape == (8, 3, 3, 3)
    pixels = keras.Input((16, 16, 3), name="pixels")
    inner = keras.Sequential([keras.Input((16, 16, 3)), layers.Conv2D(4, 3, name="inner_conv")], name="inner")
    network = keras.Model(pixels, layers.GlobalAveragePooling2D()(inner(pixels)), name="network")
    run = classifiers.assemble([classifiers.with_head(network, 2)], backbones.Preprocessing(16, 16, "bilinear", False))
    assert explanations.spatial_layers(run) == {"inner": (14, 14, 4)}
    assert explanations.first_layer_filters(run).shape == (4, 3, 3, 3)
    assert explanations.grad_cam(run, images[0], 0).shape == images.shape[1:3]


# ---- Filters, activations, units ----------------------------------------------------------------------------------


def test_filters_are_red_green_blue_whatever_the_network_takes() -> None:
    pixels = keras.Input((16, 16, 3), name="pixels")
    x = layers.Conv2D(5, 3, name="stem_conv")(ops.flip(pixels, axis=-1))
    network = keras.Model(pixels, layers.GlobalAveragePooling2D()(x), name="network")
    run = classifiers.assemble([classifiers.with_head(network, 2)], backbones.Preprocessing(16, 16, "bilinear", False))
    kernel = network.get_layer("stem_conv").get_weights()[0]
    filters = explanations.first_layer_filters(run)
    assert filters.shape == (5, 3, 3, 3)
    np.testing.assert_array_equal(filters[2, 0, 1], kernel[0, 1, ::-1, 2])
    plain = colour_run()
    np.testing.assert_array_equal(explanations.first_layer_filters(plain), [[[[1, 0, 0]]], [[[0, 0, 1]]]])


def test_activations_are_those_of_the_network(images: np.ndarray) -> None:
    model = small_cnn()
    network = backbones.network(model)
    found = explanations.layer_activations(model, images[0])
    assert {name: values.shape for name, values in found.items()} == {
        "block1_relu2": (16, 16, 4), "block2_relu2": (8, 8, 8)}
    resized = keras.Model(model.input, model.get_layer("resizing").output)(images[:1])
    direct = keras.Model(network.input, network.get_layer("block1_conv1").output)(resized)
    for names in (["block1_conv1"], ["block2_relu2", "block1_conv1"]):
        found = explanations.layer_activations(model, images[0], names)
        assert list(found) == names
        np.testing.assert_allclose(found["block1_conv1"], direct[0], atol=1e-5)


def test_spatial_layers_compute_and_have_places() -> None:
    assert explanations.spatial_layers(colour_run()) == {"stem_conv": (16, 16, 2)}
    names = list(explanations.spatial_layers(small_cnn()))
    assert names[0] == "block1_conv1" and names[-1] == "block2_relu2"
    assert not any("pool" in name or "dropout" in name for name in names)


def test_exciting_rows_are_sorted_by_their_largest_activation() -> None:
    """Rows 2 and 3 have the same maximum; row 3 has it in more places."""
    model = colour_run()
    pictures = np.zeros((5, 20, 20, 3), np.float32)
    pictures[0, 5, 5, BLUE], pictures[1, 0, 0, BLUE], pictures[1, 5, 5, BLUE] = 80, 250, 10
    pictures[2, 9, 9, BLUE], pictures[3, 9, 8:10, BLUE], pictures[4, 9, 9, RED] = 200, 200, 255
    for batches in ([pictures], [pictures[:2], pictures[2:]]):
        rows, responses = explanations.exciting_rows(model, batches, "stem_conv", 1, 4)
        assert rows.tolist() == [3, 2, 0, 1] and responses.tolist() == [200, 200, 80, 10]
    assert len(explanations.exciting_rows(model, [], "stem_conv", 1, 4)[0]) == 0


def test_a_unit_is_found_in_the_picture() -> None:
    found = explanations.unit_map(colour_run(), painted((60, 100), red=(12, 27, 9), blue=(30, 60, 9)), None, 1)
    assert found.shape == (60, 100) and found.max() == 1
    np.testing.assert_allclose(centre_of(found), (34.5, 64.5), atol=1.0)


def test_what_is_not_there_is_refused(images: np.ndarray) -> None:
    model, image = small_cnn(), images[0]
    for layer in ("block7_conv1", "head_pool", "block1_pool"):
        with pytest.raises(ToolkitError, match=f"no layer '{layer}' .* it has block1_conv1, .*block2_relu2"):
            explanations.grad_cam(model, image, layer=layer)
        with pytest.raises(ToolkitError, match="no layer"):
            explanations.layer_activations(model, image, [layer])
    for unit in (-1, 8):
        with pytest.raises(ToolkitError, match=f"unit {unit} was asked for, but layer block2_relu2 has .* 0 to 7"):
            explanations.exciting_rows(model, [], None, unit, 3)


def test_a_network_without_convolutions_is_refused(images: np.ndarray) -> None:
    model = backbones.build("mlp", "none", image_size=16, hidden=(4,))
    assert explanations.spatial_layers(model) == {}
    for call in (explanations.first_layer_filters, lambda m: explanations.grad_cam(m, images[0]),
                 lambda m: explanations.layer_activations(m, images[0]),
                 lambda m: explanations.exciting_rows(m, [], None, 0, 3)):
        with pytest.raises(ToolkitError, match="network has no .*: choose a run or a backbone with convolutions"):
            call(model)
