"""Assignment 3 as a notebook: a cell to try each task, run by your own code."""

# %% [markdown]
# # Assignment 3: Architectures
#
# The notebook edition of `README.md`: the same tasks in the same order, with a cell to try each of them. You write
# the code in the files, not here; after a change, restart the kernel. What counts is `make test TASK=3.1` in a
# terminal.
#
# All cells run from top to bottom once the assignment is solved; before that, one stops with
# `NotImplementedError: Task 3.1: ...`, which is the task to do next.

# %%
import tempfile
from pathlib import Path

import numpy

import minidl
import minidl.nn.functional as F
from architectures.googlenet import AuxiliaryHead, Inception, InceptionNaive
from architectures.resnet import BasicBlock as ProjectionBlock
from architectures.resnet import Bottleneck, shortcut
from architectures.resnet_cifar import BasicBlock, PlainBlock, resnet20
from assignments.a3_architectures.counting import (
    bottleneck_operations,
    counted_twice,
    naive_operations,
    stack_field,
    stack_weights,
)
from assignments.a3_architectures.degradation import deepen, digits, error_of, experiment, make_identity, network, train
from assignments.a3_architectures.published import MEAN, STD, load_published, normalized
from assignments.a3_architectures.stacks import measured_field, stack
from minidl.ops.shape import Cat
from minidl.training import AuxiliaryLoss

minidl.manual_seed(0)

# %% [markdown]
# ## 3.1 What a stack sees, and what it weighs
#
# One 7x7 sees 7x7 pixels and has 49 C^2 weights. How is it with three 3x3?

# %%
for sizes in ([7], [3, 3, 3], [5, 3], [3, 1, 3, 1]):
    print(f"{sizes!s:>14}: sees {stack_field(sizes)} pixels, has {stack_weights(sizes, 64):,} weights with 64 channels")

# %% [markdown]
# ## 3.2 Three 3x3 in place of one 7x7
#
# Do not believe it, look: backward from the output in the middle. Where the gradient of the image is not 0, the output
# sees the pixel.

# %%
three = stack([3, 3, 3], 4)
print(three)
print("the field, measured:", measured_field(three, 4, 15))

# %% [markdown]
# The field is not flat. `measured_field` has left ones in all weights; this is the gradient that it saw, along the
# middle row:

# %%
image = minidl.ones(1, 4, 15, 15, requires_grad=True)
three(image)[0, 0, 7, 7].backward()
row = image.grad[0, 0, 7].numpy()
for column, value in enumerate(row / row.max()):
    print(f"{column:2d} {'#' * round(50 * value)}")

# %% [markdown]
# ## 3.3 The price of an Inception module, and a slip
#
# The lecture has 854M multiply-adds for the naive module, and 358M with bottlenecks. One of the two is not the sum of
# its lines.

# %%
naive = naive_operations(28, 28, 256, 128, 192, 96)
reduced = bottleneck_operations(28, 28, 256, 128, 64, 192, 64, 96, 64)
print(f"naive: {sum(naive):,}")
for name, line in zip(("1x1", "3x3 reduce", "3x3", "5x5 reduce", "5x5", "pool proj"), reduced, strict=True):
    print(f"  {name:>10} {line:>12,}")
print(f"with bottlenecks: {sum(reduced):,}; the lecture took line {counted_twice(reduced, 358_055_936)} twice")

# %% [markdown]
# ## 3.4 Concatenation, forward and backward
#
# Forward puts the channels one behind the other, backward hands every input its own part.

# %%
cat = Cat()
y = cat.forward(numpy.full((1, 2), 1.0), numpy.full((1, 3), 2.0), dim=1)
print("y  ", y)
print("dx ", *cat.backward(10 * numpy.arange(5.0)[None]))

# %% [markdown]
# ## 3.5 and 3.6 Inception modules
#
# The channels of naive modules can only grow; the bottleneck behind the pooling ends that.

# %%
x = minidl.randn(1, 16, 14, 14)
for number in range(1, 4):
    x = InceptionNaive(x.shape[1], 8, 12, 6)(x)
    print(f"behind naive module {number}: {x.shape[1]} channels")
module = Inception(16, 8, 4, 12, 4, 6, 4)
print(
    "with bottlenecks:", module(minidl.randn(1, 16, 14, 14)).shape[1], "channels, out_channels is", module.out_channels
)

# %% [markdown]
# ## 3.7 and 3.8 Auxiliary heads, and their loss
#
# With scores that know nothing, each cross-entropy is near log 10 = 2.3, and the loss near 1.6 times that.

# %%
head = AuxiliaryHead(16, 10, channels=8, hidden=32)
scores = tuple(head(0.1 * minidl.randn(4, 16, 14, 14)) for _ in range(3))
loss_fn = AuxiliaryLoss(0.3)
print("loss", loss_fn(scores, minidl.tensor([0, 1, 2, 3])).item(), "from", loss_fn.heads, "heads")

# %% [markdown]
# ## 3.9 to 3.12 Residual blocks
#
# Ten blocks that have not learnt anything yet: how much of x is still to be seen in what comes out? (The correlation:
# 1 is all, 0 nothing.)

# %%
for block in (PlainBlock, BasicBlock):
    x = y = abs(minidl.randn(4, 8, 8, 8))
    for _ in range(10):
        y = block(8, 8)(y)
    correlation = numpy.corrcoef(x.numpy().ravel(), y.detach().numpy().ravel())[0, 1]
    print(f"behind ten {block.__name__}s: correlation {correlation:.2f}")

# %%
x = minidl.randn(2, 8, 8, 8)
print("option A  ", BasicBlock(8, 16, stride=2)(x).shape, "no parameters on the way around")
print(
    "option B  ",
    ProjectionBlock(8, 16, 2)(x).shape,
    sum(p.numel() for p in shortcut(8, 16, 2).parameters()),
    "parameters",
)
print("bottleneck", Bottleneck(8, 4, 2)(x).shape)

# %% [markdown]
# ## 3.13 The solution by construction
#
# A net of 8 layers learns for two epochs; then one of 26 layers gets its weights and identities, and gives the same.

# %%
images, labels = digits(600)
shallow, deep = network("residual", 8), network("residual", 26)
train(shallow, images, labels, epochs=2)
print(f"8 layers: {error_of(shallow, images, labels):.1f} % wrong, 26 layers: {error_of(deep, images, labels):.1f} %")
deepen(shallow, deep)
print(f"after deepen: {error_of(deep, images, labels):.1f} %")
block = BasicBlock(3, 3)
make_identity(block)
x = abs(minidl.randn(2, 3, 4, 4))
print("block(x) - x:", abs(block(x) - x).max().item())

# %% [markdown]
# ## 3.14 The degradation experiment
#
# In small: nets of 20 layers, three epochs on 400 digits. The picture has 8 and 44 layers:
# `make picture`

# %%
for (kind, depth), (errors, end) in experiment([20], epochs=3, count=400).items():
    while_learning = ", ".join(f"{error:.0f} %" for error in errors)
    print(f"{kind:>8}, {depth} layers: {while_learning} wrong while learning, {end:.0f} % after")

# %% [markdown]
# ## 3.15 Weights from a published ResNet
#
# A file in the format of the published ones, made here, since the course works without a network:

# %%
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "resnet20.th"
    state = {f"module.{name}": value for name, value in resnet20().state_dict().items()}
    minidl.save({"state_dict": state, "best_prec1": 91.78}, path)
    print("in the file:", next(iter(minidl.load(path)["state_dict"])))
    model = load_published(resnet20(), path)
pixels = minidl.randint(256, (2, 3, 32, 32)).to(minidl.uint8)
print("in the model:", next(iter(model.state_dict())), "| training:", model.training)
print("probabilities:", F.softmax(model(normalized(pixels, MEAN, STD)), dim=1).max(dim=1)[0].tolist())

# %% [markdown]
# Now the picture, the written questions in `answers.md`, and `make collect`.
