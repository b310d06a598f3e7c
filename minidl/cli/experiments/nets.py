"""Small networks that several experiments train: an AlexNet for images of some 16x16 pixels, and what nets cost."""

from __future__ import annotations

from typing import Any

from minidl import nn
from minidl.inspect import receptive_field, summary
from minidl.nn import Module
from minidl.tensor import Tensor


class SmallAlexNet(nn.Module):
    """Scores (N, classes) for images (N, channels, size, size): AlexNet's plan, with two convolutions and small layers.

    CONV-POOL-CONV-POOL-FC6-FC7-FC8; dropout before the first two fully connected layers, as AlexNet has it.
    Krizhevsky, Sutskever & Hinton, NIPS 2012, sec. 3.5 and 4.2.
    """

    def __init__(
        self, channels: int, size: int, classes: int, *, width: int = 16, hidden: int = 128, dropout: float = 0.0
    ):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * width * (size // 4) ** 2, hidden),  # FC6
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, hidden),  # FC7
            nn.ReLU(),
            nn.Linear(hidden, classes),  # FC8
        )
        he_initialization(self)

    def fc7(self, x: Tensor) -> Tensor:
        """The features behind the last but one layer: (N, hidden)."""
        return self.classifier[:-1](self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def he_initialization(model: Module) -> None:
    """For ReLUs: N(0, 2 / fan_in). He et al., ICCV 2015, arXiv:1502.01852."""
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def cost(model: Module, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters and multiply-adds for one image (C, H, W), counted by the operations as they run."""
    mode = model.training
    totals = summary(model.eval(), shape).totals
    model.train(mode)
    return {"parameters": totals.parameters, "multiply_adds": totals.multiply_adds}


def field_of(model: Module, shape: tuple[int, int, int]) -> int:
    """The receptive field of the last layer, in pixels."""
    return receptive_field(model, shape).rows[-1].size[0]


__all__ = ["SmallAlexNet", "cost", "field_of", "he_initialization"]
