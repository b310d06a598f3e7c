"""Assignment 2 as a notebook: the worked examples of the handout, run by your own code."""

# %% [markdown]
# # Assignment 2: Convolution
#
# The handout is `README.md` beside this file; here its worked examples run, task by task, on **your** code. A cell that
# meets an empty function says so: write it, start the kernel anew (*Restart*), and go on. The cells end with an
# `assert`: nothing happens where your numbers are those of the handout.
#
# The checks themselves run in a terminal, in the folder of the release: `make test TASK=2.1`.

# %%
import sys
from pathlib import Path

import numpy

here = Path.cwd()
root = next(folder for folder in (here, *here.parents) if (folder / "assignments").is_dir())
sys.path.insert(0, str(root))  # this tree's minidl, from wherever the notebook was started

x = numpy.arange(1.0, 10.0).reshape(1, 1, 3, 3)
weight = numpy.array([[[[1.0, 0.0], [2.0, -1.0]]]])
bias = numpy.array([0.5])

# %% [markdown]
# ## 2.1 A convolution in loops
#
# $y_{n,f,oh,ow} = b_f + \sum_{c,kh,kw} w_{f,c,kh,kw}\; x_{n,c,\,oh \cdot s + kh,\,ow \cdot s + kw}$

# %%
from assignments.a2_convolution.loops import conv_loops

y = conv_loops(x, weight, bias)
print(y[0, 0])
assert (y[0, 0] == [[4.5, 6.5], [10.5, 12.5]]).all()

# %% [markdown]
# ## 2.2 im2col
#
# A column for each window, a row for each position of the kernel.

# %%
from minidl.ops.im2col import im2col

no_padding = ((0, 0), (0, 0))
columns = im2col(x, (2, 2), (1, 1), no_padding, (1, 1))
print(columns.shape, columns.reshape(4, 4), sep="\n")
assert (columns.reshape(4, 4)[:, 0] == [1, 2, 4, 5]).all()

# %% [markdown]
# The convolution is now one matrix product:

# %%
print(weight.reshape(1, 4) @ columns.reshape(4, 4) + bias)

# %% [markdown]
# ## 2.3 col2im
#
# How many windows see each pixel? And the property that makes col2im the adjoint:
# $\langle \mathrm{im2col}(x), c \rangle = \langle x, \mathrm{col2im}(c) \rangle$.

# %%
from minidl.ops.im2col import col2im

seen = col2im(numpy.ones_like(columns), (3, 3), (1, 1), no_padding, (1, 1))
print(seen[0, 0])
assert (seen[0, 0] == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]).all()

rng = numpy.random.default_rng(0)
image, some = rng.standard_normal((2, 3, 7, 6)), rng.standard_normal((3, 3, 2, 2, 4, 7))
geometry = (2, 1), ((1, 1), (1, 1)), (1, 1)
left = (im2col(image, (3, 2), *geometry) * some).sum()
right = (image * col2im(some, (7, 6), *geometry)).sum()
print(left, right)
assert abs(left - right) < 1e-9

# %% [markdown]
# ## 2.4 and 2.5 Conv2d
#
# $y = W\,\mathrm{columns} + b$; $dW = dy\,\mathrm{columns}^T$, $dx = \mathrm{col2im}(W^T dy)$, $db = \sum dy$.

# %%
import minidl
import minidl.nn.functional as F
from minidl.ops.convolution import Conv2d

minidl.use_algorithm("im2col")  # literally what stands in minidl/ops, and nothing faster
node = Conv2d()
node.needs_input_grad = (True, True, True)
y = node.forward(x, weight, bias, stride=(1, 1), padding=no_padding, dilation=(1, 1), groups=1)
dx, dw, db = node.backward(numpy.array([[[[1.0, 0.0], [0.0, 2.0]]]]))
print(y[0, 0], dx[0, 0], dw[0, 0], db, sep="\n\n")
assert (dx[0, 0] == [[1, 0, 0], [2, 1, 0], [0, 4, -2]]).all() and (dw[0, 0] == [[11, 14], [20, 23]]).all() and db == 3

# %% [markdown]
# Beside the loops, and beside central differences:

# %%
shapes = (2, 3, 7, 6), (4, 3, 3, 2), (4,)
tensors = [minidl.tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]
fast = F.conv2d(*tensors, stride=2, padding=1).data
print("largest difference from the loops:", abs(fast - conv_loops(*(t.data for t in tensors), 2, 1)).max())
assert minidl.gradcheck(lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1), tensors)

# %% [markdown]
# ## 2.6 Pooling

# %%
table = minidl.tensor([[[[1.0, 3, 2, 0], [4, 2, 1, 5], [0, 1, 6, 2], [3, 2, 2, 7]]]], requires_grad=True)
dy = minidl.tensor([[[[1.0, 2], [3, 4]]]])
for pool in (F.max_pool2d, F.avg_pool2d):
    table.grad = None
    y = pool(table, 2)
    y.backward(dy)
    print(pool.__name__, y.data[0, 0], table.grad.data[0, 0], sep="\n")
assert (table.grad.data[0, 0, 2] == [0.75, 0.75, 1, 1]).all()

# %% [markdown]
# ## 2.7 Local response normalization
#
# $d_c = k + \frac{\alpha}{n} \sum_{j} x_j^2$ and $y_c = x_c\, d_c^{-\beta}$, over the window of channel $c$.

# %%
y = F.local_response_norm(minidl.tensor([[[1.0], [2.0], [2.0]]]), size=3, alpha=3.0, beta=0.5, k=1.0)
print(y.data[0, :, 0].round(3))
assert abs(y.data[0, :, 0] - [1 / 6**0.5, 2 / 10**0.5, 2 / 3]).max() < 1e-6

# %% [markdown]
# ## 2.8 Batch normalization
#
# $y = (x - \mu)\, r\, w + b$ with $r = 1/\sqrt{\sigma^2 + \varepsilon}$.
# In training $\mu$ and $\sigma^2$ are those of the batch.

# %%
from minidl.ops.normalization import BatchNorm

node = BatchNorm()
node.needs_input_grad = (True, True, True, False, False)
values = numpy.array([1.0, 3.0, 5.0, 7.0]).reshape(4, 1)
y, mean, variance = node.forward(values, numpy.ones(1), numpy.zeros(1), None, None, eps=0.0)
dx = node.backward(numpy.array([1.0, 0, 0, 0]).reshape(4, 1))[0]
print(mean, variance, y.round(3).ravel(), dx.round(3).ravel())
assert mean == 4 and variance == 5 and abs(dx.ravel() - [0.1342, -0.1789, -0.0447, 0.0894]).max() < 1e-4

running_mean, running_var = minidl.zeros(1), minidl.ones(1)
F.batch_norm(minidl.tensor(values.astype("float32")), running_mean, running_var, training=True)
print("running:", running_mean, running_var)

# %% [markdown]
# ## 2.9 Dropout

# %%
from minidl.ops.dropout import Dropout

node = Dropout()
node.needs_input_grad = (True,)
y = node.forward(numpy.array([2.0, 4, 6, 8]), mask=numpy.array([True, False, True, True]), scale=4 / 3)
print(y.round(3))
assert abs(y - [8 / 3, 0, 8, 32 / 3]).max() < 1e-12

# %% [markdown]
# ## 2.10 LeNet-5 reads digits

# %%
from architectures import lenet5
from minidl.inspect import summary

print(summary(lenet5(), (1, 32, 32)))

# %%
from assignments.a2_convolution.train import answers, digits, train

net, losses = train(*digits(training=True))
images, labels = digits(training=False)
right = (answers(net, images) == labels).mean()
print(f"first loss {losses[0]:.3f}; {right:.1%} of the unseen digits right")
assert right > 0.92

# %% [markdown]
# ## 2.11 What a network costs

# %%
from assignments.a2_convolution.counting import ALEXNET, count, main, totals

main()
assert totals(count(ALEXNET, (3, 227, 227)))[0] == 62_378_344

# %% [markdown]
# ## The picture

# %%
import tempfile

from PIL import Image

from assignments.a2_convolution.picture import picture

Image.open(picture(Path(tempfile.mkdtemp())))
