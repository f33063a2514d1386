"""The networks: graphs, their weights, and the one door to them, `toolkit.models.backbones.build`."""
