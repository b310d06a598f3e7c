"""Checks of the networks in architectures/, a file for each: counts, shapes, gradients, agreement with PyTorch."""
