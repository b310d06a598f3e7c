"""Task 1.5: the loss of a classifier: softmax, logarithm and the mean over the batch in one operation."""

from __future__ import annotations

import numpy

from minidl import Function
from minidl.ops.activation import log_softmax
from minidl.tensor import Tensor, apply


class SoftmaxCrossEntropy(Function):
    """y = -1/N (the sum over n of ln p[n, t_n]),  p = softmax(x)           dx = dy (p - onehot(t)) / N

    x: scores (N, C); t: `labels` (N,), the right class of each sample, ints 0..C-1; y: one number, ().
    onehot(t): (N, C), 1 at [n, t_n] and 0 elsewhere.

    `labels` are data: their gradient is None. What backward needs goes through `self.save_for_backward(...)`; a tuple
    of arrays (or None) comes back from `self.saved_tensors`.
    """

    def forward(self, x, labels):
        """The mean over the batch of minus the log-probability of the right class. x: (N, C), labels: (N,), y: ()"""
        log_p = log_softmax(x, 1)
        self.save_for_backward(log_p, labels)
        return -log_p[numpy.arange(len(x)), labels].mean()

    def backward(self, grad_output):
        """(dx, None): the gradient of the scores, (N, C), and none for the labels. grad_output: ()"""
        log_p, labels = self.saved_tensors
        grad_x = numpy.exp(log_p)
        grad_x[numpy.arange(len(labels)), labels] -= 1
        return grad_output * grad_x / len(labels), None


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """The loss as a Tensor, recorded in the graph. scores: (N, C), labels: (N,) of ints."""
    return apply(SoftmaxCrossEntropy, scores, labels)
