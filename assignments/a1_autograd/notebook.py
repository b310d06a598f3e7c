"""Assignment 1 as a notebook: the worked examples of the handout, run by your own code."""

# %% [markdown]
# # Assignment 1: Autograd
#
# The handout is `README.md` beside this file; here its worked examples run, task by task, on **your** code. A cell that
# meets an empty function says so: write it, start the kernel anew (*Restart*), and go on. The cells end with an
# `assert`: nothing happens where your numbers are those of the handout.
#
# The checks themselves run in a terminal, in the folder of the release: `make test TASK=1.1`.

# %%
import sys
from pathlib import Path

import numpy

here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "assignments").is_dir())
sys.path.insert(0, str(root))  # this tree's minidl, from wherever the notebook was started


def node_of(operation, *inputs, **options):
    """A node of an operation on plain arrays, and its output."""
    node = operation()
    node.needs_input_grad = (True,) * len(inputs)
    return node, node.forward(*(numpy.array(x, float) for x in inputs), **options)


# %% [markdown]
# ## 1.1 ReLU
#
# $y = \max(x, 0)$, and $dx = dy$ where $x > 0$, $0$ elsewhere.

# %%
from minidl.ops.activation import ReLU

node, y = node_of(ReLU, [[-1, 2], [0, 3]])
dx = node.backward(numpy.array([[5.0, 6.0], [7.0, 8.0]]))
print(y, dx, sep="\n\n")
assert (y == [[0, 2], [0, 3]]).all() and (dx == [[0, 6], [0, 8]]).all()

# %% [markdown]
# ## 1.2 Products and quotients
#
# $y = ab$: $da = dy\,b$, $db = dy\,a$. $\quad y = a/b$: $da = dy/b$, $db = -dy\,a/b^2$.

# %%
from minidl.ops.arithmetic import Div, Mul

dy = numpy.array([1.0, 10.0])
for operation in (Mul, Div):
    node, y = node_of(operation, [2, 3], [4, -1])
    print(operation.__name__, node.backward(dy))
assert (node.backward(dy)[0] == [0.25, -10]).all() and (node.backward(dy)[1] == [-0.125, -30]).all()

# %% [markdown]
# ## 1.3 Broadcasting
#
# What was used twice gets two gradients, and they add up.

# %%
from minidl.elementwise import sum_to_shape

gradient = numpy.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
for shape in ((3,), (2, 1), (1, 3), (), (2, 3)):
    print(f"(2, 3) to {shape!s:8}", sum_to_shape(gradient, shape).tolist())
assert (sum_to_shape(gradient, (3,)) == [5, 7, 9]).all() and sum_to_shape(gradient, ()) == 21

# %% [markdown]
# ## 1.4 Matrix products
#
# $y = ab$: $da = dy\,b^T$, $db = a^T dy$.

# %%
from minidl.ops.linear import MatMul

node, y = node_of(MatMul, [[1, 2], [3, 4]], [[5, 6], [7, 8]])
da, db = node.backward(numpy.array([[1.0, 0.0], [0.0, 2.0]]))
print(y, da, db, sep="\n\n")
assert (da == [[5, 7], [12, 16]]).all() and (db == [[1, 6], [2, 8]]).all()

# %% [markdown]
# ## 1.5 Softmax cross-entropy
#
# $y = -\frac1N \sum_n \ln p_{n, t_n}$ with $p = \mathrm{softmax}(x)$, and $dx = dy\,(p - \mathrm{onehot}(t)) / N$.

# %%
from assignments.a1_autograd.cross_entropy import SoftmaxCrossEntropy
from minidl.ops.activation import log_softmax

print("ln p of (1000, 1001):", log_softmax(numpy.array([[1000.0, 1001.0]]), 1).round(4))
node = SoftmaxCrossEntropy()
node.needs_input_grad = (True, False)
loss = node.forward(numpy.log([[1.0, 2.0, 5.0], [1.0, 1.0, 1.0]]), numpy.array([1, 2]))
dx, _ = node.backward(1.0)
print(f"loss {loss:.4f}, dx", dx.round(4), sep="\n")
assert abs(loss - 1.2425) < 1e-4 and abs(dx.sum(axis=1)).max() < 1e-12

# %% [markdown]
# ## 1.6 The engine
#
# The graph of the handout: $u = x^2$, $v = 2u$, $z = u + v$ at $x = 3$. The gradients of both paths meet in `Square`.

# %%
from assignments.a1_autograd.engine import backward, order
from minidl import Function, Tensor, apply


class Square(Function):
    def forward(self, x):
        self.save_for_backward(x)
        return x * x

    def backward(self, grad_output):
        (x,) = self.saved_tensors
        return grad_output * 2 * x


class Double(Function):
    def forward(self, x):
        return 2 * x

    def backward(self, grad_output):
        return 2 * grad_output


class Join(Function):
    def forward(self, a, b):
        return a + b

    def backward(self, grad_output):
        return grad_output, grad_output


x = Tensor(numpy.array([3.0]), requires_grad=True)
u = apply(Square, x)
z = apply(Join, u, apply(Double, u))
print("turns:", ", ".join(node.name() for node in order(z.grad_fn)))
backward(z)
print("x.grad:", x.grad)
assert x.grad.data == 18

# %% [markdown]
# ## 1.7 The gradient checker
#
# $\frac{df}{dx} \approx \frac{f(x + \varepsilon) - f(x - \varepsilon)}{2\varepsilon}$.
# Then check with it what you wrote above.

# %%
from assignments.a1_autograd.checker import is_right, numerical_gradient


def cube(x):
    return x**3


at_two = numerical_gradient(cube, numpy.array([2.0]), numpy.array([1.0]), eps=0.1)
print("x^3 at 2, eps = 0.1:", at_two)
assert abs(at_two - 12.01) < 1e-9

rng = numpy.random.default_rng(0)
a, b = rng.uniform(1, 2, (2, 3, 4))
for operation, inputs in ((ReLU, (a - 1.5,)), (Mul, (a, b)), (Div, (a, b)), (MatMul, (a, b.T.copy()))):
    print(f"{operation.__name__:7}", is_right(operation, inputs, rng))

# %% [markdown]
# ## 1.8 SGD with momentum
#
# $v \leftarrow \mu v + g$, $p \leftarrow p - \eta v$; $p = 1$, $\eta = 0.1$, $\mu = 0.9$,
# and a gradient that is always 1.

# %%
from minidl.optim import SGD

p = Tensor(numpy.array([1.0]), requires_grad=True)
optimizer = SGD([p], lr=0.1, momentum=0.9)
for step in range(1, 4):
    p.grad = Tensor(numpy.array([1.0]))
    optimizer.step()
    print(step, optimizer.state[p]["momentum_buffer"].data, p.data)
assert abs(p.data - 0.439) < 1e-12

# %% [markdown]
# ## 1.9 A network that reads digits

# %%
from assignments.a1_autograd.train import answers, digits, train

net, losses = train(*digits(training=True))
images, labels = digits(training=False)
right = (answers(net, images) == labels).mean()
print(
    f"first loss {losses[0]:.3f} (ln 10 = {numpy.log(10):.3f}), last {losses[-1]:.4f}; {right:.1%} of the unseen right"
)
assert right > 0.95

# %% [markdown]
# ## The picture

# %%
import tempfile

from PIL import Image

from assignments.a1_autograd.picture import picture

Image.open(picture(Path(tempfile.mkdtemp())))
