"""Assignment 4 as a notebook: a cell to try each task, and the hunt, run by your own code."""

# %% [markdown]
# # Assignment 4: Beyond
#
# The notebook edition of `README.md`. You write the code in the files, not here; after a change, restart the kernel.
# What counts is `make test TASK=4.1` in a terminal. Three of the first seven are enough: skip the cells of the others.

# %%
import contextlib
import warnings

import minidl
import minidl.debug
import minidl.nn.functional as F
from architectures.densenet import DenseLayer, Transition
from architectures.fractalnet import Fractal, Join
from architectures.preact_resnet import BasicUnit
from architectures.resnet_cifar import BasicBlock
from architectures.resnext import Bottleneck
from architectures.squeezenet import Fire
from architectures.stochastic_depth import StochasticBlock, linear_decay
from architectures.wide_resnet import WideBlock
from assignments.a4_beyond import hunt
from assignments.a4_beyond.branches import branch_width, grouped, merged, sum_of_branches
from assignments.a4_beyond.compare import SMALL, frontier, measured, multiply_adds
from assignments.a4_beyond.counting import dense_channels, wide_parameters

minidl.manual_seed(0)

# %% [markdown]
# ## 4.1 Pre-activation
#
# Twenty blocks that have not learnt anything. Nothing stands on the way from unit to unit, so what goes in comes out,
# among other things, negative numbers as well.

# %%
x = minidl.randn(2, 8, 6, 6)
for block in (BasicBlock, BasicUnit):
    y = x
    for _ in range(20):
        y = block(8, 8)(y)
    print(f"{block.__name__}: from {x.min().item():.1f} to {y.min().item():.1f}, the smallest numbers in and out")

# %% [markdown]
# ## 4.2 Wide

# %%
print(WideBlock(16, 32, 2, dropout=0.3))
for depth, k in ((40, 1), (16, 8), (28, 10)):
    print(f"WRN-{depth}-{k}: {wide_parameters(depth, k):,} parameters")

# %% [markdown]
# ## 4.3 ResNeXt
#
# Three branches and their sum, and one grouped convolution: the same function.

# %%
shapes = (2, 6, 1, 1), (2, 2, 3, 3), (5, 2, 1, 1)
branches = [tuple(minidl.randn(*shape, dtype=minidl.float64) for shape in shapes) for _ in range(3)]
x = minidl.randn(1, 6, 7, 7, dtype=minidl.float64)
difference = sum_of_branches(x, branches) - grouped(x, *merged(branches), 3)
print(f"largest difference {abs(difference).max().item():.1e}")
print("as wide as one bottleneck of 64:", ", ".join(f"{c}x{branch_width(c)}d" for c in (1, 2, 4, 8, 32)))
print(Bottleneck(16, 8, 32, 4, 2).conv2)

# %% [markdown]
# ## 4.4 Stochastic depth

# %%
survival = linear_decay(54, 0.5)
print(f"ResNet-110: {survival[0]:.3f} for the first block, {survival[-1]} for the last; {sum(survival):.2f} are there")
block, x = StochasticBlock(4, 4, 1, 0.6), minidl.randn(2, 4, 5, 5)
print("".join("#" if (block(x) != F.relu(x)).any().item() else "." for _ in range(60)), "(# there, . left out)")

# %% [markdown]
# ## 4.5 FractalNet

# %%
fractal = Fractal(3, 1, 4, 0.0, 0.15)
print(
    "paths:", len(fractal(minidl.randn(2, 1, 8, 8))), "| the deepest alone:", len(fractal(minidl.randn(2, 1, 8, 8), 2))
)
join, paths = Join(0.4), [minidl.tensor([value]) for value in (1.0, 10.0, 100.0)]
print("means of what is left of 1, 10, 100:", ", ".join(f"{join(paths).item():.4g}" for _ in range(10)))

# %% [markdown]
# ## 4.6 DenseNet

# %%
x = minidl.randn(1, 24, 8, 8)
for _ in range(4):
    x = DenseLayer(x.shape[1], 12, 0.0)(x)
print("behind four layers:", tuple(x.shape), "| behind a transition:", tuple(Transition(x.shape[1], 36, 0.0)(x).shape))
print("DenseNet-BC-100:", dense_channels(24, 12, (16, 16, 16)))

# %% [markdown]
# ## 4.7 SqueezeNet

# %%
fire = Fire(96, 16, 64, 64)
print(tuple(fire(minidl.randn(1, 96, 13, 13)).shape), f"with {sum(p.numel() for p in fire.parameters()):,} parameters")

# %% [markdown]
# ## 4.8 Cost, and who is beaten
#
# Two epochs here, narrow networks only; the picture has twelve epochs and three widths:
# `make picture`

# %%
print(f"a Fire on 8x8: {multiply_adds(Fire(16, 4, 8, 8), minidl.zeros(1, 16, 8, 8)):,} multiply-adds")
points = {}
for name in ("ResNet", "FractalNet", "SqueezeNet"):
    with contextlib.suppress(NotImplementedError):
        cost, parameters, error = measured(name, width=4, epochs=2)
        points[name] = cost, error
        print(f"{name:>12}: {cost:>9,} multiply-adds, {parameters:>7,} parameters, {error:.0f} % wrong")
print("on the frontier:", ", ".join(frontier(points)), "of", len(SMALL))

# %% [markdown]
# ## 4.9 to 4.11 The hunt
#
# Three faults are in `hunt.py`. First: where is the first NaN born? (Once that is mended, nothing is caught here.)

# %%
minidl.manual_seed(0)
model, (x, y) = hunt.Hunted(), hunt.batch(3)
try:
    with minidl.debug.detect_anomaly():
        F.cross_entropy(model(x), y).backward()
    print("no NaN")
except minidl.debug.AnomalyError as error:
    print(error)

# %% [markdown]
# What does `lint` know? It warns of mistakes that raise no exception.

# %%
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    with minidl.debug.lint():
        hunt.train(hunt.Hunted(), epochs=1)
for warning in found:
    print(warning.message)

# %% [markdown]
# And is every backward right? Each operation by itself, against central differences. Then the terms of one gradient.

# %%
tape = minidl.debug.trace(lambda: F.cross_entropy(model(x), y).backward(), record="full")
for event in tape:
    if (event.phase, event.kind) == ("backward", "after"):
        result = minidl.debug.check(event, seconds=0.3)
        if not result:
            print(result)
weigh = next(event for event in tape if event.operation == "Weigh")
print(minidl.debug.why(weigh.inputs[1], (0, 3), tape, gradient=True, limit=4))

# %% [markdown]
# Mended, the network reads more than 95 of 100 digits that it has never seen.

# %%
minidl.manual_seed(0)
losses, accuracy = hunt.train(hunt.Hunted())
print("mean loss of each epoch:", ", ".join(f"{loss:.3f}" for loss in losses))
print(f"{accuracy:.1f} % right")

# %% [markdown]
# Now the picture, the written questions in `answers.md`, and `make collect`.
