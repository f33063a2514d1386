"""EfficientNet-B0: blocks and channels (test_conversions has its outputs)."""

from toolkit.models import backbones, efficientnet


def test_blocks_are_stem_seven_stages_and_head():
    network = backbones.network(backbones.build("efficientnet_b0", "none", 32))
    blocks = backbones.blocks(network)
    assert [block[0].name.split("_")[0] for block in blocks] == ["stem", *(f"stage{i}" for i in range(1, 8)), "head"]
    named = {layer for layer, _, _ in efficientnet.torch_counterparts()}
    assert named == {layer.name for layer in network.layers if layer.weights} | {"head_logits"}


def test_channels():
    stages = efficientnet.stages(squeeze=True, activation="silu")
    blocks = [block for stage in stages for block in stage]
    assert len(blocks) == 16
    assert [stage[-1].filters for stage in stages] == [16, 24, 40, 80, 112, 192, 320]
    assert (blocks[0].expanded, blocks[0].squeezed) == (0, 8)
    assert (blocks[1].expanded, blocks[1].squeezed) == (96, 4)
    assert (blocks[-1].expanded, blocks[-1].squeezed) == (1152, 48)
    assert [block.stride for block in blocks if block.stride == 2] == [2] * 4
    assert not any(block.squeezed for stage in efficientnet.stages(False, "relu6") for block in stage)
