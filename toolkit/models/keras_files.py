"""Where the ImageNet weights of `keras.applications` are, and the checksums that Keras itself expects of them.

As in Keras 3.15, for the networks without their classification heads. MD5 or SHA-256 by length; MobileNet and
MobileNetV2 have none there: what the server announces counts. A test holds this against what Keras asks for.
"""

_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications"
_KERNELS = "_weights_tf_dim_ordering_tf_kernels"

# folder, file's name in ~/.keras/models, checksum
_ROWS = [
    ("convnext", "convnext_tiny_notop.h5", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    ("convnext", "convnext_small_notop.h5", "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    ("convnext", "convnext_base_notop.h5", "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    ("convnext", "convnext_large_notop.h5", "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    ("convnext", "convnext_xlarge_notop.h5", "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    ("densenet", f"densenet121{_KERNELS}_notop.h5", "30ee3e1110167f948a6b9946edeeb738"),
    ("densenet", f"densenet169{_KERNELS}_notop.h5", "b8c4d4c20dd625c148057b9ff1c1176b"),
    ("densenet", f"densenet201{_KERNELS}_notop.h5", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    ("efficientnet", "efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
    ("efficientnet", "efficientnetb1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432"),
    ("efficientnet", "efficientnetb2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    ("efficientnet", "efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226"),
    ("efficientnet", "efficientnetb4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    ("efficientnet", "efficientnetb5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f"),
    ("efficientnet", "efficientnetb6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743"),
    ("efficientnet", "efficientnetb7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    ("efficientnet_v2", "efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"),
    ("efficientnet_v2", "efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37"),
    ("efficientnet_v2", "efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb"),
    ("efficientnet_v2", "efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856"),
    ("efficientnet_v2", "efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070"),
    ("efficientnet_v2", "efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342"),
    ("efficientnet_v2", "efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615"),
    ("inception_resnet_v2", f"inception_resnet_v2{_KERNELS}_notop.h5", "d19885ff4a710c122648d3b5c3b684e4"),
    ("inception_v3", f"inception_v3{_KERNELS}_notop.h5", "bcbd6486424b2319ff4ef7d526e38f63"),
    ("mobilenet", "mobilenet_1_0_224_tf_no_top.h5", ""),
    ("mobilenet_v2", f"mobilenet_v2{_KERNELS}_1.0_224_no_top.h5", ""),
    ("mobilenet_v3", "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "d3e8ec802a04aa4fc771ee12a9a9b836"),
    ("mobilenet_v3", "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", "07fb09a5933dd0c8eaafa16978110389"),
    ("nasnet", "nasnet_mobile_no_top.h5", "1ed92395b5b598bdda52abe5c0dbfd63"),
    ("nasnet", "nasnet_large_no_top.h5", "d81d89dc07e6e56530c4e77faddd61b5"),
    ("resnet", f"resnet50{_KERNELS}_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"),
    ("resnet", f"resnet101{_KERNELS}_notop.h5", "88cf7a10940856eca736dc7b7e228a21"),
    ("resnet", f"resnet152{_KERNELS}_notop.h5", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    ("resnet", f"resnet50v2{_KERNELS}_notop.h5", "fac2f116257151a9d068a22e544a4917"),
    ("resnet", f"resnet101v2{_KERNELS}_notop.h5", "c0ed64b8031c3730f411d2eb4eea35b5"),
    ("resnet", f"resnet152v2{_KERNELS}_notop.h5", "ed17cf2e0169df9d443503ef94b23b33"),
    ("vgg16", f"vgg16{_KERNELS}_notop.h5", "6d6bbae143d832006294945121d1f1fc"),
    ("vgg19", f"vgg19{_KERNELS}_notop.h5", "253f8cb515780f3b799900260a226db6"),
    ("xception", f"xception{_KERNELS}_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"),
]
_ELSEWHERE = {"efficientnet": "https://storage.googleapis.com/keras-applications"}
_RENAMED = {f"nasnet_{size}{top}.h5": f"NASNet-{size}{top.replace('_', '-')}.h5"
            for size in ("mobile", "large") for top in ("", "_no_top")}
_TRAINED_AT = {"mobilenet": (128, 160, 192), "mobilenet_v2": (96, 128, 160, 192)}  # and at 224: a file for each size

URLS = {file: f"{_ELSEWHERE.get(folder, f'{_STORAGE}/{folder}')}/{_RENAMED.get(file, file)}"
        for folder, file, _ in _ROWS}
CHECKSUMS = {file: checksum for _, file, checksum in _ROWS}


def file_for(name: str, file: str, size: int) -> str:
    """The file that Keras loads at a size in pixels: MobileNet and MobileNetV2 have one for each of several sizes.

    Example:
        >>> file_for("mobilenet", "mobilenet_1_0_224_tf_no_top.h5", 160)
        'mobilenet_1_0_160_tf_no_top.h5'
    """
    return file.replace("_224_", f"_{size}_") if size in _TRAINED_AT.get(name, ()) else file


def name_of(url: str) -> str:
    """How Keras calls the file of a URL: in two cases not as the URL does."""
    name = url.rpartition("/")[2]
    return next((file for file, address in _RENAMED.items() if address == name), name)


URLS |= {file_for(folder, file, size): f"{_STORAGE}/{folder}/{file_for(folder, file, size)}"
         for folder, file, _ in _ROWS for size in _TRAINED_AT.get(folder, ())}
