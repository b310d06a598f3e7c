"""The checks of assignment 4 that students see and run: `minidl course test 4.1`, or all of them without a number."""

import numpy

from minidl.course.checks import check

# ---------------------------------------------------------------------------------------------- 4.1 pre-activation


@check("4.1", points=1)
class UnitWhoseResidualIsZero:
    """BasicUnit and BottleneckUnit: where the last convolution is 0, x comes out untouched, negative numbers too"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 8, 5, 4))}

    def call(x):
        from architectures.preact_resnet import BasicUnit, BottleneckUnit
        from minidl import nn
        from minidl.course.probes import filled, seen_by

        basic, bottleneck = filled(BasicUnit(8, 8)), filled(BottleneckUnit(8, 2))
        alive = seen_by(basic, x)[0], seen_by(bottleneck, x)[0]
        nn.init.zeros_(basic.conv2.weight)
        nn.init.zeros_(bottleneck.conv3.weight)
        silent = seen_by(basic, x)[0], seen_by(bottleneck, x)[0]
        names = ("basic", "bottleneck")
        found = {f"{name}_silent": y for name, y in zip(names, silent, strict=True)}
        return found | {f"{name}_alive": y for name, y in zip(names, alive, strict=True)}

    def verify(outputs, x):
        for name in ("basic", "bottleneck"):
            y = outputs[f"{name}_silent"]
            if y.shape != x.shape:
                return f"{name}: the unit changes the shape: {y.shape} came back for {x.shape}"
            if abs(y - numpy.maximum(x, 0)).max() < 1e-9:
                return f"{name}: ReLU(x) comes out: there is no ReLU behind the addition in a pre-activation unit"
            if abs(y - x).max() > 1e-9:
                return (
                    f"{name}: x came out changed by up to {abs(y - x).max():.3g}: the shortcut takes x itself, before "
                    "batch norm and ReLU, and nothing comes after the addition"
                )
            if abs(outputs[f"{name}_alive"] - x).max() < 1e-3:
                return f"{name}: x comes out whatever the convolutions hold: are they used?"
        return None


@check(
    "4.1",
    points=1,
    hints={
        "y_of_basic": "the order is bn1, ReLU, conv1, bn2, ReLU, conv2, then + x, and nothing behind it",
        "y_of_bottleneck": (
            "the order is bn1, ReLU, conv1, bn2, ReLU, conv2, bn3, ReLU, conv3, then + x, and nothing behind it"
        ),
    },
)
class UnitsInTraining:
    """both units in training: batch norm, ReLU, convolution, again and again, plus x; y and the gradient of x"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 8, 5, 4)), "grad_output": rng.standard_normal((3, 8, 5, 4))}

    def call(x, grad_output):
        from architectures.preact_resnet import BasicUnit, BottleneckUnit
        from minidl.course.probes import filled, seen_by

        basic = seen_by(filled(BasicUnit(8, 8)), x, grad_output)
        bottleneck = seen_by(filled(BottleneckUnit(8, 2)), x, grad_output)
        return {
            "y_of_basic": basic[0],
            "grad_x_of_basic": basic[1],
            "y_of_bottleneck": bottleneck[0],
            "grad_x_of_bottleneck": bottleneck[1],
        }


@check(
    "4.1",
    points=1,
    stride=2,
    hints={
        "the_shortcut_of_basic": (
            "every second pixel in both directions, from (0, 0) on; the new channels are 0 and all behind"
        ),
        "y_of_basic": "in the first unit of a stage, one ReLU(bn1(x)) goes into the convolutions and into the shortcut",
        "y_of_bottleneck": (
            "in the first unit of a stage, one ReLU(bn1(x)) goes into the convolutions and into the shortcut"
        ),
    },
)
class FirstUnitOfAStage:
    """the first unit of a stage shares its activation: its shortcut, too, starts behind batch norm and ReLU"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 6, 8))}

    def call(x):
        from architectures.preact_resnet import BasicUnit, BottleneckUnit
        from minidl import Tensor
        from minidl.course.probes import filled, seen_by

        basic, bottleneck = filled(BasicUnit(4, 6, 2, first=True)), filled(BottleneckUnit(4, 2, 2, first=True))
        shortcut = basic.shortcut(Tensor(x))
        found = {"the_shortcut_of_basic": shortcut, "y_of_bottleneck": seen_by(bottleneck, x)[0]}
        return found if shortcut.shape != (2, 6, 3, 4) else found | {"y_of_basic": seen_by(basic, x)[0]}


# ------------------------------------------------------------------------------------------------------------ 4.2 wide


@check(
    "4.2",
    points=1,
    hints={
        "strides": "one of the two 3x3 halves the size, the first; so must the shortcut",
        "changing": "a batch norm has as many channels as what it normalizes; no convolution has a bias",
    },
)
class WideBlockHasItsLayers:
    """WideBlock(4, 6, 2): names and shapes of its parameters, in any order; no projection where channels stay"""

    def inputs(rng):
        return {"channels": [4, 6]}

    def call(channels):
        from architectures.wide_resnet import WideBlock

        narrow, wide = channels.tolist()

        def named(block):
            return sorted(f"{name} {'x'.join(map(str, p.shape))}" for name, p in block.named_parameters())

        changing, staying = WideBlock(narrow, wide, 2, dropout=0.3), WideBlock(wide, wide)
        return {
            "changing": named(changing),
            "staying": named(staying),
            "strides": f"conv1 {changing.conv1.stride[0]}, conv2 {changing.conv2.stride[0]}, "
            f"shortcut {changing.shortcut.stride[0]}",
            "dropout": changing.dropout.p,
            "shortcut_where_channels_stay": str(staying.shortcut),
        }


@check(
    "4.2",
    points=1,
    hints={
        "y": "the order is bn1, ReLU, conv1, bn2, ReLU, dropout, conv2, then + x, and nothing behind it",
        "y_with_projection": "the projection sees ReLU(bn1(x)), as the first convolution does",
    },
)
class WideBlockRuns:
    """WideBlock: x, or the projection of the activated x, is added; y and the gradient of x, without dropout"""

    def inputs(rng):
        shapes = {"x": (2, 4, 6, 5), "grad_same": (2, 4, 6, 5), "grad_changed": (2, 6, 3, 3)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def call(x, grad_same, grad_changed):
        from architectures.wide_resnet import WideBlock
        from minidl.course.probes import filled, seen_by

        y, grad_x = seen_by(filled(WideBlock(4, 4)), x, grad_same)
        z, grad_z = seen_by(filled(WideBlock(4, 6, 2)), x, grad_changed)
        return {"y": y, "grad_x": grad_x, "y_with_projection": z, "grad_x_with_projection": grad_z}


@check(
    "4.2",
    points=1,
    hints={
        "of_wrn_16_8": (
            "what is missing, or too much? The projections have 165,888, the last batch norm 1,024, all others "
            "6,176, and there are 10 biases"
        ),
    },
)
class ParametersOfWideNets:
    """wide_parameters of WRN-16-8, WRN-28-10 and WRN-40-4, as published; ValueError for a depth that is not 6n + 4"""

    def inputs(rng):
        return {"nets": [[16, 8], [28, 10], [40, 4]]}

    def call(nets):
        from assignments.a4_beyond.counting import wide_parameters

        try:
            for_depth_18 = str(wide_parameters(18, 2))
        except ValueError:
            for_depth_18 = "ValueError"
        found = {f"of_wrn_{depth}_{k}": wide_parameters(depth, k) for depth, k in nets.tolist()}
        return found | {"for_depth_18": for_depth_18}

    def expected(nets):
        published = {"of_wrn_16_8": 10_961_370, "of_wrn_28_10": 36_479_194, "of_wrn_40_4": 8_949_210}
        return published | {"for_depth_18": "ValueError"}


# --------------------------------------------------------------------------------------------------------- 4.3 ResNeXt


@check(
    "4.3",
    points=1,
    hints={
        "shape_of_reduce": "all branches read the same x, so their filters stand one below the other",
        "shape_of_middle": "in a convolution in groups, a filter reads d channels only",
        "shape_of_expand": (
            "expand reads the maps of all branches, which lie side by side: which axis is that of the inputs?"
        ),
        "y": "do the branches have the same order in all three weights?",
    },
)
class BranchesBecomeGroups:
    """merged: the block with three groups computes what the sum of three branches does"""

    def inputs(rng):
        x = {"x": rng.standard_normal((2, 5, 4, 6))}
        shapes = {"reduce": (2, 5, 1, 1), "middle": (2, 2, 3, 3), "expand": (7, 2, 1, 1)}
        return x | {f"{n}{i}": rng.standard_normal(s) for i in range(3) for n, s in shapes.items()}

    def call(x, reduce0, middle0, expand0, reduce1, middle1, expand1, reduce2, middle2, expand2):
        from assignments.a4_beyond.branches import grouped, merged
        from minidl import Tensor

        arrays = (reduce0, middle0, expand0), (reduce1, middle1, expand1), (reduce2, middle2, expand2)
        reduce, middle, expand = merged([tuple(map(Tensor, branch)) for branch in arrays])
        weights = {"reduce": reduce, "middle": middle, "expand": expand}
        shapes = {f"shape_of_{name}": "x".join(map(str, weight.shape)) for name, weight in weights.items()}
        if [*shapes.values()] != ["6x5x1x1", "6x2x3x3", "7x6x1x1"]:
            return shapes
        return shapes | {"y": grouped(Tensor(x), reduce, middle, expand, 3)}

    def expected(x, **weights):
        y = 0
        for i in range(3):
            reduce, middle, expand = (weights[f"{name}{i}"] for name in ("reduce", "middle", "expand"))
            maps = numpy.maximum(numpy.einsum("nchw,fc->nfhw", x, reduce[:, :, 0, 0]), 0)
            padded = numpy.pad(maps, ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = numpy.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
            maps = numpy.maximum(numpy.einsum("nchwkl,fckl->nfhw", windows, middle), 0)
            y = y + numpy.einsum("nchw,fc->nfhw", maps, expand[:, :, 0, 0])
        shapes = {"reduce": "6x5x1x1", "middle": "6x2x3x3", "expand": "7x6x1x1"}
        return {f"shape_of_{name}": shape for name, shape in shapes.items()} | {"y": y}


@check(
    "4.3",
    points=1,
    hints={
        "parameters": "only the 3x3 has groups, which make its filters thinner; there are no biases but batch norm's",
        "strides": "the stride is on the 3x3 and on the downsample",
    },
)
class BottleneckHasItsLayers:
    """Bottleneck(6, 8, 10, groups=4, stride=2): names and shapes of its parameters; no downsample for (6, 8, 6)"""

    def inputs(rng):
        return {"numbers": [6, 8, 10, 4, 2]}

    def call(numbers):
        from architectures.resnext import Bottleneck

        def named(block):
            return sorted(f"{name} {'x'.join(map(str, p.shape))}" for name, p in block.named_parameters())

        block, same = Bottleneck(*numbers.tolist()), Bottleneck(6, 8, 6, 4)
        layers = {"conv1": block.conv1, "conv2": block.conv2, "conv3": block.conv3, "downsample": block.downsample[0]}
        strides = ", ".join(f"{name} {layer.stride[0]}" for name, layer in layers.items())
        return {
            "parameters": named(block),
            "parameters_where_nothing_changes": named(same),
            "strides": strides,
        }


@check(
    "4.3",
    points=1,
    hints={
        "width_of_2_branches": (
            "C branches, each 1x1, 3x3, 1x1 with d channels inside: how many weights are that? Of all d, the nearest"
        ),
    },
)
class WidthsOfEqualCost:
    """branch_width: the paper's 1x64d, 2x40d, 4x24d, 8x14d and 32x4d weigh about the same"""

    def inputs(rng):
        return {"cardinalities": [1, 2, 4, 8, 32]}

    def call(cardinalities):
        from assignments.a4_beyond.branches import branch_width

        return {f"width_of_{c}_branches": branch_width(c) for c in cardinalities.tolist()}

    def expected(cardinalities):
        return {f"width_of_{c}_branches": d for c, d in zip(cardinalities.tolist(), (64, 40, 24, 14, 4), strict=True)}


# ------------------------------------------------------------------------------------------------- 4.4 stochastic depth


@check(
    "4.4",
    points=1,
    hints={
        "first": "l goes from 1 to L, and p_1 is just below 1: the first blocks survive almost always",
        "last": "for l = L, p is p_L",
    },
)
class SurvivalFalls:
    """linear_decay(54, 0.5): the first block survives almost always, the last with 0.5, 40.25 of 54 on average"""

    def inputs(rng):
        return {"blocks": 54, "last": 0.5}

    def call(blocks, last):
        from architectures.stochastic_depth import linear_decay

        survival = linear_decay(blocks, last)
        return {"how_many": len(survival), "first": survival[0], "last": survival[-1], "their_sum": sum(survival)}

    def expected(blocks, last):
        return {"how_many": 54, "first": 1 - 0.5 / 54, "last": 0.5, "their_sum": 40.25}


@check(
    "4.4",
    points=1,
    hints={
        "shortcut": "the mean of 2x2 pixels, then zeros behind for the new channels",
        "y": "in evaluation, ReLU(p F(x) + shortcut): p is with F(x) alone",
        "y_where_the_shape_changes": "in evaluation, ReLU(p F(x) + shortcut): p is with F(x) alone",
    },
)
class BlockOnAverage:
    """in evaluation the residual is scaled by the survival probability; the shortcut takes means of 2x2 pixels"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 6, 4))}

    def call(x):
        from architectures.stochastic_depth import StochasticBlock
        from minidl import Tensor
        from minidl.course.probes import filled, seen_by

        same, changing = filled(StochasticBlock(4, 4, 1, 0.7)).eval(), filled(StochasticBlock(4, 7, 2, 0.6)).eval()
        return {
            "shortcut": changing.shortcut(Tensor(x)),
            "y": seen_by(same, x)[0],
            "y_where_the_shape_changes": seen_by(changing, x)[0],
        }


@check("4.4", points=1, repeat=True)
class BlocksAreLeftOut:
    """in training: a block is left out as a whole, for the whole batch, in 30 % of the passes where survival is 0.7"""

    def inputs(rng):
        return {"x": rng.standard_normal((4, 3, 4, 4)), "passes": 400}

    def call(x, passes):
        import minidl
        from architectures.stochastic_depth import StochasticBlock
        from minidl.course.probes import filled, seen_by

        minidl.manual_seed(11)
        block = filled(StochasticBlock(3, 3, 1, 0.7))
        always, never = filled(StochasticBlock(3, 3, 1, 1.0)), filled(StochasticBlock(3, 3, 1, 0.0))
        return {
            "all": [seen_by(block, x)[0] for _ in range(passes)],
            "residual_used": block.bn1.num_batches_tracked.item(),
            "always": seen_by(always, x)[0],
            "never": seen_by(never, x)[0],
        }

    def verify(outputs, x, passes):
        y, off = outputs["all"], numpy.maximum(x, 0)
        if y.shape != (passes, *x.shape):
            return f"the shape is {y.shape[1:]}, where {x.shape} is expected"
        if abs(outputs["never"] - off).max() > 1e-9:
            return "with survival 0, ReLU(x) must come out: the shortcut alone, and the ReLU behind it"
        on = outputs["always"]
        if abs(on - off).max() < 1e-6:
            return "with survival 1, nothing but ReLU(x) comes out: is the residual added?"
        is_on, is_off = (abs(y - state).reshape(passes, -1).max(axis=1) < 1e-9 for state in (on, off))
        if not (is_on | is_off).all():
            single = y[~(is_on | is_off)][0]
            mixed = all(min(abs(single[n] - on[n]).max(), abs(single[n] - off[n]).max()) < 1e-9 for n in range(len(x)))
            if mixed:
                return "some images of a batch have the residual and others do not: draw once for the whole batch"
            return (
                "in training, what comes out is neither ReLU(x) nor ReLU(residual + x): the residual comes as it is, "
                "not scaled by the survival probability (that is for evaluation)"
            )
        share = is_on.mean()
        if not 0.6 < share < 0.8:
            return f"the residual was there in {share:.0%} of the passes, where survival is 70 %"
        if outputs["residual_used"] != is_on.sum():
            return (
                f"batch norm saw {outputs['residual_used']} batches, and the residual was used in {is_on.sum()}: a "
                "block that is left out computes nothing, and its averages stay as they are"
            )
        return None


# ------------------------------------------------------------------------------------------------------- 4.5 FractalNet


@check(
    "4.5",
    points=1,
    hints={
        "in_evaluation": "in evaluation nothing is dropped: the mean of all paths",
        "in_training_without_drops": "with drop_path 0 nothing is dropped: the mean of all paths",
        "grad_a": "each path gets its part of the gradient: are the paths Tensors all the way?",
    },
)
class PathsAreAveraged:
    """Join: the mean of all paths, in evaluation, and in training with drop_path 0, and backward; one path is itself"""

    def inputs(rng):
        return {name: rng.standard_normal((2, 3, 2, 2)) for name in ("a", "b", "c")}

    def call(a, b, c):
        from architectures.fractalnet import Join
        from minidl import Tensor

        paths = [Tensor(path, requires_grad=True) for path in (a, b, c)]
        mean = Join(0.6).eval()(paths)
        if mean.requires_grad:
            (mean * mean).sum().backward()
        return {
            "in_evaluation": mean,
            "grad_a": paths[0].grad,
            "grad_c": paths[2].grad,
            "in_training_without_drops": Join(0.0).train()(paths),
            "two": Join(0.0)(paths[1:]),
            "one_whatever_the_probability": Join(1.0)(paths[:1]),
        }

    def expected(a, b, c):
        mean = (a + b + c) / 3
        return {
            "in_evaluation": mean,
            "grad_a": 2 * mean / 3,
            "grad_c": 2 * mean / 3,
            "in_training_without_drops": mean,
            "two": (b + c) / 2,
            "one_whatever_the_probability": a,
        }


@check("4.5", points=1, repeat=True)
class PathsAreDropped:
    """Join in training: the mean of the paths that are left; each dropped by a draw of its own, one always left"""

    def inputs(rng):
        return {"passes": 2000, "drop_path": 0.4}

    def call(passes, drop_path):
        import minidl
        from architectures.fractalnet import Join
        from minidl import tensor

        minidl.manual_seed(12)
        paths = [tensor([[value, value]] * 2) for value in (1.0, 100.0, 10000.0)]
        some, all_dropped = Join(drop_path).train(), Join(1.0).train()
        return {
            "means": [some(paths).numpy() for _ in range(passes)],
            "where_all_are_dropped": [all_dropped(paths).mean().item() for _ in range(passes // 4)],
        }

    def verify(outputs, passes, drop_path):
        values, y = (1.0, 100.0, 10000.0), outputs["means"]
        if y.shape != (passes, 2, 2):
            return f"the shape is {y.shape[1:]}, where (2, 2) is expected"
        if (y != y[:, :1, :1]).any():
            return "a path is there in a part of the result and missing in another: draw once for the whole of it"
        sets = [[v for i, v in enumerate(values) if mask >> i & 1] for mask in range(8)]
        means = {round(sum(s) / len(s), 3): s for s in sets if s}
        seen = [round(float(mean), 3) for mean in y[:, 0, 0]]
        strange = [y for y in seen if min(abs(y - m) / m for m in means) > 1e-3]
        if strange:
            return (
                f"from paths of 1, 100 and 10000 came {strange[0]:g}, which is the mean of none of their subsets: "
                "divide by the number of paths that are left, and scale nothing else"
            )
        nearest = [means[min(means, key=lambda m: abs(y - m))] for y in seen]
        shares = [sum(v in chosen for chosen in nearest) / passes for v in values]
        # Each path is left with 0.6, or is the one that is spared where all three are dropped: 0.4^3 / 3
        right = 1 - drop_path + drop_path**3 / 3
        if max(abs(share - right) for share in shares) > 0.06:
            text = ", ".join(f"{share:.0%}" for share in shares)
            return f"the three paths were there in {text} of the passes, where {right:.0%} is expected of each"
        together = sum(len(chosen) == 3 for chosen in nearest) / passes
        if abs(together - (1 - drop_path) ** 3) > 0.06:
            return (
                f"all three paths were there in {together:.0%} of the passes, where {(1 - drop_path) ** 3:.0%} is "
                "expected: each path is dropped by a draw of its own, whatever becomes of the others"
            )
        alone = [round(float(y)) for y in outputs["where_all_are_dropped"]]
        if strange := [y for y in alone if y not in (1, 100, 10000)]:
            return f"with drop_path 1 came {strange[0]}: where all would be dropped, one path is left, and one only"
        counts = [alone.count(int(v)) / len(alone) for v in values]
        if min(counts) < 0.2:
            text = ", ".join(f"{share:.0%}" for share in counts)
            return f"with drop_path 1 the path that is left is the first, second, third in {text}: each by chance, 33 %"
        return None


@check(
    "4.5",
    points=1,
    hints={
        "path0": "the shortest path comes first: one convolution",
        "path1": "paths behind the first: the paths of the first half are joined, and go into the second half",
        "path2": "paths behind the first: the paths of the first half are joined, and go into the second half",
        "column1_alone": "a column goes through both halves",
        "column2_alone": "a column goes through both halves",
    },
)
class FractalHasItsPaths:
    """a Fractal of three columns, in evaluation: three paths, of 1, 2 and 4 convolutions; a column asked for alone"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 5, 4))}

    def call(x):
        from architectures.fractalnet import Fractal
        from minidl import Tensor
        from minidl.course.probes import filled

        fractal = filled(Fractal(3, 3, 4, 0.0, 0.5)).eval()
        paths = fractal(Tensor(x))
        found = {"how_many_paths": len(paths)} | {f"path{i}": path for i, path in enumerate(paths)}
        for column in range(3):
            alone = fractal(Tensor(x), column)
            found |= {f"paths_of_column{column}": len(alone), f"column{column}_alone": alone[0]}
        return found


# --------------------------------------------------------------------------------------------------------- 4.6 DenseNet


@check(
    "4.6",
    points=1,
    hints={
        "shape_of_dense": "x has 5 maps and the layer adds 3",
        "shape_of_bottleneck": "x has 5 maps and the layer adds 3",
        "old_maps_of_dense": "x comes first, as it is",
        "old_maps_of_bottleneck": "x comes first, as it is",
        "grad_x_of_bottleneck": "x goes two ways, straight on and through the layers: both add to its gradient",
        "grad_x_of_dense": "x goes two ways, straight on and through the layers: both add to its gradient",
    },
)
class LayersAddTheirMaps:
    """DenseLayer and BottleneckLayer: x comes first and as it is, and behind it the new maps"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 5, 4, 6)), "grad_output": rng.standard_normal((2, 8, 4, 6))}

    def call(x, grad_output):
        from architectures.densenet import BottleneckLayer, DenseLayer
        from minidl.course.probes import filled, seen_by

        found = {}
        for name, layer in {"dense": DenseLayer(5, 3, 0.0), "bottleneck": BottleneckLayer(5, 3, 0.0)}.items():
            y, grad_x = seen_by(filled(layer), x)
            found[f"shape_of_{name}"] = "x".join(map(str, y.shape))
            if y.shape != grad_output.shape:
                continue
            y, grad_x = seen_by(filled(layer), x, grad_output)
            found |= {
                f"old_maps_of_{name}": y[:, :5],
                f"new_maps_of_{name}": y[:, 5:],
                f"grad_x_of_{name}": grad_x,
            }
        return found


@check(
    "4.6",
    points=1,
    hints={
        "of_densenet_bc_100": (
            "behind block, transition, block, ...: each layer adds `growth_rate` maps, and no transition follows "
            "the last block"
        ),
    },
)
class ChannelsOfDenseNets:
    """dense_channels of DenseNet-BC-100 with k = 12, of DenseNet-121, and of DenseNet-40, whose theta is 1"""

    def inputs(rng):
        return {"growth": [12, 32, 12]}

    def call(growth):
        from assignments.a4_beyond.counting import dense_channels

        bc_100, net_121, net_40 = growth.tolist()
        return {
            "of_densenet_bc_100": dense_channels(24, bc_100, (16, 16, 16)),
            "of_densenet_121": dense_channels(64, net_121, (6, 12, 24, 16)),
            "of_densenet_40": dense_channels(16, net_40, (12, 12, 12), theta=1.0),
        }

    def expected(growth):
        return {
            "of_densenet_bc_100": [216, 108, 300, 150, 342],
            "of_densenet_121": [256, 128, 512, 256, 1024, 512, 1024],
            "of_densenet_40": [160, 160, 304, 304, 448],
        }


@check(
    "4.6",
    points=1,
    hints={
        "modules": "the names are norm, relu, conv, drop, pool, in this order",
        "parameters": "a 1x1 convolution without bias",
        "y": "the pooling is the mean of 2x2",
    },
)
class TransitionHalves:
    """Transition(6, 3, 0.2): torchvision's names in their order; fewer channels, half the size; y and the gradient"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 6, 4, 8)), "grad_output": rng.standard_normal((2, 3, 2, 4))}

    def call(x, grad_output):
        from architectures.densenet import Transition
        from minidl.course.probes import filled, seen_by

        names = [name for name, _ in Transition(6, 3, 0.2).named_children()]
        weights = [f"{n} {'x'.join(map(str, p.shape))}" for n, p in Transition(6, 3, 0.2).named_parameters()]
        y, grad_x = seen_by(filled(Transition(6, 3, 0.0)), x, grad_output)
        return {"modules": names, "parameters": weights, "y": y, "grad_x": grad_x}


# ------------------------------------------------------------------------------------------------------- 4.7 SqueezeNet


@check("4.7", points=1)
class FireHasItsLayers:
    """Fire(5, 2, 3, 4): names and shapes of its parameters, as in the published weights"""

    def inputs(rng):
        return {"numbers": [5, 2, 3, 4]}

    def call(numbers):
        from architectures.squeezenet import Fire

        fire = Fire(*numbers.tolist())
        return {"parameters": sorted(f"{n} {'x'.join(map(str, p.shape))}" for n, p in fire.named_parameters())}

    def expected(numbers):
        shapes = {"squeeze": "2x5x1x1", "expand1x1": "3x2x1x1", "expand3x3": "4x2x3x3"}
        weights = [f"{name}.weight {shape}" for name, shape in shapes.items()]
        return {"parameters": sorted([*weights, "squeeze.bias 2", "expand1x1.bias 3", "expand3x3.bias 4"])}


@check(
    "4.7",
    points=1,
    hints={
        "shape": "3 + 4 maps of the size of x: joined along the channels",
        "maps_of_expand1x1": (
            "the order is squeeze, ReLU, then both expands beside each other, each with a ReLU; those of 1x1 come first"
        ),
        "maps_of_expand3x3": (
            "the order is squeeze, ReLU, then both expands beside each other, each with a ReLU; those of 1x1 come first"
        ),
    },
)
class FireRuns:
    """Fire on an image of 5x4: the same size, the maps of the 1x1 filters first, a ReLU behind every convolution"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 5, 5, 4))}

    def call(x):
        from architectures.squeezenet import Fire
        from minidl.course.probes import filled, seen_by

        y, _ = seen_by(filled(Fire(5, 2, 3, 4)), x)
        return {"shape": "x".join(map(str, y.shape)), "maps_of_expand1x1": y[:, :3], "maps_of_expand3x3": y[:, 3:]}


@check("4.7", points=1)
class FireBackward:
    """the gradient of x through both kinds of filters, and that of the squeeze's weights"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 5, 5, 4)), "grad_output": rng.standard_normal((2, 7, 5, 4))}

    def call(x, grad_output):
        from architectures.squeezenet import Fire
        from minidl.course.probes import filled, seen_by

        fire = filled(Fire(5, 2, 3, 4), seed=2)
        _, grad_x = seen_by(fire, x, grad_output)
        return {"grad_x": grad_x, "grad_of_squeeze_weight": fire.squeeze.weight.grad}


# ------------------------------------------------------------------------------------------------------------- 4.8 cost


@check(
    "4.8",
    points=1,
    hints={
        "of_strided": "for one image: numbers in the output x weights of one filter",
        "of_in_groups": "with two groups a filter reads half of the channels: look at the shape of the weight",
        "of_row": "a linear layer counts, too",
    },
)
class MultiplyAddsOfSmallNets:
    """multiply_adds of a convolution with stride, of one in groups, of a linear layer, and of the three in a row"""

    def inputs(rng):
        return {"images": rng.standard_normal((2, 4, 8, 6))}

    def call(images):
        from assignments.a4_beyond.compare import multiply_adds
        from minidl import Tensor, nn

        strided, in_groups = nn.Conv2d(4, 6, 3, 2, 1), nn.Conv2d(4, 8, (3, 5), groups=2)
        row = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(72, 10))
        images = Tensor(images).float()
        models = {"strided": strided, "in_groups": in_groups, "row": row}
        return {f"of_{name}": multiply_adds(model, images) for name, model in models.items()}

    def expected(images):
        strided, in_groups = 6 * 4 * 3 * (4 * 9), 8 * 6 * 2 * (2 * 15)
        return {"of_strided": strided, "of_in_groups": in_groups, "of_row": strided + 720}


@check(
    "4.8",
    points=1,
    hints={
        "frontier": (
            "the cheapest first; `bad` costs what `small` does and is worse, `bigger` is as good as `big` and "
            "costs more"
        ),
        "frontier_with_twins": (
            "`later` costs more and errs less, so nobody beats it; twins do not beat each other, and keep their order"
        ),
    },
)
class NobodyBeatsTheFrontier:
    """frontier: the networks that no other one beats, the cheapest first"""

    def inputs(rng):
        return {"costs": [40.0, 10.0, 20.0, 30.0, 20.0, 50.0], "errors": [3.0, 9.0, 5.0, 6.0, 8.0, 3.0]}

    def call(costs, errors):
        from assignments.a4_beyond.compare import frontier

        names = ["big", "tiny", "small", "dear", "bad", "bigger"]
        points = {name: (c, e) for name, c, e in zip(names, costs.tolist(), errors.tolist(), strict=True)}
        twins = {"later": (2.0, 1.0), "one": (1.0, 2.0), "two": (1.0, 2.0)}
        return {"frontier": ", ".join(frontier(points)), "frontier_with_twins": ", ".join(frontier(twins))}

    def expected(costs, errors):
        return {"frontier": "tiny, small, big", "frontier_with_twins": "one, two, later"}


# --------------------------------------------------------------------------------------------------------- 4.9 the hunt


@check("4.9", points=1)
class ScoresForTheLoss:
    """what Hunted gives is what its loss takes: a right answer can be as sure as it likes"""

    def inputs(rng):
        return {"x": rng.uniform(0, 1, (6, 1, 8, 8)), "factor": 40.0}

    def call(x, factor):
        import minidl
        import minidl.nn.functional as F
        from assignments.a4_beyond import hunt
        from minidl import Tensor

        minidl.manual_seed(3)
        model = hunt.Hunted().double()
        for parameter in (model.fc.weight, model.fc.bias):
            parameter.data *= factor  # a network that is sure of its answers
        original, hunt.unit_length = hunt.unit_length, lambda x: x  # without task 4.11
        try:
            with minidl.no_grad():
                y = model(Tensor(x))
                sure = F.cross_entropy(y, y.argmax(dim=1)).item()
        finally:
            hunt.unit_length = original
        return {"y": y, "loss_of_its_own_answers": sure}

    def verify(outputs, x, factor):
        y = outputs["y"]
        if y.shape != (6, 10):
            return f"the shape is {y.shape}, where (6, 10) is expected"
        if not numpy.isfinite(y).all():
            return "nan or infinity comes out"
        if abs(y.sum(axis=1) - 1).max() < 1e-6 and (y >= 0).all():
            return (
                "every row adds up to 1, so probabilities come out, and the loss of answers that the network is sure "
                f"of is {outputs['loss_of_its_own_answers']:.2f}. What does F.cross_entropy take? Ask "
                "minidl.debug.lint()"
            )
        if (y <= 0).all():
            return "logarithms of probabilities come out: leave all of it to the loss"
        if y.std() < 0.5:
            return f"the scores of a network that is sure of its answers differ by {y.std():.2g} only"
        return None


@check(
    "4.10",
    rtol=1e-11,
    points=1,
    hints={
        "grad_s": "how often is s[n, c] used, and what does each use add? minidl.debug.check tells the same",
    },
)
class GradientOfTheWeights:
    """Weigh.backward: the gradient of the maps x, and that of their numbers s"""

    def inputs(rng):
        shapes = {"x": (2, 3, 4, 4), "s": (2, 3), "grad_output": (2, 3, 4, 4)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def call(x, s, grad_output):
        from assignments.a4_beyond.hunt import Weigh

        weigh = Weigh()
        weigh.needs_input_grad = (True, True)
        weigh.forward(x, s)
        grad_x, grad_s = weigh.backward(grad_output)
        return {"grad_x": grad_x, "grad_s": grad_s}


@check("4.11", points=1)
class BlackPixelsHaveAGradient:
    """unit_length: a pixel whose channels are all 0 stays 0, and its gradient is a number, as is every other"""

    def inputs(rng):
        x = rng.standard_normal((2, 3, 4, 4))
        x[:, :, 0, 1:3] = 0
        return {"x": x, "grad_output": rng.standard_normal(x.shape)}

    def call(x, grad_output):
        import warnings

        from assignments.a4_beyond.hunt import unit_length
        from minidl.course.probes import seen_by

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y, grad_x = seen_by(unit_length, x, grad_output)
        return {"y": y, "grad_x": grad_x}

    def verify(outputs, x, grad_output):
        y, grad_x = outputs["y"], outputs["grad_x"]
        if y.shape != x.shape:
            return f"the shape is {y.shape}, where {x.shape} is expected"
        black = ~x.any(axis=1)
        if not numpy.isfinite(y).all() or abs(y.transpose(0, 2, 3, 1)[black]).max() > 1e-6:
            return "a pixel whose channels are all 0 does not stay 0"
        if bad := int((~numpy.isfinite(grad_x)).sum()):
            where = tuple(int(i) for i in numpy.argwhere(~numpy.isfinite(grad_x))[0])
            return f"{bad} of {grad_x.size} gradients are nan or infinite, first at {where}, where x is {x[where]:g}"
        lengths = numpy.sqrt((y**2).sum(axis=1))[~black]
        if abs(lengths - 1).max() > 0.05:
            return f"the length of a pixel that is not 0 is {lengths[abs(lengths - 1).argmax()]:.3f} afterwards, not 1"
        return None


@check("4.11", points=1, seconds=20)
class HuntedLearns:
    """20 steps on real digits: no weight becomes nan, and the loss falls"""

    def inputs(rng):
        return {"steps": 20}

    def call(steps):
        import warnings

        import minidl
        import minidl.nn.functional as F
        from assignments.a4_beyond.hunt import Hunted, batch
        from minidl import optim

        minidl.manual_seed(0)
        model, (x, y) = Hunted(), batch(64)
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        losses = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(steps):
                loss = F.cross_entropy(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return {"losses": losses, "weights": model.conv1.weight}

    def verify(outputs, steps):
        losses, weights = outputs["losses"], outputs["weights"]
        if not numpy.isfinite(losses).all() or not numpy.isfinite(weights).all():
            step = int(numpy.argmin(numpy.isfinite(losses))) if not numpy.isfinite(losses).all() else steps
            return (
                f"the loss is nan from step {step} on: where is the first nan born? Ask minidl.debug.detect_anomaly()"
            )
        if not losses[-1] < losses[0]:
            return f"the loss went from {losses[0]:.3f} to {losses[-1]:.3f}"
        return None
