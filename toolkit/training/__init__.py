"""Training: devices, settings, optimizers, exact resume, the loop, cached frozen features."""

from toolkit.training.settings import Settings

__all__ = ["Settings"]
