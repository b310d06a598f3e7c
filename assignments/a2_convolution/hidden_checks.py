"""Further checks of assignment 2, which students do not see: odd shapes, large inputs against the clock, properties."""

from __future__ import annotations

import numpy

from minidl.course.checks import check

EXACT = 1e-11  # what a formula reaches, and a finite difference does not


@check("2.1", points=1)
class LoopsOfOddShapes:
    """conv_loops: a kernel as large as the padded image, one of 1x1 with stride 2, padding that is larger"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((3, 2, 4, 7)),
            "large": rng.standard_normal((2, 2, 6, 9)),
            "small": rng.standard_normal((5, 2, 1, 1)),
            "bias": rng.standard_normal(5),
        }

    def call(x, large, small, bias):
        from assignments.a2_convolution.loops import conv_loops

        return {
            "kernel as large as the padded image": conv_loops(x, large, bias[:2], padding=1),
            "1x1, stride 2": conv_loops(x, small, bias, stride=2),
            "1x1, stride 2, padding 3": conv_loops(x, small, bias, stride=2, padding=3),
        }


@check("2.2", points=1, seconds=4)
class ColumnsOfManyPixels:
    """im2col of 8 images in 4 seconds, with dilation, in float32, of windows in the padding, of columns as rows"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((8, 32, 40, 41)).astype("float32"),
            "small": rng.standard_normal((2, 3, 2, 5)),
        }

    def call(x, small):
        from minidl.ops.im2col import im2col

        large = im2col(x, (5, 5), (1, 1), ((2, 2), (2, 2)), (1, 1))
        return {
            "columns of 8 images (every 7th value)": large.reshape(-1)[::7].copy(),
            "their shape": str(large.shape),
            "columns, dilation (2, 3)": im2col(small, (3, 2), (1, 2), ((2, 3), (1, 0)), (2, 3)),
            "columns, windows outside": im2col(small, (2, 2), (3, 3), ((4, 4), (5, 5)), (1, 1)),
            "columns, 1x1": im2col(small, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)),
            "columns of images that lie otherwise in memory": im2col(
                small.transpose(0, 1, 3, 2), (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)
            ),
        }


@check("2.3", points=1, seconds=4, rtol=1e-4)
class TheAdjoint:
    """col2im, large and with dilation: <im2col(x), columns> = <x, col2im(columns)>, with an im2col in loops"""

    def inputs(rng):
        return {
            "columns": rng.standard_normal((3, 3, 2, 2, 3, 5)),
            "large": rng.standard_normal((16, 5, 5, 8, 30, 31)).astype("float32"),
        }

    def call(columns, large):
        from minidl.ops.im2col import col2im

        image = col2im(large, (30, 31), (1, 1), ((2, 2), (2, 2)), (1, 1))
        return {
            "x of large columns (every 7th value)": image.reshape(-1)[::7].astype(float),
            "dtype of x for columns of float32": str(image.dtype),
            "x, dilation and stride": col2im(columns, (5, 6), (2, 1), ((3, 2), (1, 1)), (2, 3)),
        }

    def expected(columns, large):
        small = numpy.zeros((2, 3, 5, 6))
        for c, kh, kw, n, oh, ow in numpy.ndindex(columns.shape):
            h, w = 2 * oh + 2 * kh - 3, ow + 3 * kw - 1
            if 0 <= h < 5 and 0 <= w < 6:
                small[n, c, h, w] += columns[c, kh, kw, n, oh, ow]
        image = numpy.zeros((8, 16, 34, 35), "float32")
        for kh in range(5):
            for kw in range(5):
                image[:, :, kh : kh + 30, kw : kw + 31] += large[:, kh, kw].transpose(1, 0, 2, 3)
        inner = numpy.ascontiguousarray(image[:, :, 2:32, 2:33])
        return {
            "x of large columns (every 7th value)": inner.reshape(-1)[::7].astype(float),
            "dtype of x for columns of float32": "float32",
            "x, dilation and stride": small,
        }


@check("2.4", points=1, seconds=5)
class ConvOfManyPixels:
    """Conv2d forward of images (8, 16, 40, 40), 32 filters of 3x3, in 5 seconds; 1x1 kernels; 12 groups; float32"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((8, 16, 40, 40)),
            "weight": rng.standard_normal((32, 16, 3, 3)),
            "pixel": rng.standard_normal((5, 16, 1, 1)),
            "odd": rng.standard_normal((1, 12, 9, 4)),
            "own": rng.standard_normal((24, 1, 5, 3)),
        }

    def call(x, weight, pixel, odd, own):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        results = {}
        for name, image, filters, stride, padding, dilation, groups in (
            ("y of many pixels", x, weight, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
            ("y of 1x1", x, pixel, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
            ("y of 1x1, stride 3", x, pixel, (3, 3), ((0, 0), (0, 0)), (1, 1), 1),
            ("y of 12 groups", odd, own, (2, 1), ((1, 0), (1, 2)), (2, 1), 12),
        ):
            node = Conv2d()
            node.needs_input_grad = (True, True, False)
            results[name] = node.forward(
                image, filters, None, stride=stride, padding=padding, dilation=dilation, groups=groups
            )
        single = Conv2d()
        single.needs_input_grad = (True, True, True)
        x, pixel = x[:1].astype("float32"), pixel.astype("float32")
        y = single.forward(
            x, pixel, pixel[:, 0, 0, 0], stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1
        )
        return results | {"dtype of y for images of float32": str(y.dtype)}


@check("2.5", points=2, rtol=EXACT, seconds=6)
class ConvBackwardOfManyPixels:
    """Conv2d backward of (8, 16, 32, 32) in 6 seconds (not by finite differences); 1x1; dilation; depthwise; float32"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((8, 16, 32, 32)),
            "weight": rng.standard_normal((32, 16, 3, 3)),
            "pixel": rng.standard_normal((5, 16, 1, 1)),
            "odd": rng.standard_normal((3, 4, 9, 5)),
            "own": rng.standard_normal((8, 1, 3, 2)),
        }

    def call(x, weight, pixel, odd, own):
        import numpy

        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        results = {}
        for name, image, filters, stride, padding, dilation, groups in (
            ("many pixels", x, weight, (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
            ("1x1", x, pixel, (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
            ("1x1, stride 3", x, pixel, (3, 3), ((0, 0), (0, 0)), (1, 1), 1),
            ("4 groups, dilation", odd, own, (2, 1), ((1, 0), (1, 2)), (2, 3), 4),
        ):
            node = Conv2d()
            node.needs_input_grad = (True, True, True)
            y = node.forward(
                image,
                filters,
                filters[:, 0, 0, 0].copy(),
                stride=stride,
                padding=padding,
                dilation=dilation,
                groups=groups,
            )
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            grad_x, grad_weight, grad_bias = node.backward(dy)
            results |= {f"grad_x, {name}": grad_x, f"grad_weight, {name}": grad_weight, f"grad_bias, {name}": grad_bias}
        single = Conv2d()
        single.needs_input_grad = (True, True, True)
        odd, own = odd.astype("float32"), own.astype("float32")
        settings = {"stride": (1, 1), "padding": ((1, 1), (1, 1)), "dilation": (1, 1), "groups": 4}
        gradients = single.backward(single.forward(odd, own, own[:, 0, 0, 0].copy(), **settings))
        return results | {"dtypes of the gradients in float32": " ".join(str(gradient.dtype) for gradient in gradients)}


@check("2.6", points=1, rtol=EXACT, seconds=4)
class PoolingOfManyPixels:
    """Both poolings of (16, 32, 40, 40) in 4 seconds; dilation, ceil_mode, indices; far below 0; another divisor"""

    def inputs(rng):
        return {"x": rng.standard_normal((16, 32, 40, 40)), "odd": rng.standard_normal((3, 7, 8))}

    def call(x, odd):
        import numpy

        from minidl.ops.pooling import AvgPool2d, MaxPool2d

        results = {}
        for name, images, size, stride, padding, dilation, ceil_mode in (
            ("large", x, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), False),
            ("dilation", odd, (2, 3), (1, 2), ((1, 1), (0, 0)), (2, 1), False),
            ("ceil_mode", odd, (3, 3), (2, 3), ((0, 0), (1, 1)), (1, 1), True),
            ("far below 0", odd - 1e12, (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), False),
        ):
            node = MaxPool2d()
            node.needs_input_grad = (True,)
            y, indices = node.forward(
                images,
                kernel_size=size,
                stride=stride,
                padding=padding,
                dilation=dilation,
                ceil_mode=ceil_mode,
                return_indices=True,
            )
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            results |= {f"y, {name}": y, f"places, {name}": indices, f"grad_x, {name}": node.backward(dy)}
        for name, images, size, stride, padding, ceil_mode, divisor in (
            ("large", x, (3, 3), (2, 2), ((1, 1), (1, 1)), False, None),
            ("a divisor of 5", odd, (2, 3), (1, 2), ((1, 1), (0, 0)), False, 5),
            ("ceil_mode", odd, (3, 3), (2, 3), ((0, 0), (1, 1)), True, None),
        ):
            mean = AvgPool2d()
            mean.needs_input_grad = (True,)
            y = mean.forward(
                images,
                kernel_size=size,
                stride=stride,
                padding=padding,
                ceil_mode=ceil_mode,
                count_include_pad=True,
                divisor_override=divisor,
            )
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            results |= {f"mean, {name}": y, f"grad_x of the mean, {name}": mean.backward(dy)}
        return results


@check("2.7", points=1, rtol=EXACT, seconds=4)
class LRNOfManyChannels:
    """LocalResponseNorm of (4, 96, 27, 27) in 4 seconds; windows larger than the channels; (N, C); float32"""

    def inputs(rng):
        return {"x": 5 * rng.standard_normal((4, 96, 27, 27)), "few": 2 * rng.standard_normal((3, 4))}

    def call(x, few):
        import numpy

        from minidl.ops.normalization import LocalResponseNorm

        results = {}
        for name, given, size, alpha in (
            ("large", x, 5, 0.1),
            ("windows of 9 channels", few, 9, 1.0),
            ("size 1", few, 1, 1.0),
        ):
            node = LocalResponseNorm()
            node.needs_input_grad = (True,)
            y = node.forward(given, size=size, alpha=alpha, beta=0.75, k=2.0)
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            results |= {f"y, {name}": y, f"grad_x, {name}": node.backward(dy)}
        single = LocalResponseNorm()
        single.needs_input_grad = (True,)
        y = single.forward(few.astype("float32"), size=3, alpha=1.0, beta=0.75, k=2.0)
        return results | {"dtypes of y and grad_x in float32": f"{y.dtype} {single.backward(y).dtype}"}


@check("2.8", points=1, seconds=4)
class BatchNormOfManyPixels:
    """BatchNorm of (16, 32, 30, 30) in 4 seconds, of (N, C) and (N, C, L), without weight or bias; other momentum"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((16, 32, 30, 30)),
            "rows": 1000 + rng.standard_normal((9, 4)),
            "weight": rng.uniform(0.5, 2, 32),
            "sounds": rng.standard_normal((3, 4, 5)),
            "four": rng.uniform(0.5, 2, 4),
        }

    def call(x, rows, weight, sounds, four):
        import numpy

        import minidl
        from minidl import Tensor
        from minidl.functional.normalization import move_running_statistics
        from minidl.ops.normalization import BatchNorm

        minidl.use_algorithm("im2col")
        results = {}
        for name, given, w, b in (
            ("large", x, weight, weight + 1),
            ("(N, C)", rows, None, None),
            ("(N, C, L)", sounds, four, None),
            ("a bias alone", sounds, None, four),
        ):
            node = BatchNorm()
            node.needs_input_grad = (True, w is not None, b is not None, False, False)
            y, mean, variance = node.forward(given, w, b, None, None, eps=1e-5)
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            grad_x, grad_weight, grad_bias, *_ = node.backward(dy)
            results |= {
                f"y, {name}": y,
                f"mean, {name}": mean,
                f"variance, {name}": variance,
                f"grad_x, {name}": grad_x,
            }
            if w is not None:
                results |= {f"grad_weight, {name}": grad_weight}
            if b is not None:
                results |= {f"grad_bias, {name}": grad_bias}
        evaluation = BatchNorm()
        evaluation.needs_input_grad = (True, False, False, False, False)
        y = evaluation.forward(sounds, None, None, four, four + 1, eps=1e-5)
        moved = Tensor(four.copy()), Tensor(four + 2)
        move_running_statistics(*moved, Tensor(four * 3), Tensor(four * 5), 30, 0.25)
        single = BatchNorm()
        single.needs_input_grad = (True, True, True, False, False)
        sounds, four = sounds.astype("float32"), four.astype("float32")
        of_single = single.forward(sounds, four, four, None, None, eps=1e-5)
        of_single += single.backward(of_single[0])[:3]
        return results | {
            "y in evaluation without weight and bias": y,
            "grad_x of the same": evaluation.backward(sounds.astype(float))[0],
            "running mean, count 30, momentum 0.25": moved[0].data,
            "running variance of the same": moved[1].data,
            "dtypes in float32: y, mean, variance, the gradients": " ".join(str(array.dtype) for array in of_single),
        }


@check("2.9", points=1, seconds=2)
class DropoutOfManyPixels:
    """Dropout of (16, 32, 40, 40) in 2 seconds, in float32; nothing kept, and everything kept"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((16, 32, 40, 40)).astype("float32"),
            "mask": rng.random((16, 32, 40, 40)) >= 0.5,
            "grad_output": rng.standard_normal((16, 32, 40, 40)).astype("float32"),
        }

    def call(x, mask, grad_output):
        from minidl.ops.dropout import Dropout

        results = {}
        for name, given, scale in (
            ("half", mask, 2.0),
            ("nothing", mask & False, 0.0),
            ("everything", mask | True, 1.0),
        ):
            node = Dropout()
            node.needs_input_grad = (True,)
            y = node.forward(x, mask=given, scale=scale)
            results |= {f"y, {name} kept": y, f"grad_x, {name} kept": node.backward(grad_output)}
        return results


@check("2.11", points=1)
class RandomNetworks:
    """count of random networks: shapes, weights, fields and totals together"""

    def inputs(rng):
        return {
            "kinds": rng.integers(0, 3, (6, 8)),
            "maps": rng.integers(1, 9, (6, 8)),
            "kernels": rng.integers(1, 6, (6, 8)),
            "strides": rng.integers(1, 4, (6, 8)),
            "paddings": rng.integers(0, 3, (6, 8)),
        }

    def call(kinds, maps, kernels, strides, paddings):
        import numpy

        from assignments.a2_convolution.counting import Layer, count, totals

        results = {}
        for number, settings in enumerate(zip(kinds, maps, kernels, strides, paddings, strict=True)):
            layers = [
                Layer(f"{i}", ("conv", "pool", "norm")[kind], int(m), int(k), int(s), int(p))
                for i, (kind, m, k, s, p) in enumerate(zip(*settings, strict=True))
            ]
            layers.append(Layer("fc", "fc", 10))
            rows = count(layers, (2, 9000, 8000))
            results[f"network {number}"] = numpy.array(
                [[*row.output, row.weights, row.biases, row.field, row.step] for row in rows]
            )
            results[f"totals of network {number}"] = numpy.array(totals(rows))
        return results
