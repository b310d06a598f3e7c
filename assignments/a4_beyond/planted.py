"""The faulty bodies of hunt.py, as a release has them in place of the right ones. Never released by itself."""

import minidl
import minidl.nn.functional as F
from minidl import Function, nn


class Weigh(Function):
    """See hunt.py."""

    def backward(self, grad_output):
        x, s = self.saved_tensors
        grad_x = grad_output * s[:, :, None, None]
        grad_s = (grad_output * x).mean(axis=(2, 3))
        return grad_x, grad_s


def unit_length(x):
    """See hunt.py."""
    squares = (x * x).sum(dim=1, keepdim=True)  # (N, 1, H, W)
    return x / (squares.sqrt() + 1e-4)


class Hunted(nn.Module):
    """See hunt.py."""

    def forward(self, x):  # (N, 1, 8, 8)
        x = F.relu(unit_length(self.conv1(x)))  # (N, 16, 8, 8)
        x = F.relu(self.conv2(x))
        s = F.sigmoid(self.weights(x.mean(dim=(2, 3))))  # (N, 16)
        x = minidl.apply(Weigh, x, s)
        return F.softmax(self.fc(F.max_pool2d(x, 2).flatten(1)), dim=1)  # (N, 10)
