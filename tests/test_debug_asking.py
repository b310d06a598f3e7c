"""`check` and `why` at the prompt."""

import io

import pytest

import minidl
import minidl.nn.functional as F
from minidl import nn, ops
from minidl.debug.prompt import Pdb
from minidl.debug.watch import Watch


class Halved(ops.Linear):
    """Its gradient of the weight is wrong."""

    def backward(self, grad_output):
        grad_x, grad_weight, grad_bias = super().backward(grad_output)
        return grad_x, grad_weight / 2, grad_bias


class Layer(nn.Linear):
    def forward(self, x):
        return minidl.apply(Halved, x, self.weight, self.bias)


def answers(*commands):
    """What the prompt says to each of the commands, in a training step of a small network."""
    minidl.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Flatten(), Layer(2 * 12, 3))
    x, labels = minidl.randn(2, 1, 4, 3), minidl.tensor([0, 2])
    out = io.StringIO()

    def prompt(session):
        made = Pdb(stdin=io.StringIO("\n".join([*commands, "q"]) + "\n"), stdout=out, session=session)
        made.use_rawinput = False
        return made

    with pytest.raises(SystemExit), Watch(prompt=prompt).watching():
        F.cross_entropy(model(x), labels).backward()
    return out.getvalue().split("(minidl) ")[1:]  # the first is the stop itself


def test_why_a_convolution_has_this_value():
    *_, answer, again, _ = answers("unt op:Conv2d", "s", "why y[1,0,0,2]", "why y[-1, 1-1, 0, 2]")
    assert answer == again
    assert answer.startswith("y[1,0,0,2] = ")
    assert "rows -1..1, columns 1..3" in answer
    assert "0.weight[0,0,2,1]" in answer


def test_check_and_why_at_a_wrong_backward():
    *_, check, why, _ = answers("unt op:Halved phase:bwd", "check", "why gy[0,1]")
    assert "the gradient of input 1 (weight) is wrong" in check
    assert "likely cause:   analytical = 0.5 x numerical everywhere" in check
    assert "the gradient of Halved (3)'s result y[0,1] = " in why
    *_, why, _ = answers("unt param:3.weight", "why grad[2,5]")
    assert "the gradient of 3.weight[2,5] = " in why
    assert "x[0,5]" in why
    assert "Halved (3): the differences of its forward give" in why


def test_mistakes_cost_a_line():
    commands = ["check", "check soon", "why", "why y", "why input[0]", "why nothing[0]", "why 3[0]", "why input[a]"]
    *replies, _ = answers(*commands)
    assert [reply.count("\n") for reply in replies] == [1] * len(commands)
    assert all(reply.startswith("*** ") for reply in replies)
