"""Which part of a picture each view shows: hand-made members, pictures of every format."""

import keras
import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import backbones, classifiers, views


def assembled(members: int = 1, test_views: int = 1) -> keras.Model:
    """Crops of 16 from pictures resized to 20; each member averages red and blue."""
    found = []
    for number in range(members):
        pixels = keras.Input((16, 16, 3), name="pixels")
        features = keras.layers.GlobalAveragePooling2D(name="head_pool")(pixels)
        found.append(classifiers.with_head(keras.Model(pixels, features, name="network"), 2, name=f"member{number}"))
    return classifiers.assemble(found, backbones.Preprocessing(16, 20, "bilinear", False), test_views=test_views)


@pytest.mark.parametrize(("members", "test_views"), [(1, 1), (1, 2), (2, 1), (2, 10)])
def test_every_member_sees_every_view_at_its_place(members: int, test_views: int) -> None:
    found = views.of(assembled(members, test_views))
    assert len(found) == members * test_views
    picture = np.random.default_rng(0).random((1, 20, 20, 3)).astype(np.float32)
    for view in found:
        rows, columns = view.places[..., 0], view.places[..., 1]
        np.testing.assert_array_equal(view.crop(picture)[0], picture[0][rows, columns])
    assert (found[0].places[0, 0] == 2).all()
    assert len({view.places.tobytes() for view in found}) == test_views
    assert [layer.name for layer in found[0].head] == ["dropout", "head"]


@pytest.mark.parametrize(("name", "options", "resized"), [("small_cnn", {"filters": (4, 8)}, 32),
                                                          ("mobilenet", {"alpha": 0.25}, 37)])
def test_a_backbone_has_one_view(name: str, options: dict[str, object], resized: int) -> None:
    model = backbones.build(name, "none", image_size=32, **options)
    (view,) = views.of(model)
    assert view.network is backbones.network(model) and view.head == () and view.resized == resized
    picture = np.random.default_rng(0).integers(0, 256, (resized, resized, 3), np.uint8)
    start = (resized - 32) // 2
    np.testing.assert_array_equal(views.crop(model, picture), picture[start:start + 32, start:start + 32])


@pytest.mark.parametrize(("shape", "test_views", "edges"), [
    ((60, 90), 1, (6, 21, 54, 69)), ((90, 60), 1, (21, 6, 69, 54)), ((90, 60), 5, (15, 0, 75, 60)),
    ((41, 20), 2, (12, 2, 28, 18)), ((10, 10), 10, (0, 0, 10, 10))])
def test_seen_is_the_centre_of_the_largest_square(shape: tuple[int, int], test_views: int, edges: tuple[int, ...]
                                                  ) -> None:
    model = assembled(test_views=test_views)
    assert views.seen(model, *shape) == edges
    top, left, bottom, right = edges
    inside, outside = np.zeros((2, *shape, 3), np.uint8)
    inside[top:bottom, left:right] = 255
    outside[...] = 255
    outside[top:bottom, left:right] = 0
    full, none = (model(picture[None]) for picture in (np.full((*shape, 3), 255, np.uint8),
                                                       np.zeros((*shape, 3), np.uint8)))
    if shape[0] % 20 == 0 and shape[1] % 20 == 0 or test_views >= 5:  # else resizing mixes pixels across the edge
        np.testing.assert_allclose(model(inside[None]), full, atol=0.02)
        np.testing.assert_allclose(model(outside[None]), none, atol=0.02)


def test_crop_is_what_the_network_sees() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    np.testing.assert_array_equal(views.crop(assembled(), picture), picture[2:18, 2:18])


def test_other_models_and_pictures_are_refused() -> None:
    with pytest.raises(ToolkitError, match="cannot be explained: expected a model of backbones.build"):
        views.of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]))
    for picture in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((1, 4, 4, 3), np.uint8)):
        with pytest.raises(ToolkitError, match="expected uint8"):
            views.resized(assembled(), picture)
