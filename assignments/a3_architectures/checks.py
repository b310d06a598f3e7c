"""The checks of assignment 3 that students see and run: `minidl course test 3.1`, or all of them without a number."""

import numpy

from minidl.course.checks import check

# ------------------------------------------------------------------------------------------- 3.1 counting a stack


@check(
    "3.1",
    points=1,
    hints={
        "field_of_three_3x3": "draw it: the outputs of a layer lie side by side, and what they see overlaps",
        "field_of_one_7x7": "one layer of 7x7 sees 7 pixels",
        "weights_of_three_3x3": (
            "in each layer, each of the C filters reads k x k places of C channels; biases are not counted"
        ),
    },
)
class FieldAndWeightsOfSmallStacks:
    """three 3x3 see as much as one 7x7, with fewer weights: fields, and weights for 64 channels"""

    def inputs(rng):
        return {"three": [3, 3, 3], "one": [7], "mixed": [5, 1, 3], "channels": 64}

    def call(three, one, mixed, channels):
        from assignments.a3_architectures.counting import stack_field, stack_weights

        stacks = {"three_3x3": three.tolist(), "one_7x7": one.tolist(), "a_5x5_a_1x1_a_3x3": mixed.tolist()}
        fields = {f"field_of_{name}": stack_field(sizes) for name, sizes in stacks.items()}
        return fields | {f"weights_of_{name}": stack_weights(sizes, channels) for name, sizes in stacks.items()}

    def expected(three, one, mixed, channels):
        return {
            "field_of_three_3x3": 7,
            "field_of_one_7x7": 7,
            "field_of_a_5x5_a_1x1_a_3x3": 7,
            "weights_of_three_3x3": 110_592,
            "weights_of_one_7x7": 200_704,
            "weights_of_a_5x5_a_1x1_a_3x3": 143_360,
        }


# ------------------------------------------------------------------------------------ 3.2 building a stack, and looking


@check(
    "3.2",
    points=1,
    hints={
        "shape_of_y": "height and width must stay: how many places does a k x k filter lose at each edge?",
        "shape_of_y, stack([1, 7], 4)": "each size needs its own padding: a 1x1 loses nothing at an edge, a 7x7 three",
        "y": "a ReLU stands behind every convolution, the last one too, and nowhere else",
    },
)
class StackKeepsTheSize:
    """stack([3, 3, 3], 4): its weights, and y for an image of 9x11, a ReLU behind each convolution; stack([1, 7], 4)"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 9, 11))}

    def call(x):
        from assignments.a3_architectures.stacks import stack
        from minidl.course.probes import filled, seen_by

        model = filled(stack([3, 3, 3], 4))
        y, _ = seen_by(model, x)
        return {
            "shapes_of_parameters": ["x".join(map(str, p.shape)) for p in model.parameters()],
            "shape_of_y": list(y.shape),
            "y": y,
            "shape_of_y, stack([1, 7], 4)": list(seen_by(filled(stack([1, 7], 4)), x)[0].shape),
        }


@check(
    "3.2",
    points=1,
    hints={
        "one_7x7": (
            "all parameters 1, backward from one number in the middle; then from the first row that is seen to the "
            "last, both counted"
        ),
        "one_3x5": (
            "all parameters 1, backward from one number in the middle; then from the first row that is seen to the "
            "last, both counted"
        ),
    },
)
class FieldIsMeasured:
    """the measured field of a 7x7, of three 3x3 with ReLUs, and of a 3x5: (rows, columns)"""

    def inputs(rng):
        return {"size": 23}

    def call(size):
        from assignments.a3_architectures.stacks import measured_field
        from minidl import nn

        three = nn.Sequential(*[layer for _ in range(3) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())])
        models = {"one_7x7": nn.Conv2d(2, 2, 7, padding=3), "three_3x3": three, "one_3x5": nn.Conv2d(2, 4, (3, 5))}
        for model in models.values():
            for parameter in model.parameters():  # with these weights all ReLUs are closed: they must become ones
                nn.init.constant_(parameter, -0.5)
        fields = {name: measured_field(model, 2, size) for name, model in models.items()}
        return {name: f"{rows} rows, {columns} columns" for name, (rows, columns) in fields.items()}

    def expected(size):
        return {"one_7x7": "7 rows, 7 columns", "three_3x3": "7 rows, 7 columns", "one_3x5": "3 rows, 5 columns"}


# ------------------------------------------------------------------------------------- 3.3 the price of a module


@check(
    "3.3",
    points=1,
    hints={
        "lines_of_naive": "a line: height x width x filters x (k x k places) x (channels that a filter reads)",
        "lines_with_bottlenecks": (
            "which channels does each of the six convolutions read? The order: 1x1, 3x3 reduce, 3x3, 5x5 reduce, "
            "5x5, pool proj"
        ),
    },
)
class OperationsOfTheLecturesModules:
    """the lecture's naive module, 854,196,224 multiply-adds, and the one with bottlenecks, line by line"""

    def inputs(rng):
        return {"naive": [28, 28, 256, 128, 192, 96], "reduced": [28, 28, 256, 128, 64, 192, 64, 96, 64]}

    def call(naive, reduced):
        from assignments.a3_architectures.counting import bottleneck_operations, naive_operations

        lines = naive_operations(*naive.tolist()), bottleneck_operations(*reduced.tolist())
        return {
            "lines_of_naive": lines[0],
            "sum_of_naive": sum(lines[0]),
            "lines_with_bottlenecks": lines[1],
            "sum_with_bottlenecks": sum(lines[1]),
        }

    def verify(outputs, naive, reduced):
        lines = numpy.asarray(outputs["lines_with_bottlenecks"])
        if lines.shape == (6,) and lines[2] == 346_816_512:
            return (
                "the 3x3 convolution has 346,816,512 multiply-adds here, as in the naive module: with a bottleneck it "
                "does not read the 256 channels of the input, but those that its reduce leaves"
            )
        return None

    def expected(naive, reduced):
        return {
            "lines_of_naive": [25_690_112, 346_816_512, 481_689_600],
            "sum_of_naive": 854_196_224,
            "lines_with_bottlenecks": [25_690_112, 12_845_056, 86_704_128, 12_845_056, 120_422_400, 12_845_056],
            "sum_with_bottlenecks": 271_351_808,
        }


@check("3.3", points=1)
class TheLineThatIsCountedTwice:
    """counted_twice finds the line that a sum has once too often; None where the sum is right, or strange"""

    def inputs(rng):
        return {"lines": [70, 11, 302, 25]}

    def call(lines):
        from assignments.a3_architectures.counting import counted_twice

        lines = lines.tolist()
        found = {f"one_of_{line}_too_much": counted_twice(lines, sum(lines) + line) for line in lines}
        others = {"a_right_sum": counted_twice(lines, sum(lines)), "a_strange_sum": counted_twice(lines, 999)}
        return {name: str(index) for name, index in (found | others).items()}

    def expected(lines):
        found = {f"one_of_{line}_too_much": str(i) for i, line in enumerate(lines.tolist())}
        return found | {"a_right_sum": "None", "a_strange_sum": "None"}


# ------------------------------------------------------------------------------------------------- 3.4 concatenation


@check(
    "3.4",
    points=1,
    hints={
        "channels_of_a": "the arrays keep their order, and `dim` says along which axis they are joined",
    },
)
class ThreeArraysAreJoined:
    """Cat.forward joins arrays of 2, 3 and 4 channels along axis 1: their channels come one after the other"""

    def inputs(rng):
        return {name: rng.standard_normal((2, c, 3, 5)) for name, c in (("a", 2), ("b", 3), ("c", 4))}

    def call(a, b, c):
        from minidl.ops.shape import Cat

        y = Cat().forward(a, b, c, dim=1)
        return {
            "shape": list(y.shape),
            "channels_of_a": y[:, :2],
            "channels_of_b": y[:, 2:5],
            "channels_of_c": y[:, 5:],
        }

    def expected(a, b, c):
        return {"shape": [2, 9, 3, 5], "channels_of_a": a, "channels_of_b": b, "channels_of_c": c}


@check(
    "3.4",
    rtol=1e-11,
    points=1,
    hints={
        "returned": "backward gives a tuple with one gradient for each input of forward, also in other operations",
        "grad_a": "a is 2 channels wide, and its part is the first",
        "grad_b": "b is 3 channels wide, and its part begins where that of a ends",
        "grad_c": "c is 4 channels wide, and its part begins where that of b ends",
    },
)
class EveryArrayGetsItsPart:
    """Cat.backward gives each array its own part of the gradient: of the same shape, from the same place"""

    def inputs(rng):
        shapes = {"a": (2, 2, 3, 5), "b": (2, 3, 3, 5), "c": (2, 4, 3, 5), "grad_output": (2, 9, 3, 5)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def call(a, b, c, grad_output):
        from minidl.ops.shape import Cat

        cat = Cat()
        cat.forward(a, b, c, dim=1)
        grads = cat.backward(grad_output)
        found = {"returned": f"a {type(grads).__name__} of {len(grads)}"}
        return found | {f"grad_{name}": grad for name, grad in zip("abc", grads, strict=False)}

    def expected(a, b, c, grad_output):
        parts = {"grad_a": grad_output[:, 0:2], "grad_b": grad_output[:, 2:5], "grad_c": grad_output[:, 5:9]}
        return {"returned": "a tuple of 3"} | parts


# ----------------------------------------------------------------------------------------- 3.5 branches of Inception


@check("3.5", points=1)
class BranchesHaveTheirWeights:
    """Inception(6, 2, 3, 4, 5, 7, 8): which convolutions each branch has, and out_channels"""

    def inputs(rng):
        return {"numbers": [6, 2, 3, 4, 5, 7, 8]}

    def call(numbers):
        from architectures.googlenet import Inception

        module = Inception(*numbers.tolist())
        branches = [getattr(module, f"branch{i}", None) for i in (1, 2, 3, 4)]
        shapes = [" then ".join("x".join(map(str, p.shape)) for p in b.parameters() if p.ndim == 4) for b in branches]
        biases = [sum(p.ndim == 1 for p in branch.parameters()) for branch in branches]
        found = {f"weights_of_branch{i}": text for i, text in enumerate(shapes, start=1)}
        return found | {"out_channels": module.out_channels, "biases_in_each_branch": biases}

    def expected(numbers):
        return {
            "weights_of_branch1": "2x6x1x1",
            "weights_of_branch2": "3x6x1x1 then 4x3x3x3",
            "weights_of_branch3": "5x6x1x1 then 7x5x5x5",
            "weights_of_branch4": "8x6x1x1",
            "out_channels": 21,
            "biases_in_each_branch": [1, 2, 2, 1],
        }


@check(
    "3.5",
    points=1,
    hints={
        "y_of_branch1": "a ReLU stands behind every convolution, the reductions too, and each keeps height and width",
        "y_of_branch2": "a ReLU stands behind every convolution, the reductions too, and each keeps height and width",
        "y_of_branch3": "a ReLU stands behind every convolution, the reductions too, and each keeps height and width",
        "y_of_branch4": "first the max pooling, 3x3 with stride 1 and padding 1, then the 1x1 with its ReLU",
    },
)
class BranchesKeepTheSize:
    """what each branch makes of an image of 5x6: the same height and width, a ReLU behind every convolution"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 6, 5, 6))}

    def call(x):
        from architectures.googlenet import Inception
        from minidl.course.probes import filled, seen_by

        module = Inception(6, 2, 3, 4, 5, 7, 8)
        branches = {f"branch{i}": filled(getattr(module, f"branch{i}"), seed=i) for i in (1, 2, 3, 4)}
        return {f"y_of_{name}": seen_by(branch, x)[0] for name, branch in branches.items()}


# ----------------------------------------------------------------------------------------------- 3.6 Inception runs


@check(
    "3.6",
    points=1,
    hints={
        "shape": "the branches are joined along the channels, axis 1",
        "channels_of_the_1x1": "the order is branch1, branch2, branch3, branch4",
        "channels_of_the_pooling": "the last channels are those of branch4: the pooled x",
    },
)
class NaiveModuleRuns:
    """InceptionNaive gives the channels of its four branches, 1x1, 3x3, 5x5, pooling, one after the other"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 5, 4)), "grad_output": rng.standard_normal((2, 10, 5, 4))}

    def call(x, grad_output):
        from architectures.googlenet import InceptionNaive
        from minidl.course.probes import filled, seen_by

        y, _ = seen_by(filled(InceptionNaive(3, 2, 4, 1)), x)
        parts = {"1x1": y[:, :2], "3x3": y[:, 2:6], "5x5": y[:, 6:7], "pooling": y[:, 7:]}
        found = {"shape": list(y.shape)} | {f"channels_of_the_{name}": part for name, part in parts.items()}
        if y.shape != grad_output.shape:
            return found
        return found | {"grad_x": seen_by(filled(InceptionNaive(3, 2, 4, 1)), x, grad_output)[1]}


@check(
    "3.6",
    points=1,
    hints={
        "shape": "the branches are joined along the channels, axis 1",
        "y": "the order is branch1, branch2, branch3, branch4",
    },
)
class ModuleRunsForwardAndBackward:
    """Inception with bottlenecks: its output, and the gradient of its input, to which all four branches add"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 5, 4)), "grad_output": rng.standard_normal((2, 10, 5, 4))}

    def call(x, grad_output):
        from architectures.googlenet import Inception
        from minidl.course.probes import filled, seen_by

        y, _ = seen_by(filled(Inception(3, 2, 2, 4, 3, 1, 3)), x)
        if y.shape != grad_output.shape:
            return {"shape": list(y.shape)}
        _, grad_x = seen_by(filled(Inception(3, 2, 2, 4, 3, 1, 3)), x, grad_output)
        return {"shape": list(y.shape), "y": y, "grad_x": grad_x}


# ---------------------------------------------------------------------------------------------- 3.7 an auxiliary head


@check(
    "3.7",
    points=1,
    hints={
        "scores": "the order is pool, conv (with its ReLU), flatten, fc1, ReLU, dropout, fc2",
    },
)
class HeadInEvaluation:
    """AuxiliaryHead in evaluation, where its dropout does nothing: scores for maps of 14x14, and their gradient"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 5, 14, 14)), "grad_output": rng.standard_normal((3, 4))}

    def call(x, grad_output):
        from architectures.googlenet import AuxiliaryHead
        from minidl.course.probes import filled, seen_by

        y, grad_x = seen_by(filled(AuxiliaryHead(5, 4, channels=3, hidden=7)).eval(), x, grad_output)
        return {"scores": y, "grad_x": grad_x}

    def verify(outputs, x, grad_output):
        scores = outputs["scores"]
        if scores.shape == (3, 4) and abs(scores.sum(axis=1) - 1).max() < 1e-6 and (scores >= 0).all():
            return "the scores of every image add up to 1: leave the softmax to the loss"
        return None

    def expected(x, grad_output):
        from minidl.course.probes import numbers_of

        pooled = numpy.zeros((3, 5, 4, 4))
        for i in range(4):
            for j in range(4):
                pooled[:, :, i, j] = x[:, :, 3 * i : 3 * i + 5, 3 * j : 3 * j + 5].mean(axis=(2, 3))

        def draw(layer, *shape):  # what `filled` draws: weight and bias
            numbers = numbers_of(layer)
            weight = numbers.standard_normal(shape) / numpy.prod(shape[1:]) ** 0.5
            return weight, 0.5 * numbers.standard_normal(shape[0]) + 0.1

        (w, b), (w1, b1), (w2, b2) = draw("conv", 3, 5, 1, 1), draw("fc1", 7, 48), draw("fc2", 4, 7)
        maps = numpy.einsum("nchw,fc->nfhw", pooled, w[:, :, 0, 0]) + b[:, None, None]
        flat = numpy.maximum(maps, 0).reshape(3, 48)
        hidden = flat @ w1.T + b1
        grad_flat = (grad_output @ w2 * (hidden > 0)) @ w1
        grad_pooled = numpy.einsum("nfhw,fc->nchw", grad_flat.reshape(3, 3, 4, 4) * (maps > 0), w[:, :, 0, 0])
        grad_x = numpy.zeros_like(x)
        for i in range(4):
            for j in range(4):
                grad_x[:, :, 3 * i : 3 * i + 5, 3 * j : 3 * j + 5] += grad_pooled[:, :, i : i + 1, j : j + 1] / 25
        return {"scores": numpy.maximum(hidden, 0) @ w2.T + b2, "grad_x": grad_x}


# ----------------------------------------------------------------------------------- 3.8 the loss of three classifiers


@check(
    "3.8",
    points=1,
    hints={
        "grad_main": "the loss of main counts as it is",
        "grad_aux1": "each auxiliary loss counts by self.weight, and all of them count",
        "grad_aux2": "each auxiliary loss counts by self.weight, and all of them count",
        "heads": "1 for main, and self.weight for each auxiliary classifier",
    },
)
class LossOfThreeClassifiers:
    """the loss for scores (main, aux1, aux2) with weight 0.3, its gradients, and what `heads` says of it"""

    def inputs(rng):
        scores = {name: rng.standard_normal((4, 5)) for name in ("main", "aux1", "aux2")}
        return scores | {"labels": rng.integers(0, 5, 4)}

    def call(main, aux1, aux2, labels):
        from minidl import Tensor
        from minidl.training import AuxiliaryLoss

        scores = [Tensor(x, requires_grad=True) for x in (main, aux1, aux2)]
        loss_fn = AuxiliaryLoss(0.3)
        loss = loss_fn(tuple(scores), Tensor(labels))
        loss.backward()
        grads = [None if x.grad is None else x.grad.numpy() for x in scores]
        names = ("grad_main", "grad_aux1", "grad_aux2")
        return dict(zip(names, grads, strict=True)) | {"loss": loss.item(), "heads": loss_fn.heads}


# --------------------------------------------------------------------------------------- 3.9 the residual block


@check("3.9", points=1)
class BlockWhoseResidualIsZero:
    """where bn2 gives 0 (its weight and bias are 0), the block gives ReLU(x): the shortcut alone"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 5, 4))}

    def call(x):
        from architectures.resnet_cifar import BasicBlock
        from minidl.course.probes import filled, seen_by

        block = filled(BasicBlock(3, 3))
        alive = seen_by(block, x)[0]
        for parameter in block.bn2.parameters():
            parameter.data[...] = 0
        y, grad_x = seen_by(block, x, abs(x) + 1)
        return {"alive": alive, "y": y, "grad_x": grad_x}

    def verify(outputs, x):
        y = outputs["y"]
        if y.shape != x.shape:
            return f"the block changes the shape: {y.shape} came back for {x.shape}"
        if not y.any():
            return "nothing comes out: is x added to what the two convolutions give?"
        if (y == x).all():
            return "x comes out as it is, negative numbers too: the last ReLU stands behind the addition"
        if abs(y - numpy.maximum(x, 0)).max() > 1e-9:
            return (
                f"what comes out differs from ReLU(x) by up to {abs(y - numpy.maximum(x, 0)).max():.3g}: "
                "x must be added as it is, behind bn2, and nothing but the last ReLU comes after the addition"
            )
        if abs(outputs["grad_x"] - (abs(x) + 1) * (x > 0)).max() > 1e-9:
            return "the gradient does not come through the shortcut as it is: is x cut off, or scaled?"
        if abs(outputs["alive"] - y).max() < 1e-3:
            return "ReLU(x) comes out whatever bn2 gives: are the two convolutions used?"
        return None


@check(
    "3.9",
    points=1,
    hints={
        "y": (
            "the order is conv1, bn1, ReLU, conv2, bn2, then + x, then ReLU: is a ReLU or a batch norm elsewhere, "
            "or missing?"
        ),
        "y_with_new_channels": "self.shortcut(x) in place of x where self.new_channels is not 0",
    },
)
class BlockInTraining:
    """y and the gradient of x, in training: 3x3, batch norm, ReLU, 3x3, batch norm, plus x or self.shortcut(x), ReLU"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 4, 6, 5)), "grad_output": rng.standard_normal((3, 4, 6, 5))}

    def call(x, grad_output):
        from architectures.resnet_cifar import BasicBlock
        from minidl import nn
        from minidl.course.probes import filled, seen_by

        y, grad_x = seen_by(filled(BasicBlock(4, 4)), x, grad_output)
        changing = filled(BasicBlock(4, 6, 2))
        vars(changing)["shortcut"] = filled(nn.Conv2d(4, 6, 5, 2, 2), seed=1)  # in place of task 3.10
        return {"y": y, "grad_x": grad_x, "y_with_new_channels": seen_by(changing, x)[0]}


# --------------------------------------------------------------------------------- 3.10 a shortcut without parameters


@check("3.10", points=1, stride=2)
class ShortcutToMoreChannels:
    """from 4 channels to 8, stride 2: every second pixel, and the new channels 0, half before and half behind"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 6, 8))}

    def call(x):
        from architectures.resnet_cifar import BasicBlock
        from minidl import Tensor

        return {"y": BasicBlock(4, 8, stride=2).shortcut(Tensor(x))}

    def verify(outputs, x):
        y = outputs["y"]
        if y.shape != (2, 8, 3, 4):
            size = "; is every second pixel taken, in both directions?" if y.shape[2:] != (3, 4) else ""
            return f"the shape is {y.shape}, where (2, 8, 3, 4) is expected{size}"
        zero = [c for c in range(8) if not y[:, c].any()]
        if zero != [0, 1, 6, 7]:
            return (
                f"the channels {zero} are 0, where 0, 1, 6 and 7 should be: 2 new ones before the old 4, and 2 behind"
            )
        pixels = [(i, j) for i in (0, 1) for j in (0, 1) if (y[:, 2:6] == x[:, :, i::2, j::2]).all()]
        if not pixels:
            means = sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
            what = ": means of four pixels came out" if abs(y[:, 2:6] - means).max() < 1e-9 else ""
            return f"the old channels do not hold every second pixel of x{what}"
        if pixels != [(0, 0)]:
            return f"the pixels begin at {pixels[0]}, not at (0, 0)"
        return None


# ------------------------------------------------------------------------------------------------- 3.11 a projection


@check(
    "3.11",
    points=1,
    hints={
        "shape": "with stride 2, 5x7 becomes 3x4",
        "y": "a 1x1 convolution with the stride, then batch norm, and nothing behind it",
    },
)
class ProjectionWhereTheShapeChanges:
    """shortcut(4, 6, 2): a 1x1 convolution without bias and a batch norm, in an nn.Sequential; None for (4, 4, 1)"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 5, 7)), "grad_output": rng.standard_normal((2, 6, 3, 4))}

    def call(x, grad_output):
        from architectures.resnet import shortcut
        from minidl.course.probes import filled, seen_by

        model = shortcut(4, 6, 2)
        names = [f"{name} {'x'.join(map(str, p.shape))}" for name, p in model.named_parameters()]
        same = "None" if shortcut(4, 4, 1) is None else "a module"
        y, _ = seen_by(filled(model), x)
        found = {"parameters": names, "where_nothing_changes": same, "shape": list(y.shape)}
        if y.shape != grad_output.shape:
            return found
        y, grad_x = seen_by(filled(model), x, grad_output)
        return found | {"y": y, "grad_x": grad_x}


# ---------------------------------------------------------------------------------- 3.12 blocks, whatever the shortcut


@check(
    "3.12",
    points=1,
    hints={
        "y_with_x_itself": (
            "the order is conv1, bn1, ReLU, conv2, bn2, then + shortcut, then ReLU; the shortcut takes the x that "
            "came in"
        ),
        "y_with_downsample": (
            "the order is conv1, bn1, ReLU, conv2, bn2, then + shortcut, then ReLU; the shortcut takes the x that "
            "came in"
        ),
    },
)
class BasicBlockTakesItsShortcut:
    """BasicBlock of resnet.py: with x itself, and with a strange module in self.downsample, which it must use"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 6, 5)), "grad_output": rng.standard_normal((2, 6, 3, 3))}

    def call(x, grad_output):
        from architectures import resnet
        from minidl import nn
        from minidl.course.probes import filled, seen_by

        original, resnet.shortcut = resnet.shortcut, lambda *shape: None  # without task 3.11
        try:
            identity, changing = resnet.BasicBlock(4, 4), resnet.BasicBlock(4, 6, 2)
        finally:
            resnet.shortcut = original
        changing.downsample = nn.Conv2d(4, 6, 5, 2, 2)
        y, _ = seen_by(filled(identity), x)
        z, grad_x = seen_by(filled(changing), x, grad_output)
        return {"y_with_x_itself": y, "y_with_downsample": z, "grad_x_with_downsample": grad_x}


@check("3.12", points=1)
class BottleneckWhoseResidualIsZero:
    """Bottleneck: where bn3 gives 0 (its weight and bias are 0), the block gives ReLU(x): the shortcut alone"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 8, 6, 5))}

    def call(x):
        from architectures import resnet
        from minidl.course.probes import filled, seen_by

        original, resnet.shortcut = resnet.shortcut, lambda *shape: None  # without task 3.11
        try:
            block = filled(resnet.Bottleneck(8, 2))
        finally:
            resnet.shortcut = original
        alive = seen_by(block, x)[0]
        for parameter in block.bn3.parameters():
            parameter.data[...] = 0
        return {"alive": alive, "y": seen_by(block, x)[0]}

    def verify(outputs, x):
        y = outputs["y"]
        if y.shape != x.shape:
            return f"the block changes the shape: {y.shape} came back for {x.shape}"
        if not y.any():
            return "nothing comes out: is the shortcut added to what the convolutions give?"
        if (y == x).all():
            return "x comes out as it is, negative numbers too: the last ReLU stands behind the addition"
        if (error := abs(y - numpy.maximum(x, 0)).max()) > 1e-9:
            return f"what comes out differs from ReLU(x) by up to {error:.3g}: the shortcut is added behind bn3"
        if abs(outputs["alive"] - y).max() < 1e-3:
            return "ReLU(x) comes out whatever bn3 gives: are the three convolutions used?"
        return None


@check(
    "3.12",
    points=1,
    hints={
        "y": "the order is conv1, bn1, ReLU, conv2, bn2, ReLU, conv3, bn3, then + shortcut, then ReLU",
        "y_with_downsample": "the shortcut is self.downsample, of the x that came in, unless it is None",
    },
)
class BottleneckInTraining:
    """Bottleneck: 1x1, 3x3, 1x1, batch norm behind each, the ReLU behind the sum; with a strange downsample as well"""

    def inputs(rng):
        shapes = {"x": (2, 8, 6, 5), "grad_output": (2, 8, 6, 5), "grad_changed": (2, 12, 3, 3)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def call(x, grad_output, grad_changed):
        from architectures import resnet
        from minidl import nn
        from minidl.course.probes import filled, seen_by

        original, resnet.shortcut = resnet.shortcut, lambda *shape: None  # without task 3.11
        try:
            block, changing = filled(resnet.Bottleneck(8, 2)), resnet.Bottleneck(8, 3, 2)
        finally:
            resnet.shortcut = original
        changing.downsample = nn.Conv2d(8, 12, 5, 2, 2)
        y, grad_x = seen_by(block, x, grad_output)
        z, grad_z = seen_by(filled(changing), x, grad_changed)
        return {"y": y, "grad_x": grad_x, "y_with_downsample": z, "grad_x_with_downsample": grad_z}


# ----------------------------------------------------------------------------------- 3.13 the solution by construction


@check("3.13", points=1)
class BlockBecomesTheIdentity:
    """with the numbers of a block after make_identity, block(x) = x for x >= 0, in training and in evaluation"""

    def inputs(rng):
        return {"x": abs(rng.standard_normal((3, 4, 5, 5)))}

    def call(x):
        from architectures.resnet_cifar import BasicBlock
        from assignments.a3_architectures.degradation import make_identity
        from minidl.course.probes import filled, seen_by

        block = filled(BasicBlock(4, 4))
        before = seen_by(block.eval(), x)[0]
        make_identity(block)
        weights = sum(abs(p.data).sum() for p in (block.conv1.weight, block.conv2.weight))
        fresh = BasicBlock(4, 4).double()
        fresh.load_state_dict(block.state_dict())  # numbers were to be changed, so a block with the same ones does it
        evaluation, training = seen_by(fresh.eval(), x)[0], seen_by(fresh.train(), x)[0]
        return {"before": before, "in_evaluation": evaluation, "in_training": training, "weights": weights}

    def verify(outputs, x):
        for name in ("in_evaluation", "in_training"):
            if (error := abs(outputs[name] - x).max()) > 1e-9:
                what = name.replace("_", " ")
                return (
                    f"{what}, block(x) differs from x by up to {error:.3g}: does F(x) = bn2(...) give anything but 0?"
                )
        if abs(outputs["before"] - x).max() < 1e-3:
            return "the block was the identity before: its forward (task 3.9) gives x whatever it holds"
        return None


@check("3.13", points=1)
class DeepNetGivesWhatTheShallowOneGives:
    """after deepen(shallow, deep), a residual net of 20 layers gives the scores of one of 8, and has its accuracy"""

    def inputs(rng):
        return {"x": rng.standard_normal((5, 1, 8, 8))}

    def call(x):
        from architectures.resnet_cifar import BasicBlock, ResNet
        from assignments.a3_architectures.degradation import deepen
        from minidl.course.probes import filled, seen_by

        shallow, deep = (filled(ResNet(BasicBlock, n, 10, 1, 4), seed=n).eval() for n in (1, 3))
        scores = seen_by(shallow, x)[0]
        deepen(shallow, deep)
        copies = deep.state_dict()
        fresh = ResNet(BasicBlock, 3, 10, 1, 4).double()
        fresh.load_state_dict(copies)
        others = [name for name, value in shallow.state_dict().items() if (copies[name] != value).any().item()]
        afterwards = seen_by(shallow, x)[0]
        for tensor in (*deep.parameters(), *deep.buffers()):  # as a training would change it
            tensor.data[...] = 0
        return {
            "shallow": scores,
            "deep": seen_by(fresh.eval(), x)[0],
            "shallow_afterwards": afterwards,
            "shallow_when_the_deep_one_is_changed": seen_by(shallow, x)[0],
            "not_copied": ", ".join(others),
        }

    def verify(outputs, x):
        shallow, deep = outputs["shallow"], outputs["deep"]
        if abs(shallow - outputs["shallow_afterwards"]).max() > 1e-12:
            return "the shallow net was changed"
        if abs(shallow - outputs["shallow_when_the_deep_one_is_changed"]).max() > 1e-12:
            return "the nets share tensors: where the deep one is trained, the shallow one changes. Copy the numbers"
        if not numpy.isfinite(deep).all() or abs(shallow - deep).max() > 1e-6 * abs(shallow).max():
            names = outputs["not_copied"].split(", ")
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            return f"the scores of the deep net differ by up to {abs(shallow - deep).max():.3g}: " + (
                f"{', '.join(names[:3])}{more} of the deep net are not those of the shallow one"
                if outputs["not_copied"]
                else "all that both nets have was copied, so a block that only the deep one has is no identity"
            )
        return None


# --------------------------------------------------------------------------------------------- 3.14 the experiment


@check(
    "3.14",
    points=1,
    hints={
        "plain_8": "n blocks in each stage make 6n + 2 layers; plain nets are made of PlainBlocks",
        "residual_8": "n blocks in each stage make 6n + 2 layers; residual nets are made of BasicBlocks",
        "for_9_layers": "a depth that is not 6n + 2 is refused",
    },
)
class NetworksOfSomeDepths:
    """network("plain" or "residual", depth): so many layers, the same parameters; ValueError for other depths, kinds"""

    def inputs(rng):
        return {"depths": [8, 14, 32]}

    def call(depths):
        from architectures.resnet_cifar import BasicBlock
        from assignments.a3_architectures.degradation import network

        def refused(*arguments):
            try:
                network(*arguments)
            except ValueError:
                return "ValueError"
            return "no error"

        found = {}
        for kind in ("plain", "residual"):
            for depth in depths.tolist():
                model = network(kind, depth, 4)
                matrices = [p for p in model.parameters() if p.ndim > 1]
                name = f"{kind}_{depth}"
                parameters = sum(p.numel() for p in model.parameters())
                residual = sum(isinstance(m, BasicBlock) for m in model.modules())
                found[name] = f"{len(matrices)} layers, {parameters:,} parameters, {residual} residual blocks"
        other = sum(p.numel() for p in network("residual", 8, 6, num_classes=7, in_channels=3).parameters())
        found["parameters_for_7_classes_3_channels_and_width_6"] = other
        bad = {"9_layers": ("plain", 9), "10_layers": ("plain", 10), "2_layers": ("residual", 2), "wide": ("wide", 8)}
        return found | {f"for_{name}": refused(*arguments) for name, arguments in bad.items()}

    def expected(depths):
        found = {}
        for kind in ("plain", "residual"):
            for depth, parameters in ((8, 4_934), (14, 11_094), (32, 29_574)):
                blocks = (depth - 2) // 2 if kind == "residual" else 0
                found[f"{kind}_{depth}"] = f"{depth} layers, {parameters:,} parameters, {blocks} residual blocks"
        # 3x3 convolutions, then batch norm's two numbers for each map, then the linear layer
        convolutions = 9 * (3 * 6 + 2 * 6 * 6 + 6 * 12 + 12 * 12 + 12 * 24 + 24 * 24)
        found["parameters_for_7_classes_3_channels_and_width_6"] = convolutions + 2 * (3 * 6 + 2 * 12 + 2 * 24) + 25 * 7
        return found | {f"for_{name}": "ValueError" for name in ("9_layers", "10_layers", "2_layers", "wide")}


@check(
    "3.14",
    points=1,
    hints={
        "error_of_a_model_in_training": (
            "percent, 0 to 100, of the images whose largest score is not that of their label, in evaluation mode"
        ),
        "error_of_a_model_in_evaluation": (
            "percent, 0 to 100, of the images whose largest score is not that of their label"
        ),
        "mode_after_it": "the mode that the model was in comes back, whichever it was",
    },
)
class ErrorIsMeasuredInEvaluation:
    """error_of: percent of wrong answers, with the model in evaluation, no graph, and the mode as it was afterwards"""

    def inputs(rng):
        return {
            "scores": rng.permuted(numpy.tile(numpy.arange(5.0), (40, 1)), axis=1),
            "labels": rng.integers(0, 5, 40),
        }

    def call(scores, labels):
        import minidl
        from assignments.a3_architectures.degradation import error_of
        from minidl import Tensor, nn

        class Watched(nn.Module):
            """Gives its input as scores, in evaluation; in training all the scores of class 0 win."""

            def forward(self, x):
                self.mode, self.records = self.training, minidl.is_grad_enabled()
                return x + 100 * Tensor(numpy_first(x)) if self.training else x

        def numpy_first(x):
            first = x.numpy() * 0
            first[:, 0] = 1
            return first

        model = Watched()
        errors = [error_of(model.train(mode), Tensor(scores), Tensor(labels)) for mode in (True, False)]
        model.train()
        error_of(model, Tensor(scores), Tensor(labels))
        after_training = model.training
        error_of(model.eval(), Tensor(scores), Tensor(labels))
        return {
            "error_of_a_model_in_training": errors[0],
            "error_of_a_model_in_evaluation": errors[1],
            "mode_during_it": "training" if model.mode else "evaluation",
            "a_graph_is_recorded": "yes" if model.records else "no",
            "mode_after_it": f"{'training' if after_training else 'evaluation'} was training, "
            f"{'training' if model.training else 'evaluation'} was evaluation",
        }

    def expected(scores, labels):
        error = 100 * (scores.argmax(axis=1) != labels).mean()
        return {
            "error_of_a_model_in_training": error,
            "error_of_a_model_in_evaluation": error,
            "mode_during_it": "evaluation",
            "a_graph_is_recorded": "no",
            "mode_after_it": "training was training, evaluation was evaluation",
        }


@check("3.14", points=1, seconds=20)
class DepthHurtsThePlainNetOnly:
    """nets of 20 layers after 2 epochs on 400 real digits: the residual one has learnt them, the plain one has not"""

    def inputs(rng):
        return {"depth": 20, "epochs": 2, "count": 400}

    def call(depth, epochs, count):
        from assignments.a3_architectures.degradation import experiment

        found = experiment([depth], epochs, count=count)
        return {
            f"{kind}_{moment}": found[kind, depth][i]
            for kind in ("plain", "residual")
            for i, moment in enumerate(("curve", "end"))
        }

    def verify(outputs, depth, epochs, count):
        plain, residual = outputs["plain_curve"][-1], outputs["residual_curve"][-1]
        if not residual < 65 < plain:
            return (
                f"in the last epoch the plain net has {plain:.1f} % wrong and the residual net {residual:.1f} %: "
                "the residual one should be below 65 %, the plain one above. Has each kind its own block?"
            )
        if not outputs["residual_end"] < 50:
            end = outputs["residual_end"]
            return f"at the end, the residual net has {end:.1f} % wrong by error_of: below 50 is expected"
        return None


# --------------------------------------------------------------------------------------------- 3.15 published weights


@check("3.15", points=1)
class PrefixGoesAndNothingElse:
    """without_prefix takes "module." from the beginning of names, and leaves the rest as it is"""

    def inputs(rng):
        return {"names": ["module.conv1.weight", "module.layer1.0.bn1.bias", "linear.weight", "layer1.module.weight"]}

    def call(names):
        from assignments.a3_architectures.published import without_prefix

        state = {str(name): i for i, name in enumerate(names)}
        found = without_prefix(state, "module.")
        return {"names": list(found), "values": list(found.values()), "names_of_the_old_one": list(state)}

    def expected(names):
        kept = ["conv1.weight", "layer1.0.bn1.bias", "linear.weight", "layer1.module.weight"]
        return {"names": kept, "values": [0, 1, 2, 3], "names_of_the_old_one": names}


@check(
    "3.15",
    points=1,
    hints={
        "tensors_that_arrived": (
            "do the names in the file fit those of the model? With strict=False nobody would say so"
        ),
        "mode": "batch norm must take its averages, not the statistics of the batch",
    },
)
class PublishedFileIsLoaded:
    """a file with the names and shapes of the published ResNet-20: every tensor arrives, and the model evaluates"""

    def inputs(rng):
        return {"factors": rng.standard_normal(4)}

    def call(factors):
        import tempfile
        from pathlib import Path

        import minidl
        from architectures.resnet_cifar import resnet20
        from assignments.a3_architectures.published import load_published
        from minidl.course.probes import filled

        source, model = filled(resnet20(), seed=7).float(), resnet20()
        state = {f"module.{name}": value for name, value in source.state_dict().items() if "num_batches" not in name}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "resnet20.th"
            minidl.save({"state_dict": state, "best_prec1": 91.78}, path)
            loaded = load_published(model, path)
        arrived = {name: value.numpy() for name, value in loaded.state_dict().items() if "num_batches" not in name}
        right = sum((value == arrived[name.removeprefix("module.")]).all() for name, value in state.items())
        return {
            "tensors_that_arrived": f"{right} of {len(state)}",
            "first_filter": arrived["conv1.weight"][0] * factors[0],
            "mode": "training" if loaded.training else "evaluation",
        }


@check(
    "3.15",
    points=1,
    rtol=1e-5,
    hints={
        "y": "first x / 255, then minus the mean, then divided by the deviation, those of the channel: (1, C, 1, 1)",
    },
)
class ImagesAsThePublishersNetworkReadThem:
    """normalized: bytes to 0..1, minus the mean and divided by the deviation of each channel, in float32"""

    def inputs(rng):
        return {"images": rng.integers(0, 256, (2, 3, 4, 5)), "mean": [0.485, 0.456, 0.406], "std": [0.2, 0.3, 0.25]}

    def call(images, mean, std):
        import minidl
        from assignments.a3_architectures.published import normalized

        bytes_in = minidl.tensor(images.tolist(), dtype=minidl.uint8)
        return {"y": normalized(bytes_in, tuple(mean.tolist()), tuple(std.tolist()))}

    def expected(images, mean, std):
        y = (images / 255 - mean[:, None, None]) / std[:, None, None]
        return {"y": y.astype(numpy.float32)}

    def verify(outputs, images, mean, std):
        y = outputs["y"]
        if y.shape == images.shape and abs(y).max() > 100:
            return f"values up to {abs(y).max():.0f} came out: the bytes 0..255 must become 0..1 first"
        return None
