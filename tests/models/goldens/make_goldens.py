"""Make the stored outputs of the original networks, with PyTorch 2.13 and timm 1.0.31 (neither is needed by a test).

    python make_goldens.py --photographs .../sklearn/datasets/images --lite0 .../efficientnet-lite0-57934424.pth

writes beside itself efficientnet_lite0.npz, one file for each of `inputs.CASES`, and the checkpoints tiny_zip.pth and
tiny_legacy.pth with what is in them, tiny.npz. With `--output FOLDER` it writes those of `inputs.CASES` only, there.

torchvision is not needed: its AlexNet and VGG are written out below, with the names and the order of its layers.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torchvision_stub
from inputs import CASES, Case, photographs, pictures, seeded
from torch import nn

torchvision_stub.install()
import timm  # noqa: E402

HERE = Path(__file__).parent
VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}  # convolutions before each pooling


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--lite0", type=Path)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    for name, case in CASES.items():
        logits = outputs(case, pictures(arguments.photographs, case))
        np.savez_compressed((arguments.output or HERE) / f"{name}.npz", logits=logits)
    if arguments.output is None:
        np.savez_compressed(HERE / "efficientnet_lite0.npz",
                            logits=lite0(arguments.lite0, photographs(arguments.photographs)))
        tiny_checkpoints()


def outputs(case: Case, pictures: np.ndarray) -> np.ndarray:
    """Logits (2, 1000) of the original graph with seeded weights."""
    model = original(case).eval()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items() if "num_batches" not in key}
    model.load_state_dict({key: torch.from_numpy(value) for key, value in seeded(shapes).items()}, strict=False)
    x = (torch.from_numpy(pictures).float() - torch.tensor(case.mean)) / torch.tensor(case.std)
    return model(x.permute(0, 3, 1, 2)).numpy()


def original(case: Case) -> nn.Module:
    package, name = case.original.split(":")
    if package == "timm":
        return timm.create_model(name)
    hidden = case.options.get("hidden", (4096, 4096))
    return Torchvision(alexnet(*hidden) if name == "alexnet" else vgg(VGG[name], *hidden))


class Torchvision(nn.Module):
    """What torchvision's AlexNet and VGG have in common: maps, averaged to a fixed size, and a classifier."""

    def __init__(self, parts: tuple[nn.Module, int, nn.Module]) -> None:
        super().__init__()
        self.features, side, self.classifier = parts
        self.avgpool = nn.AdaptiveAvgPool2d((side, side))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def alexnet(first: int, second: int) -> tuple[nn.Module, int, nn.Module]:
    """https://github.com/pytorch/vision/blob/main/torchvision/models/alexnet.py"""
    features = nn.Sequential(
        nn.Conv2d(3, 64, kernel_size=11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(64, 192, kernel_size=5, padding=2), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2),
        nn.Conv2d(192, 384, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, kernel_size=3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, kernel_size=3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel_size=3, stride=2))
    classifier = nn.Sequential(nn.Dropout(0.5), nn.Linear(256 * 6 * 6, first), nn.ReLU(),
                               nn.Dropout(0.5), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 1000))
    return features, 6, classifier


def vgg(convolutions: tuple[int, ...], first: int, second: int) -> tuple[nn.Module, int, nn.Module]:
    """https://github.com/pytorch/vision/blob/main/torchvision/models/vgg.py"""
    layers: list[nn.Module] = []
    channels = 3
    for filters, count in zip((64, 128, 256, 512, 512), convolutions, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, filters, kernel_size=3, padding=1), nn.ReLU()]
            channels = filters
        layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    classifier = nn.Sequential(nn.Linear(512 * 7 * 7, first), nn.ReLU(), nn.Dropout(0.5),
                               nn.Linear(first, second), nn.ReLU(), nn.Dropout(0.5), nn.Linear(second, 1000))
    return nn.Sequential(*layers), 7, classifier


def lite0(path: Path, pictures: np.ndarray) -> np.ndarray:
    """Logits (8, 1000) of timm's graph with the weights of the file, whose tensors stand in the same order."""
    model = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    names = list(model.state_dict())
    assert len(names) == len(tensors)
    model.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
    return model((torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128).numpy()


def tiny_checkpoints() -> None:
    """Every kind of tensor that a checkpoint may hold, in both containers."""
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(4, 6, generator=generator)
    tensors = {
        "float": base,
        "transposed": base.t(),
        "part": base[1:3, ::2],
        "double": base.double(),
        "half": base.half(),
        "bfloat16": base.bfloat16(),
        "long": torch.arange(5),
        "bool": base > 0,
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base + 1),
    }
    torch.save({"epoch": 3, "state_dict": tensors}, HERE / "tiny_zip.pth")
    torch.save(tensors, HERE / "tiny_legacy.pth", _use_new_zipfile_serialization=False)
    values = {name: (tensor.float() if name == "bfloat16" else tensor).detach().numpy()
              for name, tensor in tensors.items()}
    np.savez_compressed(HERE / "tiny.npz", **values)


if __name__ == "__main__":
    main()
