"""The lecture's two listings (lecture 9, review slides) run with nothing but the import changed."""

import numpy
import pytest

import minidl

RELU = """
class ReLU(torch.autograd.Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x.clamp(min=0)

    def backward(self, grad_y):
        x, = self.saved_tensors
        grad_input = grad_y.clone()
        grad_input[x < 0] = 0
        return grad_input
"""

TWO_LAYERS = """
import torch
from torch.autograd import Variable

N, D_in, H, D_out = 64, 1000, 100, 10
x = Variable(torch.randn(N, D_in))
y = Variable(torch.randn(N, D_out), requires_grad=False)

model = torch.nn.Sequential(
    torch.nn.Linear(D_in, H),
    torch.nn.ReLU(),
    torch.nn.Linear(H, D_out))
loss_fn = torch.nn.MSELoss(size_average=False)

learning_rate = 1e-4
for t in range(500):
    y_pred = model(x)
    loss = loss_fn(y_pred, y)

    model.zero_grad()
    loss.backward()

    for param in model.parameters():
        param.data -= learning_rate * param.grad.data
"""


def with_minidl(listing):
    """The listing with its imports changed, and nothing else."""
    return listing.replace("import torch\n", "import minidl as torch\n").replace("from torch.", "from minidl.")


def test_relu_listing():
    scope = {"torch": minidl}
    exec(with_minidl(RELU), scope)
    x = minidl.tensor([[-1.0, 0.0, 2.0], [3.0, -4.0, 5.0]], dtype=minidl.float64, requires_grad=True)
    y = scope["ReLU"]()(x)
    assert y.tolist() == [[0, 0, 2], [3, 0, 5]]
    assert y.grad_fn.name() == "ReLU"
    y.backward(minidl.full((2, 3), 7.0, dtype=minidl.float64))
    assert x.grad.tolist() == [[0, 7, 7], [7, 0, 7]]  # the listing lets the gradient through at x = 0
    away_from_zero = minidl.tensor([[-1.0, 0.5], [3.0, -4.0]], dtype=minidl.float64, requires_grad=True)
    assert minidl.gradcheck(scope["ReLU"](), (away_from_zero,))


def test_relu_listing_can_be_called_again_and_nested():
    scope = {"torch": minidl}
    exec(with_minidl(RELU), scope)
    relu = scope["ReLU"]()
    a = minidl.tensor([-1.0, 2.0], requires_grad=True)
    (relu(a) + relu(relu(a) * -1.0 + 5.0) * relu(-a)).sum().backward()
    # relu(a) + relu(5 - relu(a)) relu(-a): at -1 it is 5 relu(-a), slope -5; at 2 it is a, slope 1
    assert a.grad.tolist() == [-5.0, 1.0]


def test_two_layer_listing_fits():
    minidl.manual_seed(0)
    scope = {}
    exec(with_minidl(TWO_LAYERS), scope)
    assert float(scope["loss"].data) < 1e-3 * numpy.sum(scope["y"].data ** 2)


@pytest.mark.torch
def test_two_layer_listing_equals_torch():
    """After the same 500 steps from the same numbers, PyTorch's loss is ours (in float64)."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: make test-torch")
    rng = numpy.random.default_rng(0)
    draws = {name: rng.standard_normal(shape) for name, shape in (("x", (64, 1000)), ("y", (64, 10)))}
    weights = [rng.uniform(-0.03, 0.03, shape) for shape in ((100, 1000), (100,), (10, 100), (10,))]

    def run(library, listing):
        listing = listing.replace("torch.randn(N, D_in)", "torch.from_numpy(draws['x'].copy())")
        listing = listing.replace("torch.randn(N, D_out)", "torch.from_numpy(draws['y'].copy())")
        listing = listing.replace("loss_fn =", "model.double(); fill(model)\nloss_fn =").replace(
            "range(500)", "range(50)"
        )

        def fill(model):
            for param, weight in zip(model.parameters(), weights, strict=True):
                param.data = library.from_numpy(weight.copy())

        scope = {"draws": draws, "fill": fill}
        exec(listing, scope)
        return [p.detach().numpy() for p in scope["model"].parameters()]

    with pytest.warns(UserWarning, match="size_average"):
        theirs = run(torch, TWO_LAYERS)
    for ours, expected in zip(run(minidl, with_minidl(TWO_LAYERS)), theirs, strict=True):
        numpy.testing.assert_allclose(ours, expected, rtol=1e-9, atol=1e-12)
