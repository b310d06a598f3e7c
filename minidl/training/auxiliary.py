"""The loss of a network with auxiliary classifiers: GoogLeNet's."""

from __future__ import annotations

from typing import Any

from minidl import nn
from minidl.tensor import Tensor


class AuxiliaryLoss(nn.Module):
    """loss(main) + weight * (loss(aux1) + loss(aux2) + ...), the cross-entropies of what a model gives in training.

    For scores that are no tuple, as in evaluation, it is the cross-entropy alone.
    Szegedy et al., arXiv:1409.4842, sec. 5: weight 0.3.
    """

    def __init__(self, weight: float, label_smoothing: float = 0.0):
        super().__init__()
        self.weight = weight
        self.loss = nn.CrossEntropyLoss(label_smoothing=label_smoothing)
        self.heads = 1.0  # of the last call: how many cross-entropies are in the sum, auxiliary ones by their weight

    def forward(self, scores: Any, labels: Tensor) -> Tensor:
        main, *auxiliary = scores if isinstance(scores, tuple) else (scores,)
        self.heads = 1 + self.weight * len(auxiliary)
        loss = self.loss(main, labels)
        for each in auxiliary:
            loss = loss + self.weight * self.loss(each, labels)
        return loss
