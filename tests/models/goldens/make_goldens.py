"""Make the stored outputs of the original networks, with PyTorch 2.13 and timm 1.0.31 (neither is needed by a test).

    python make_goldens.py --photographs .../sklearn/datasets/images --lite0 .../efficientnet-lite0-57934424.pth

writes beside itself efficientnet_lite0.npz, resnet18.npz, resnet50.npz, and the checkpoints tiny_zip.pth and
tiny_legacy.pth with what is in them, tiny.npz.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torchvision_stub
from inputs import photographs, seeded

torchvision_stub.install()
import timm  # noqa: E402

HERE = Path(__file__).parent
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--lite0", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    pictures = photographs(arguments.photographs)
    np.savez_compressed(HERE / "efficientnet_lite0.npz", logits=lite0(arguments.lite0, pictures))
    for name in ("resnet18", "resnet50"):
        np.savez_compressed(HERE / f"{name}.npz", features=resnet(name, pictures[[1, 6], :64, :64]))
    tiny_checkpoints()


def lite0(path: Path, pictures: np.ndarray) -> np.ndarray:
    """Logits (8, 1000) of timm's graph with the weights of the file, whose tensors stand in the same order."""
    model = timm.create_model("tf_efficientnet_lite0").eval()
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    names = list(model.state_dict())
    assert len(names) == len(tensors)
    model.load_state_dict(dict(zip(names, tensors.values(), strict=True)))
    return model((torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - 127) / 128).numpy()


def resnet(name: str, pictures: np.ndarray) -> np.ndarray:
    """Features (2, F) of timm's graph with seeded weights."""
    model = timm.create_model(name).eval()
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items() if "num_batches" not in key}
    model.load_state_dict({key: torch.from_numpy(value) for key, value in seeded(shapes).items()}, strict=False)
    x = (torch.from_numpy(pictures).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return model.forward_head(model.forward_features(x.permute(0, 3, 1, 2)), pre_logits=True).numpy()


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
