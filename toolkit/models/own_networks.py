"""Our own networks on images by name: what builds the graph, and where the tensors of PyTorch's checkpoints belong."""

from collections.abc import Callable, Iterable

from keras import KerasTensor

from toolkit.models import alexnet_torchvision, efficientnet, efficientnet_lite, mobilenet_v3, resnet, vgg
from toolkit.models.alexnet import alexnet
from toolkit.models.small_networks import mlp, small_cnn
from toolkit.models.weights import Counterpart

GRAPHS: dict[str, Callable[..., KerasTensor]] = {
    "efficientnet_lite0": efficientnet_lite.efficientnet_lite0,
    "resnet18": resnet.resnet18,
    "resnet34": resnet.resnet34,
    "resnet50": resnet.resnet50,
    "efficientnet_b0": efficientnet.efficientnet_b0,
    "mobilenetv3_small_100": mobilenet_v3.mobilenetv3_small_100,
    "vgg11": vgg.vgg11,
    "vgg16": vgg.vgg16,
    "alexnet_torchvision": alexnet_torchvision.alexnet_torchvision,
    "alexnet": alexnet,
    "small_cnn": small_cnn,
    "mlp": mlp,
}
COUNTERPARTS: dict[str, Callable[..., Iterable[Counterpart]]] = {
    "efficientnet_lite0": efficientnet_lite.torch_counterparts,
    "resnet18": resnet.torch_counterparts18,
    "resnet34": resnet.torch_counterparts34,
    "resnet50": resnet.torch_counterparts50,
    "efficientnet_b0": efficientnet.torch_counterparts,
    "mobilenetv3_small_100": mobilenet_v3.torch_counterparts,
    "vgg11": vgg.torch_counterparts11,
    "vgg16": vgg.torch_counterparts16,
    "alexnet_torchvision": alexnet_torchvision.torch_counterparts,
}
