"""A frozen backbone that looks at an image twice: as it is, and at five sevenths of its size.

How large a thing should be shown differs from network to network and from data to data (photographs of 32 pixels,
enlarged to 224, suit EfficientNet-Lite0 less than at 160), and few labels cannot choose. Both looks side by side, (B,
2 F), spare the choice for half as much computation again.
"""

from __future__ import annotations

import keras
from keras import layers

from toolkit import ToolkitError
from toolkit.models import backbones, saved_networks
from toolkit.training.progress import say

RATIO = 5 / 7  # 160 of 224
SMALLEST = 48  # pixels of the smaller look


def at_two_scales(backbone: keras.Model) -> keras.Model:
    """The backbone whose features are those of the image and those of the smaller image, one after the other.

    Args:
        backbone: from ``backbones.build``; it is left as it is.

    Returns:
        A model like those of ``backbones.build``, with the same preprocessing; the backbone itself where its images
        are small already or its network takes no other size.
    """
    whole, preprocessing = backbones.network(backbone), backbones.preprocessing(backbone)
    side, smaller = preprocessing.image_size, round(RATIO * preprocessing.image_size)
    if smaller < SMALLEST:
        return backbone
    try:
        reduced = saved_networks.adapted(whole, smaller, backbone.name)
    except ToolkitError:
        say(f"{backbone.name} takes images of {side} pixels only, so it looks once")
        return backbone
    pixels = whole.inputs[0]
    less = layers.Resizing(smaller, smaller, "bilinear", antialias=True, dtype="float32", name="smaller")(pixels)
    second = keras.Model(reduced.inputs[0], reduced.outputs[0], name="reduced")(less, training=False)
    network = keras.Model(pixels, layers.Concatenate(name="looks")([whole.outputs[0], second]), name="network")
    image = keras.Input((None, None, 3), dtype="uint8", name="image")
    x = backbones.resized(image, preprocessing)
    if preprocessing.resize_size != side:
        x = layers.CenterCrop(side, side, dtype="float32", name="centre_crop")(x, training=False)
    model = keras.Model(image, network(x), name=backbone.name)
    model.sources = getattr(backbone, "sources", ("", "", None))
    return model
