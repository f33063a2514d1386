"""Autoencoders: networks that learn features by reconstructing their input; the methods are in the recipe
``pretrain_autoencoder``."""
