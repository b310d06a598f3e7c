"""Further checks of assignment 4: odd shapes, other settings, properties. Not released."""

import numpy

from minidl.course.checks import check


@check("4.1", points=1)
class PreActivationOfOddShapes:
    """first units that add three channels, at stride 1 and 3, in evaluation; the shortcut's gradient; float32"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 7, 5)), "grad": rng.standard_normal((2, 7, 3, 2))}

    def call(x, grad):
        from architectures.preact_resnet import BasicUnit, BottleneckUnit
        from minidl import Tensor
        from minidl.course.probes import filled, seen_by

        found = {}
        units = {
            "basic_1": BasicUnit(4, 7, 1, first=True),
            "basic_same": BasicUnit(4, 4, 1, first=True),
            "bottleneck_1": BottleneckUnit(4, 3, 1, first=True),
            "bottleneck_same": BottleneckUnit(4, 1),
        }
        for seed, (name, unit) in enumerate(units.items()):
            found[name] = seen_by(filled(unit, seed).eval(), x)[0]
        shortcut = BasicUnit(4, 7, 3, first=True).shortcut
        found["shortcut"], found["grad_of_shortcut"] = seen_by(shortcut, x, grad)
        found["shortcut_of_float32"] = shortcut(Tensor(x).float())
        return found


@check("4.2", points=1)
class WideBlockInOtherShapes:
    """dropout between the two convolutions, seeded; thinner blocks; parameters of nets with few channels"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 5, 7, 4)), "grad": rng.standard_normal((3, 5, 7, 4))}

    def call(x, grad):
        import minidl
        from architectures.wide_resnet import WideBlock, WideResNet
        from assignments.a4_beyond.counting import wide_parameters
        from minidl.course.probes import filled, seen_by

        block = filled(WideBlock(5, 5, 1, dropout=0.4), seed=3)
        minidl.manual_seed(17)
        dropped, grad_x = seen_by(block.train(), x, grad)
        return {
            "in_training_with_dropout": dropped,
            "grad_x_with_dropout": grad_x,
            "in_evaluation": seen_by(block.eval(), x)[0],
            "thinner": seen_by(filled(WideBlock(5, 2, 3)).eval(), x)[0],
            "parameters_of_wrn_10_1": wide_parameters(10, 1, num_classes=7, in_channels=1, width=5),
            "parameters_of_wrn_22_3": wide_parameters(22, 3, num_classes=100, width=4),
            "of_the_net_itself": sum(p.numel() for p in WideResNet(3, 3, 100, 3, width=4).parameters()),
        }


@check("4.3", points=1)
class OtherBranchesAndBlocks:
    """one branch; five branches of one channel; other widths; the block with as many groups as channels, and its run"""

    def inputs(rng):
        return {"x": rng.standard_normal((1, 3, 5, 4)), "weights": rng.standard_normal((5, 20))}

    def call(x, weights):
        from architectures.resnext import Bottleneck
        from assignments.a4_beyond.branches import branch_width, grouped, merged
        from minidl import Tensor
        from minidl.course.probes import filled, seen_by

        branches = []
        for row in weights:
            parts = row[:3].reshape(1, 3, 1, 1), row[3:12].reshape(1, 1, 3, 3), row[12:16].reshape(4, 1, 1, 1)
            branches.append(tuple(Tensor(part.copy()) for part in parts))
        widths = [branch_width(c, 64, 16) for c in (1, 2, 3, 16, 200)] + [branch_width(32, 512, 128)]
        widths += [branch_width(5, 64, 32), branch_width(32, 8, 12)]  # rounding a root gives 12; 1 and 2 are as near
        found = {
            "widths": widths,
            "five": grouped(Tensor(x), *merged(branches), 5),
            "one": grouped(Tensor(x), *merged(branches[:1]), 1),
        }
        for name, sizes in {"depthwise": (3, 6, 3, 6, 1), "changing": (3, 4, 5, 2, 3)}.items():
            found[name] = seen_by(filled(Bottleneck(*sizes), seed=4).eval(), x)[0]
        return found


@check("4.4", points=1)
class OtherSurvivals:
    """other decays; an odd number of new channels, also at full size; the gradient of a block that is left out"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 4, 6)), "grad": rng.standard_normal((2, 3, 4, 6)), "blocks": 5}

    def call(x, grad, blocks):
        from architectures.stochastic_depth import StochasticBlock, linear_decay
        from minidl import Tensor
        from minidl.course.probes import filled, seen_by

        out, left = filled(StochasticBlock(3, 3, 1, 0.0), seed=1), filled(StochasticBlock(3, 8, 2, 1.0), seed=2)
        y, grad_x = seen_by(out.train(), x, grad)
        return {
            "survival": linear_decay(blocks, 0.2),
            "survival_of_one": linear_decay(1, 0.3),
            "y_left_out": y,
            "grad_x_left_out": grad_x,
            "y_there": seen_by(left.train(), x)[0],
            "y_in_evaluation": seen_by(left.eval(), x)[0],
            "shortcut": left.shortcut(Tensor(x)),
            "shortcut_of_equal_shapes": out.shortcut(Tensor(x)) * 2,
            "shortcut_at_full_size": StochasticBlock(3, 5, 1, 0.5).shortcut(Tensor(x)),
            "dtype_of_the_shortcut_of_float32": str(left.shortcut(Tensor(x).float()).numpy().dtype),
        }

    def verify(outputs, x, grad, blocks):
        off = numpy.maximum(x, 0)
        if abs(outputs["y_left_out"] - off).max() > 1e-9:
            return "a block with survival 0 must give ReLU(x)"
        if abs(outputs["grad_x_left_out"] - grad * (x > 0)).max() > 1e-9:
            return "the gradient of a block that is left out must come through the shortcut alone"
        if (
            outputs["y_there"].shape != (2, 8, 2, 3)
            or abs(outputs["y_there"] - outputs["y_in_evaluation"]).max() < 1e-9
        ):
            return "with survival 1, batch norm makes training and evaluation differ, and both have shape (2, 8, 2, 3)"
        return None

    def expected(x, grad, blocks):
        means = x.reshape(2, 3, 2, 2, 3, 2).mean(axis=(3, 5))
        halved = numpy.concatenate([means, numpy.zeros((2, 5, 2, 3))], axis=1)
        survival = [1 - i / blocks * 0.8 for i in range(1, blocks + 1)]
        return {
            "survival": survival,
            "survival_of_one": [0.3],
            "shortcut": halved,
            "shortcut_of_equal_shapes": 2 * x,
            "shortcut_at_full_size": numpy.concatenate([x, numpy.zeros((2, 2, 4, 6))], axis=1),
            "dtype_of_the_shortcut_of_float32": "float32",
        }


@check("4.5", points=1)
class OtherFractals:
    """a fractal of one column, one of four, one with a strange join; in training, drops are made anew each time"""

    def inputs(rng):
        return {"x": rng.standard_normal((1, 2, 4, 3))}

    def call(x):
        import minidl
        from architectures.fractalnet import Fractal, Join
        from minidl import Tensor, nn, tensor
        from minidl.course.probes import filled

        class Difference(nn.Module):
            def forward(self, paths):
                return paths[0] - paths[-1]

        found = {}
        for columns in (1, 4):
            fractal = filled(Fractal(columns, 2, 3, 0.0, 0.2), seed=columns).eval()
            paths = fractal(Tensor(x))
            found |= {f"paths_of_{columns}": len(paths), f"deepest_of_{columns}": paths[-1]}
            found[f"first_of_{columns}"] = fractal(Tensor(x), 0)[0]
        strange = filled(Fractal(3, 2, 3, 0.0, 0.2)).eval()
        strange.join = Difference()
        found["deepest_of_3_with_another_join"] = strange(Tensor(x))[-1]
        minidl.manual_seed(3)
        join, paths = Join(0.5).train(), [tensor([float(2**i)]) for i in range(6)]
        found["different_results_in_training"] = min(len({join(paths).item() for _ in range(200)}), 20)
        found["different_results_in_evaluation"] = len({join.eval()(paths).item() for _ in range(20)})
        return found


@check("4.6", points=1)
class OtherDenseLayers:
    """layers of odd sizes in evaluation; dropout behind each convolution, seeded; a transition of an odd image"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 5, 7, 3))}

    def call(x):
        import minidl
        from architectures.densenet import BottleneckLayer, DenseLayer, Transition
        from assignments.a4_beyond.counting import dense_channels
        from minidl.course.probes import filled, seen_by

        layer = filled(BottleneckLayer(5, 2, 0.5), seed=2)
        others = {"dense_dropped": DenseLayer(5, 3, 0.4), "transition_dropped": Transition(5, 4, 0.3)}
        dropped = {}
        for name, module in others.items():
            minidl.manual_seed(29)
            dropped[name] = seen_by(filled(module).train(), x)[0]
        minidl.manual_seed(23)
        return dropped | {
            "dense": seen_by(filled(DenseLayer(5, 1, 0.0)).eval(), x)[0],
            "dropped": seen_by(layer.train(), x)[0],
            "in_evaluation": seen_by(layer.eval(), x)[0],
            "transition": seen_by(filled(Transition(5, 4, 0.0)).eval(), x)[0],
            "channels": dense_channels(5, 3, (2, 1, 4), 0.3),
            "channels_of_one_block": dense_channels(7, 2, (4,)),
        }


@check("4.7", points=1)
class OtherFires:
    """fire2 and fire9 have the published numbers of parameters; a Fire on a row of pixels"""

    def inputs(rng):
        return {"x": rng.standard_normal((1, 3, 1, 9))}

    def call(x):
        from architectures.squeezenet import Fire
        from minidl.course.probes import filled, seen_by

        def count(*sizes):
            return sum(p.numel() for p in Fire(*sizes).parameters())

        y, grad_x = seen_by(filled(Fire(3, 4, 1, 6), seed=8), x, abs(x).repeat(7, axis=1)[:, :7])
        return {"fire2": count(96, 16, 64, 64), "fire9": count(512, 64, 256, 256), "y": y, "grad_x": grad_x}


@check("4.8", points=1)
class CostsOfNetworks:
    """a residual net; a linear layer at every place; a layer that runs twice; hooks and mode are what they were"""

    def inputs(rng):
        return {"count": int(rng.integers(1, 4))}

    def call(count):
        import minidl
        from architectures.resnet_cifar import resnet20
        from assignments.a4_beyond.compare import multiply_adds
        from minidl import nn

        class Twice(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(2, 2, 3, padding=1)
                self.drop = nn.Dropout(0.5)
                self.calls, self.modes = 0, []

            def forward(self, x):
                self.modes.append(self.training)
                return self.conv(self.drop(self.conv(x)))

        model, calls = Twice(), []
        model.conv.register_forward_hook(lambda *call: calls.append(1))
        image = minidl.ones(count, 2, 5, 4)
        once, again = multiply_adds(model, image), multiply_adds(model, image)
        calls.clear()
        mode_before = model.training
        model(image)
        model.eval()
        multiply_adds(model, image)
        return {
            "resnet20": multiply_adds(resnet20(), minidl.zeros(count, 3, 32, 32)),
            "a_linear_layer_at_every_place": multiply_adds(nn.Linear(4, 3), image),
            "a_layer_that_runs_twice": once,
            "asked_again": again,
            "own_hooks_still_run": len(calls),
            "hooks_left": sum(len(some) for some in (model.conv._hooks or {}).values()),
            "modes_during_it": str(model.modes[:2]),
            "modes_after_it": f"{mode_before} {model.training}",
        }

    def expected(count):
        return {
            "resnet20": 40_551_040,
            "a_linear_layer_at_every_place": 2 * 5 * 3 * 4,
            "a_layer_that_runs_twice": 2 * 2 * 2 * 9 * 20,
            "asked_again": 2 * 2 * 2 * 9 * 20,
            "own_hooks_still_run": 4,
            "hooks_left": 1,
            "modes_during_it": "[False, False]",
            "modes_after_it": "True False",
        }


@check("4.8", points=1)
class FrontiersOfChance:
    """frontiers of points drawn at random, against a loop over all pairs; one network; equal costs"""

    def inputs(rng):
        return {"points": rng.integers(0, 12, (25, 2))}

    def call(points):
        from assignments.a4_beyond.compare import frontier

        named = {f"n{i}": (int(c), int(e)) for i, (c, e) in enumerate(points)}
        return {
            "chance": ",".join(frontier(named)),
            "one": ",".join(frontier({"alone": (5.0, 5.0)})),
            "equal_costs": ",".join(frontier({"worse": (5.0, 6.0), "better": (5.0, 5.0)})),
            "none": ",".join(frontier({})),
        }

    def expected(points):
        left = []
        for i, (cost, error) in enumerate(points):
            if not any(c <= cost and e <= error and (c < cost or e < error) for c, e in points):
                left.append((int(cost), i))
        chance = ",".join(f"n{i}" for _, i in sorted(left))
        return {"chance": chance, "one": "alone", "equal_costs": "better", "none": ""}


@check("4.9", points=1)
class ScoresAsTheLastLayerGivesThem:
    """Hunted, with unit_length out of the way: the scores, and what their loss gives back to the image"""

    def inputs(rng):
        return {"x": rng.uniform(0, 1, (4, 1, 8, 8)), "labels": rng.integers(0, 10, 4)}

    def call(x, labels):
        import minidl
        import minidl.nn.functional as F
        from assignments.a4_beyond import hunt
        from minidl import Tensor
        from minidl.course.probes import filled

        original, hunt.unit_length = hunt.unit_length, lambda x: x
        try:
            model = filled(hunt.Hunted(6), seed=5)
            with minidl.no_grad():
                scores = model(Tensor(x))
                loss = F.cross_entropy(scores, Tensor(labels)).item()
        finally:
            hunt.unit_length = original
        return {"scores": scores, "loss": loss}


@check("4.10", rtol=1e-11, points=1)
class GradientOfOtherWeights:
    """maps that are not square, one channel, one pixel; through the engine"""

    def inputs(rng):
        shapes = {"x": (3, 2, 3, 5), "s": (3, 2), "grad": (3, 2, 3, 5), "pixel": (2, 4, 1, 1), "t": (2, 4)}
        return {name: rng.standard_normal(shape) for name, shape in shapes.items()}

    def call(x, s, grad, pixel, t):
        import minidl
        from assignments.a4_beyond.hunt import Weigh
        from minidl import Tensor

        found = {}
        for name, (a, b, g) in {"maps": (x, s, grad), "pixel": (pixel, t, 3 * pixel)}.items():
            a, b = Tensor(a, requires_grad=True), Tensor(b, requires_grad=True)
            y = minidl.apply(Weigh, a, b)
            y.backward(Tensor(g))
            found |= {f"y_{name}": y, f"grad_x_{name}": a.grad, f"grad_s_{name}": b.grad}
        return found


@check("4.11", points=1)
class GradientOfUnitLength:
    """the gradient of ordinary pixels is that of x / |x|; of float32 images with black corners it is a number"""

    def inputs(rng):
        x = rng.standard_normal((2, 4, 3, 3)) + numpy.sign(rng.standard_normal((2, 4, 3, 3)))
        return {"x": 3 * x, "grad": rng.standard_normal((2, 4, 3, 3))}

    def call(x, grad):
        import warnings

        from assignments.a4_beyond.hunt import unit_length
        from minidl.course.probes import seen_by

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y, grad_x = seen_by(unit_length, x, grad)
            black = x.astype("float32")
            black[:, :, :2] = 0
            _, of_black = seen_by(unit_length, black, grad.astype("float32"))
        return {"y": y, "grad_x": grad_x, "grad_of_black": of_black}

    def verify(outputs, x, grad):
        length = numpy.sqrt((x**2).sum(axis=1, keepdims=True))
        y = x / length
        right = (grad - y * (grad * y).sum(axis=1, keepdims=True)) / length
        if abs(outputs["y"] - y).max() > 0.02:
            return f"x / |x| differs by up to {abs(outputs['y'] - y).max():.3g}"
        if abs(outputs["grad_x"] - right).max() > 0.02 * abs(right).max():
            return (
                "the gradient of pixels that are far from 0 is not that of x / |x|: is a part cut off from the graph?"
            )
        if not numpy.isfinite(outputs["grad_of_black"]).all():
            return "the gradient of a float32 image with black rows is not finite"
        return None
