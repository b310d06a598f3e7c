"""Further checks of assignment 3: odd shapes, other settings, properties. Not released."""

import numpy

from minidl.course.checks import check


@check("3.1", points=1)
class FieldAndWeightsOfOddStacks:
    """fields and weights of other stacks, an empty one among them"""

    def inputs(rng):
        return {"sizes": 2 * rng.integers(0, 6, 5) + 1, "channels": int(rng.integers(2, 40))}

    def call(sizes, channels):
        from assignments.a3_architectures.counting import stack_field, stack_weights

        sizes = sizes.tolist()
        return {
            "field": stack_field(sizes),
            "weights": stack_weights(sizes, channels),
            "field_of_an_empty_stack": stack_field([]),
            "weights_of_an_empty_stack": stack_weights([], channels),
        }

    def expected(sizes, channels):
        field = 1
        for size in sizes.tolist():
            field += size - 1
        weights = sum(size * size for size in sizes.tolist()) * channels * channels
        return {"field": field, "weights": weights, "field_of_an_empty_stack": 1, "weights_of_an_empty_stack": 0}


@check("3.2", points=1)
class OtherStacksAndFields:
    """a stack of a 5x5 and a 1x1; fields with stride, with dilation, without padding, of a net with several channels"""

    def inputs(rng):
        return {"x": rng.standard_normal((1, 3, 8, 7)), "size": int(rng.integers(25, 40))}

    def call(x, size):
        from assignments.a3_architectures.stacks import measured_field, stack
        from minidl import nn, tensor
        from minidl.course.probes import filled, seen_by

        y, _ = seen_by(filled(stack([5, 1], 3)), x)
        nets = {
            "strided": nn.Sequential(nn.Conv2d(3, 2, 3, 2, 1), nn.ReLU(), nn.Conv2d(2, 5, (3, 1), padding=(1, 0))),
            "dilated": nn.Sequential(nn.Conv2d(3, 2, (3, 2), dilation=(2, 3)), nn.ReLU()),
            "pooled": nn.Sequential(nn.Conv2d(3, 3, 3), nn.AvgPool2d(2)),
            "stack": stack([5, 3, 3], 3),
        }

        class Uneven(nn.Module):
            """Its channel 0 sees one pixel of the first channel and 3x5 of the others; its channel 1 sees 7x7."""

            def __init__(self):
                super().__init__()
                self.pixel, self.window = nn.Conv2d(1, 1, 1), nn.Conv2d(2, 1, (3, 5), padding=(1, 2))
                self.wide = nn.Conv2d(3, 1, 7, padding=3)

            def forward(self, x):
                channel0 = tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
                return channel0 * (self.pixel(x[:, :1]) + self.window(x[:, 1:])) + (1 - channel0) * self.wide(x)

        nets["uneven"] = Uneven()
        for net in nets.values():
            for parameter in net.parameters():
                nn.init.constant_(parameter, -1000.0)
        return {"y": y} | {f"field_{name}": list(measured_field(net, 3, size)) for name, net in nets.items()}

    def expected(x, size):
        generator = numpy.random.default_rng(0)
        y = x
        for shape in ((3, 3, 5, 5), (3, 3, 1, 1)):
            weight = generator.standard_normal(shape) / numpy.prod(shape[1:]) ** 0.5
            bias = 0.5 * generator.standard_normal(3) + 0.1
            pad = shape[2] // 2
            padded = numpy.pad(y, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            windows = numpy.lib.stride_tricks.sliding_window_view(padded, shape[2:], axis=(2, 3))
            y = numpy.maximum(numpy.einsum("nchwkl,fckl->nfhw", windows, weight) + bias[:, None, None], 0)
        fields = {"strided": [7, 3], "dilated": [5, 4], "pooled": [4, 4], "stack": [9, 9], "uneven": [3, 5]}
        return {"y": y} | {f"field_{name}": field for name, field in fields.items()}


@check("3.3", points=1)
class OperationsOfOtherModules:
    """modules with other sizes, height and width different; GoogLeNet's 3a"""

    def inputs(rng):
        return {"numbers": rng.integers(3, 60, 9)}

    def call(numbers):
        from assignments.a3_architectures.counting import bottleneck_operations, counted_twice, naive_operations

        numbers = numbers.tolist()
        lines = bottleneck_operations(*numbers)
        return {
            "naive": naive_operations(*numbers[:6]),
            "reduced": lines,
            "inception3a": sum(bottleneck_operations(28, 28, 192, 64, 96, 128, 16, 32, 32)),
            "the_lectures_slip": str(
                counted_twice(bottleneck_operations(28, 28, 256, 128, 64, 192, 64, 96, 64), 358_055_936)
            ),
            "a_right_sum_with_an_empty_line": str(counted_twice([3, 0, 5], 8)),
        }

    def expected(numbers):
        h, w, c, a, r3, b, r5, d, p = numbers.tolist()
        n = h * w
        return {
            "naive": [n * c * a, 9 * n * c * r3, 25 * n * c * b],
            "reduced": [n * c * a, n * c * r3, 9 * n * r3 * b, n * c * r5, 25 * n * r5 * d, n * c * p],
            "inception3a": 128_049_152,
            "the_lectures_slip": "2",
            "a_right_sum_with_an_empty_line": "None",
        }


@check("3.4", rtol=1e-11, points=1)
class ConcatenationAlongEveryAxis:
    """along the first and the last axis, of one array, of four, of float32; through minidl.cat and backward"""

    def inputs(rng):
        sizes = rng.integers(1, 5, 4)
        return {f"x{i}": rng.standard_normal((3, int(size), 2)) for i, size in enumerate(sizes)} | {
            "factors": rng.standard_normal((3, int(sizes.sum()), 2)),
            "first": rng.standard_normal((2, 5)),
            "second": rng.standard_normal((3, 5)),
            "left": rng.standard_normal((2, 3, 2)).astype("float32"),
            "right": rng.standard_normal((2, 3, 4)).astype("float32"),
        }

    def call(x0, x1, x2, x3, factors, first, second, left, right):
        import minidl
        from minidl import Tensor
        from minidl.ops.shape import Cat

        tensors = [Tensor(x, requires_grad=True) for x in (x0, x1, x2, x3)]
        y = minidl.cat(tensors, -2)
        (y * Tensor(factors)).sum().backward()
        rows = Cat()
        joined = rows.forward(first, second, dim=0)
        grads = tuple(rows.backward(joined * 2))
        alone = Cat().forward(first, dim=1)
        last = Cat()
        beside = last.forward(left, right, dim=2)
        grad_left, grad_right = last.backward(beside * beside)
        return {
            "y": y,
            "rows": joined,
            "grad_first": grads[0],
            "grad_second": grads[1],
            "alone": alone,
            "beside": beside,
            "grad_left": grad_left,
            "grad_right": grad_right,
        } | {f"grad_x{i}": x.grad for i, x in enumerate(tensors)}

    def expected(x0, x1, x2, x3, factors, first, second, left, right):
        stops = numpy.cumsum([x.shape[1] for x in (x0, x1, x2, x3)])
        parts = numpy.split(factors, stops[:-1], axis=1)
        return {
            "y": numpy.concatenate([x0, x1, x2, x3], axis=1),
            "rows": numpy.concatenate([first, second]),
            "grad_first": 2 * first,
            "grad_second": 2 * second,
            "alone": first,
            "beside": numpy.concatenate([left, right], axis=2),
            "grad_left": left * left,
            "grad_right": right * right,
        } | {f"grad_x{i}": part for i, part in enumerate(parts)}


@check("3.5", points=1)
class BranchesOfOtherSizes:
    """branches of inception4a's proportions, on an image of 3x7, and the gradient that each gives to its input"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 5, 3, 7)), "grad": rng.standard_normal((2, 6, 3, 7))}

    def call(x, grad):
        from architectures.googlenet import Inception
        from minidl.course.probes import filled, seen_by

        sizes = 4, 3, 6, 2, 1, 5
        module = Inception(5, *sizes)
        found = {"out_channels": module.out_channels}
        for i, channels in zip((1, 2, 3, 4), (4, 6, 1, 5), strict=True):
            y, grad_x = seen_by(filled(getattr(module, f"branch{i}"), seed=10 + i), x, grad[:, :channels])
            found |= {f"y{i}": y, f"grad_x{i}": grad_x}
        return found


@check("3.7", points=1)
class HeadInTraining:
    """AuxiliaryHead in training, where it drops 70 % of the hidden numbers: the same ones for the same seed"""

    def inputs(rng):
        return {"x": rng.standard_normal((4, 3, 14, 14)), "grad_output": rng.standard_normal((4, 6))}

    def call(x, grad_output):
        import minidl
        from architectures.googlenet import AuxiliaryHead
        from minidl.course.probes import filled, seen_by

        head = filled(AuxiliaryHead(3, 6, channels=2, hidden=40), seed=3)
        minidl.manual_seed(5)
        y, grad_x = seen_by(head.train(), x, grad_output)
        return {"scores": y, "grad_x": grad_x}


@check("3.8", points=1)
class LossOfOtherScores:
    """one auxiliary classifier, none, scores that are no tuple, one after the other; another weight, smoothed labels"""

    def inputs(rng):
        scores = {name: rng.standard_normal((3, 4)) for name in ("main", "aux")}
        return scores | {"labels": rng.integers(0, 4, 3), "weight": float(rng.uniform(0.1, 0.9))}

    def call(main, aux, labels, weight):
        from minidl import Tensor
        from minidl.training import AuxiliaryLoss

        main, aux, labels = Tensor(main), Tensor(aux), Tensor(labels)
        loss_fn, found = AuxiliaryLoss(weight, label_smoothing=0.1), {}
        for name, scores in {"two": (main, aux), "one": (main,), "four": (main, aux, aux, aux), "plain": main}.items():
            found |= {f"loss_of_{name}": loss_fn(scores, labels).item(), f"heads_of_{name}": loss_fn.heads}
        return found

    def expected(main, aux, labels, weight):
        def loss(scores):
            shifted = scores - scores.max(axis=1, keepdims=True)
            logs = shifted - numpy.log(numpy.exp(shifted).sum(axis=1, keepdims=True))
            return float((-0.9 * logs[numpy.arange(3), labels] - 0.1 * logs.mean(axis=1)).mean())

        a, b, w = loss(main), loss(aux), weight
        losses = {"two": a + w * b, "one": a, "four": a + 3 * w * b, "plain": a}
        heads = {"two": 1 + w, "one": 1.0, "four": 1 + 3 * w, "plain": 1.0}
        return {f"loss_of_{name}": x for name, x in losses.items()} | {
            f"heads_of_{name}": x for name, x in heads.items()
        }


@check("3.9", points=1)
class BlockInEvaluation:
    """in evaluation, on an image of 1x7, with one channel and with five"""

    def inputs(rng):
        return {"one": rng.standard_normal((1, 1, 1, 7)), "five": rng.standard_normal((2, 5, 4, 3))}

    def call(one, five):
        from architectures.resnet_cifar import BasicBlock
        from minidl.course.probes import filled, seen_by

        found = {}
        for name, x in {"one": one, "five": five}.items():
            block = filled(BasicBlock(x.shape[1], x.shape[1]), seed=x.shape[1])
            y, grad_x = seen_by(block.eval(), x, x)
            found |= {f"y_{name}": y, f"grad_x_{name}": grad_x}
        return found


@check("3.10", points=1, stride=2)
class ShortcutOfOddSizes:
    """three new channels, one of them before and two behind; an image of 7x5; stride 1; float32; the gradient"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 7, 5)), "grad": rng.standard_normal((2, 6, 4, 3))}

    def call(x, grad):
        from architectures.resnet_cifar import BasicBlock
        from minidl import Tensor
        from minidl.course.probes import seen_by

        y, grad_x = seen_by(BasicBlock(3, 6, stride=2).shortcut, x, grad)
        return {
            "y": y,
            "grad_x": grad_x,
            "y_of_stride_1": BasicBlock(3, 5, stride=1).shortcut(Tensor(x)),
            "y_of_float32": BasicBlock(3, 6, stride=2).shortcut(Tensor(x).float()),
        }

    def expected(x, grad):
        y, grad_x, wide = numpy.zeros((2, 6, 4, 3)), numpy.zeros_like(x), numpy.zeros((2, 5, 7, 5))
        y[:, 1:4], grad_x[:, :, ::2, ::2], wide[:, 1:4] = x[:, :, ::2, ::2], grad[:, 1:4], x
        return {"y": y, "grad_x": grad_x, "y_of_stride_1": wide, "y_of_float32": y.astype("float32")}


@check("3.11", points=1)
class ProjectionsOfAllKinds:
    """more channels at the same size, the same channels at half the size, fewer channels; and no projection"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 4, 5, 6))}

    def call(x):
        from architectures.resnet import shortcut
        from minidl.course.probes import filled, seen_by

        found = {"none": str([shortcut(c, c, 1) is None for c in (1, 4, 64)])}
        for name, (channels, stride) in {"wider": (7, 1), "smaller": (4, 2), "thinner": (2, 3)}.items():
            model = shortcut(4, channels, stride)
            if model is None:
                return {f"parameters_{name}": "None, where the shape changes"}
            found[f"parameters_{name}"] = str(sum(p.numel() for p in model.parameters()))
            found[f"y_{name}"] = seen_by(filled(model, seed=channels).eval(), x)[0]
        return found


@check("3.13", points=1)
class DeepNetsOfOtherShapes:
    """stages of different lengths, three input channels; a trained net keeps its batch norm's averages"""

    def inputs(rng):
        return {"x": rng.standard_normal((4, 3, 6, 7))}

    def call(x):
        from architectures.resnet_cifar import BasicBlock, ResNet
        from assignments.a3_architectures.degradation import deepen
        from minidl import nn
        from minidl.course.probes import filled, seen_by

        shallow, deep = (filled(ResNet(BasicBlock, n, 5, 3, 2), seed=n) for n in (2, 3))
        deep.layer2 = nn.Sequential(*deep.layer2, filled(BasicBlock(4, 4), seed=9))
        seen_by(shallow.train(), x)  # moves the averages
        scores = seen_by(shallow.eval(), x)[0]
        deepen(shallow, deep)
        again = seen_by(shallow.eval(), x)[0]
        return {"shallow": scores, "deep": seen_by(deep.eval(), x)[0], "again": again}

    def verify(outputs, x):
        shallow = outputs["shallow"]
        if abs(shallow - outputs["again"]).max() > 1e-12:
            return "the shallow net was changed"
        error = abs(shallow - outputs["deep"]).max() / abs(shallow).max()
        return None if error < 1e-6 else f"deep and shallow scores differ: relative error {error:.2g}"


@check("3.15", points=1)
class OtherFilesAreLoaded:
    """a plain state dict loads too; a tensor that is missing, too many, or of another shape is an error"""

    def inputs(rng):
        return {"seed": int(rng.integers(1000))}

    def call(seed):
        import tempfile
        from pathlib import Path

        import minidl
        from assignments.a3_architectures.published import load_published
        from minidl import nn
        from minidl.course.probes import filled

        def net():
            return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1))

        state = dict(filled(net(), seed).float().state_dict())
        smaller = {name: value for name, value in state.items() if name != "2.bias"}
        files = {
            "plain": state,
            "with_module": {"state_dict": {f"module.{name}": value for name, value in state.items()}, "epoch": 3},
            "one_missing": {"state_dict": smaller},
            "one_too_many": state | {"module.fc.weight": minidl.ones(2)},
            "another_shape": state | {"2.bias": minidl.ones(3)},
        }
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = Path(folder) / f"{name}.pth"
                minidl.save(content, path)
                model = net()
                try:
                    loaded = load_published(model, path)
                except RuntimeError:
                    found[name] = "RuntimeError"
                else:
                    same = all((loaded.state_dict()[key].numpy() == state[key].numpy()).all() for key in smaller)
                    found[name] = f"{'loaded' if same else 'other values'}, training {loaded.training}"
        return found

    def expected(seed):
        right = {"plain": "loaded, training False", "with_module": "loaded, training False"}
        return right | dict.fromkeys(("one_missing", "one_too_many", "another_shape"), "RuntimeError")
