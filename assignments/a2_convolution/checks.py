"""The checks of assignment 2: `python -m minidl course test a2` runs all of them, `... test a2 2.3` those of one task.

Each class is one check: `inputs` makes the arrays, `call` runs your code on them. What `call` returns is compared with
what the model solution returns; `verify` looks at a property instead. (`minidl.use_algorithm("im2col")` is for the
model solution: it runs what stands in minidl/ops, and no faster code. Yours runs as you wrote it.)
"""

from __future__ import annotations

import numpy

from minidl.course.checks import check

EXACT = 1e-11  # what a formula reaches, and a finite difference does not

# ----------------------------------------------------------------------------------------------- 2.1 a loop convolution


@check(
    "2.1",
    points=1,
    hints={"y": "the handout works it out: y is 2x2, and 1*1 + 0*2 + 2*4 - 1*5 + 0.5 = 4.5 comes first"},
)
class OneImageOneFilter:
    """conv_loops of the handout's example: a 3x3 image, a 2x2 filter, no padding, stride 1"""

    def inputs(rng):
        return {
            "x": numpy.arange(1.0, 10.0).reshape(1, 1, 3, 3),
            "weight": numpy.array([[[[1.0, 0.0], [2.0, -1.0]]]]),
            "bias": numpy.array([0.5]),
        }

    def call(x, weight, bias):
        from assignments.a2_convolution.loops import conv_loops

        return {"y": conv_loops(x, weight, bias)}


@check(
    "2.1",
    points=1,
    sizes={"the batch size": 2, "the number of channels": 3},
    hints={"y": "is the bias added, every channel summed, the kernel not flipped? Work one value of y out by hand"},
)
class ChannelsFiltersAndImages:
    """conv_loops of 2 images with 3 channels, 4 filters of 3x2 pixels, a bias for each filter"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 5, 6)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
        }

    def call(x, weight, bias):
        from assignments.a2_convolution.loops import conv_loops

        return {"y": conv_loops(x, weight, bias)}


@check(
    "2.1",
    points=1,
    padding=2,
    hints={
        "y, stride 3": "the stride counts twice: in the size of y, and in where a window begins",
        "y, padding 2": "zeros on all four sides; the size of y grows by 2 padding",
    },
)
class LoopsWithStrideAndPadding:
    """conv_loops with stride 3 and padding 2, in which a row of pixels is left over"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 8, 7)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
        }

    def call(x, weight, bias):
        from assignments.a2_convolution.loops import conv_loops

        return {
            "y, stride 3": conv_loops(x, weight, bias, stride=3),
            "y, padding 2": conv_loops(x, weight, bias, padding=2),
            "y, stride 3 and padding 2": conv_loops(x, weight, bias, stride=3, padding=2),
        }


# ----------------------------------------------------------------------------------------------------------- 2.2 im2col


@check("2.2", points=1, hints={"columns": "the head of im2col.py shows all 16 numbers: row 1 is kh, kw = 0, 1"})
class ColumnsOfTheExample:
    """im2col of the example at the head of im2col.py: 1..9 in 3x3, windows of 2x2"""

    def inputs(rng):
        return {"x": numpy.arange(1.0, 10.0).reshape(1, 1, 3, 3)}

    def call(x):
        from minidl.ops.im2col import im2col

        columns = im2col(x, (2, 2), (1, 1), ((0, 0), (0, 0)), (1, 1))
        return {"columns": columns.reshape(4, 4) if columns.size == 16 else columns}

    def expected(x):
        windows = [[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]  # one below the other
        return {"columns": numpy.array(windows, float).T}


@check(
    "2.2",
    points=1,
    padding=1,
    hints={
        "columns, no padding": "(C, KH, KW, N, OH, OW) of images (C, N, H, W): a transpose exchanges axes, a reshape "
        "would give each number to another image",
        "columns, padding": "what no tap fills is the padding, and counts as 0: begin with zeros, not with empty",
    },
)
class ColumnsOfImages:
    """im2col of 2 images with 3 channels: (C, KH, KW, N, OH, OW), with stride (2, 1) and other padding on every side"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 5, 6))}

    def call(x):
        from minidl.ops.im2col import im2col

        return {
            "columns, no padding": im2col(x, (3, 2), (1, 1), ((0, 0), (0, 0)), (1, 1)),
            "columns, stride (2, 1)": im2col(x, (3, 2), (2, 1), ((0, 0), (0, 0)), (1, 1)),
            "columns, padding": im2col(x, (3, 2), (1, 1), ((1, 1), (1, 1)), (1, 1)),
            "columns, stride and padding": im2col(x, (3, 2), (2, 1), ((2, 1), (0, 1)), (1, 1)),
        }


# ----------------------------------------------------------------------------------------------------------- 2.3 col2im


@check("2.3", points=1, hints={"x": "the pixel in the middle is in four windows, and gets four ones"})
class ColumnsOfOnes:
    """col2im of columns of ones: how often each pixel of a 3x3 image is seen by 2x2 windows (the handout's example)"""

    def inputs(rng):
        return {"columns": numpy.ones((1, 2, 2, 1, 2, 2))}

    def call(columns):
        from minidl.ops.im2col import col2im

        return {"x": col2im(columns, (3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1))}

    def expected(columns):
        return {"x": numpy.array([[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]])}


@check(
    "2.3",
    points=1,
    padding=1,
    hints={"x, no padding": "what lies on one pixel adds up; `windows` and `pixels` are the same as in im2col"},
)
class ColumnsBackToImages:
    """col2im with stride and padding: overlaps add up, what fell into the padding is dropped"""

    def inputs(rng):
        return {
            "plain": rng.standard_normal((3, 3, 2, 2, 3, 5)),
            "strided": rng.standard_normal((3, 3, 2, 2, 2, 5)),
            "padded": rng.standard_normal((3, 3, 2, 2, 5, 7)),
            "both": rng.standard_normal((3, 3, 2, 2, 3, 6)),
        }

    def call(plain, strided, padded, both):
        from minidl.ops.im2col import col2im

        return {
            "x, no padding": col2im(plain, (5, 6), (1, 1), ((0, 0), (0, 0)), (1, 1)),
            "x, stride (2, 1)": col2im(strided, (5, 6), (2, 1), ((0, 0), (0, 0)), (1, 1)),
            "x, padding": col2im(padded, (5, 6), (1, 1), ((1, 1), (1, 1)), (1, 1)),
            "x, stride and padding": col2im(both, (5, 6), (2, 1), ((2, 1), (0, 1)), (1, 1)),
        }


# --------------------------------------------------------------------------------------------------- 2.4 Conv2d forward


@check(
    "2.4",
    points=1,
    sizes={"the batch size": 2},
    hints={
        "y with a bias": "if y without a bias is right: one bias for each filter, along the rows of the product",
        "y without a bias": "the rows of the product are filters, its columns (n, oh, ow): what puts N in front?",
    },
)
class ConvForward:
    """Conv2d forward, 2 images with 3 channels and 4 filters of 3x2, with a bias and without one"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 5, 6)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
        }

    def call(x, weight, bias):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        options = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
        results = {}
        for name, given in (("y with a bias", bias), ("y without a bias", None)):
            node = Conv2d()
            node.needs_input_grad = (True, True, given is not None)
            results[name] = node.forward(x, weight, given, **options)
        return results


@check("2.4", points=1, padding=1)
class ConvForwardStridePaddingDilation:
    """Conv2d forward with stride (2, 1), with padding, and with dilation (1, 2)"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 6, 7)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
        }

    def call(x, weight, bias):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        results = {}
        for name, stride, padding, dilation in (
            ("y, stride (2, 1)", (2, 1), ((0, 0), (0, 0)), (1, 1)),
            ("y, padding", (1, 1), ((1, 1), (1, 1)), (1, 1)),
            ("y, dilation (1, 2)", (1, 1), ((0, 0), (0, 0)), (1, 2)),
            ("y, all three", (2, 1), ((2, 1), (0, 1)), (1, 2)),
        ):
            node = Conv2d()
            node.needs_input_grad = (True, True, True)
            results[name] = node.forward(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=1)
        return results


@check(
    "2.4",
    points=1,
    hints={"y of 2 groups": "filters 0 and 1 see channels 0 to 2, filters 2 and 3 see channels 3 to 5"},
)
class ConvForwardInGroups:
    """Conv2d forward in 2 groups (6 channels, 4 filters that see 3 each), and in as many as there are channels"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 6, 5, 6)),
            "two": rng.standard_normal((4, 3, 3, 2)),
            "six": rng.standard_normal((12, 1, 3, 2)),
        }

    def call(x, two, six):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        results = {}
        for name, weight, groups in (("y of 2 groups", two, 2), ("y of 6 groups", six, 6)):
            node = Conv2d()
            node.needs_input_grad = (True, True, True)
            results[name] = node.forward(
                x,
                weight,
                weight[:, 0, 0, 0].copy(),
                stride=(1, 1),
                padding=((0, 0), (0, 0)),
                dilation=(1, 1),
                groups=groups,
            )
        return results


# -------------------------------------------------------------------------------------------------- 2.5 Conv2d backward


@check(
    "2.5",
    points=1,
    rtol=EXACT,
    sizes={"the batch size": 2, "the windows of an image": 15, "the windows of all images": 30},
    hints={
        "grad_x": "weight^T dy has rows (c, kh, kw) and columns (n, oh, ow): reshape it for col2im, in this order",
        "grad_weight": "dy columns^T: dy with its filters in front, and all images side by side",
    },
)
class ConvBackward:
    """Conv2d backward: dx, dweight and dbias of 4 filters of 3x2 on 2 images"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 5, 6)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
            "grad_output": rng.standard_normal((2, 4, 3, 5)),
        }

    def call(x, weight, bias, grad_output):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        node = Conv2d()
        node.needs_input_grad = (True, True, True)
        node.forward(x, weight, bias, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
        grad_x, grad_weight, grad_bias = node.backward(grad_output)
        return {"grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}


@check("2.5", points=1, rtol=EXACT, padding=1, stride=2)
class ConvBackwardStridePadding:
    """Conv2d backward with stride 2 and padding 1, with stride (2, 1) and other padding on every side"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 7, 8)),
            "weight": rng.standard_normal((4, 3, 3, 3)),
            "even": rng.standard_normal((2, 4, 4, 4)),
            "uneven": rng.standard_normal((2, 4, 4, 7)),
        }

    def call(x, weight, even, uneven):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        results = {}
        for name, stride, padding, grad_output in (
            ("stride 2, padding 1", (2, 2), ((1, 1), (1, 1)), even),
            ("stride (2, 1), uneven padding", (2, 1), ((2, 1), (0, 1)), uneven),
        ):
            node = Conv2d()
            node.needs_input_grad = (True, True, True)
            node.forward(
                x,
                weight,
                weight[:, 0, 0, 0].copy(),
                stride=stride,
                padding=padding,
                dilation=(1, 1),
                groups=1,
            )
            grad_x, grad_weight, grad_bias = node.backward(grad_output)
            results |= {
                f"grad_x, {name}": grad_x,
                f"grad_weight, {name}": grad_weight,
                f"grad_bias, {name}": grad_bias,
            }
        return results


@check("2.5", points=1, rtol=EXACT)
class ConvBackwardInGroups:
    """Conv2d backward in 2 groups: the shapes are those of x and of the weight (F, C/G, KH, KW)"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 6, 5, 6)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "bias": rng.standard_normal(4),
            "grad_output": rng.standard_normal((2, 4, 3, 5)),
        }

    def call(x, weight, bias, grad_output):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        node = Conv2d()
        node.needs_input_grad = (True, True, True)
        node.forward(x, weight, bias, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=2)
        grad_x, grad_weight, grad_bias = node.backward(grad_output)
        return {"grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}


@check("2.5", points=1, rtol=EXACT)
class ConvBackwardOfWhatIsNeeded:
    """Conv2d backward gives None where no gradient is needed: for x in the first layer, for a bias that is None"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 5, 6)),
            "weight": rng.standard_normal((4, 3, 3, 2)),
            "grad_output": rng.standard_normal((2, 4, 3, 5)),
        }

    def call(x, weight, grad_output):
        import minidl
        from minidl.ops.convolution import Conv2d

        minidl.use_algorithm("im2col")
        first, frozen = Conv2d(), Conv2d()
        first.needs_input_grad, frozen.needs_input_grad = (False, True, False), (True, False, False)
        for node in (first, frozen):
            node.forward(x, weight, None, stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
        of_first, of_frozen = first.backward(grad_output), frozen.backward(grad_output)
        nones = [gradient is None for gradient in (*of_first, *of_frozen)]
        return {
            "grad_weight": of_first[1],
            "grad_x": of_frozen[0],
            "what is None (x, weight, bias of the first layer; the same of a frozen one)": ", ".join(map(str, nones)),
        }


# ---------------------------------------------------------------------------------------------------------- 2.6 pooling


@check(
    "2.6",
    points=1,
    rtol=EXACT,
    hints={
        "y, 2x2, stride 2": "write into the y that is given; it begins with -infinity, and only grows",
        "grad_x, 2x2, stride 2": "0 everywhere, then dy to the winner alone. How are taps counted? See _pool",
        "grad_x, 3x3, stride 2": "one pixel may win several windows: its gradients add up",
    },
)
class MaxPool:
    """MaxPool2d forward and backward: 2x2 windows side by side, and 3x3 windows that overlap, as AlexNet's"""

    def inputs(rng):
        return {
            "x": rng.permutation(2.0 * 3 * 6 * 7 - numpy.arange(2.0 * 3 * 6 * 7)).reshape(2, 3, 6, 7) - 100,
            "side": rng.standard_normal((2, 3, 3, 3)),
            "overlapping": rng.standard_normal((2, 3, 2, 3)),
        }

    def call(x, side, overlapping):
        from minidl.ops.pooling import MaxPool2d

        results = {}
        for name, size, grad_output in (("2x2, stride 2", (2, 2), side), ("3x3, stride 2", (3, 3), overlapping)):
            node = MaxPool2d()
            node.needs_input_grad = (True,)
            y = node.forward(
                x,
                kernel_size=size,
                stride=(2, 2),
                padding=((0, 0), (0, 0)),
                dilation=(1, 1),
                ceil_mode=False,
                return_indices=False,
            )
            results |= {f"y, {name}": y, f"grad_x, {name}": node.backward(grad_output)}
        return results


@check(
    "2.6",
    points=1,
    rtol=EXACT,
    padding=1,
    hints={
        "grad_x": "of several equal maxima the first tap wins, and gets all of dy",
        "y": "padding is -infinity, not 0: all pixels are negative here",
    },
)
class MaxPoolTiesAndPadding:
    """MaxPool2d: of equal values the first wins, alone; padding counts as -infinity, also below negative pixels"""

    def inputs(rng):
        return {
            "x": -1.0 - rng.integers(0, 3, (2, 2, 5, 6)).astype(float),
            "grad_output": rng.standard_normal((2, 2, 5, 3)),
        }

    def call(x, grad_output):
        from minidl.ops.pooling import MaxPool2d

        node = MaxPool2d()
        node.needs_input_grad = (True,)
        y = node.forward(
            x,
            kernel_size=(3, 3),
            stride=(1, 2),
            padding=((1, 1), (1, 1)),
            dilation=(1, 1),
            ceil_mode=False,
            return_indices=False,
        )
        grad_x = node.backward(grad_output)
        without = MaxPool2d()
        without.needs_input_grad = (False,)
        again = without.forward(
            x,
            kernel_size=(3, 3),
            stride=(1, 2),
            padding=((1, 1), (1, 1)),
            dilation=(1, 1),
            ceil_mode=False,
            return_indices=False,
        )
        return {"y": y, "grad_x": grad_x, "y where no gradient is needed (winner is None)": again}


@check(
    "2.6",
    points=1,
    rtol=EXACT,
    sizes={"the size of the window": 6},
    hints={
        "y, padding counted": "write into the y that is given, which holds anything at first",
        "y, padding not counted": "self.count is another number at the border: divide by it, not by KH * KW",
        "grad_x, padding counted": "each pixel gets dy / count from every window that it lies in",
    },
)
class AvgPool:
    """AvgPool2d forward and backward: 2x3 windows that overlap, padding counted as zeros, and not counted"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3, 6, 7)), "grad_output": rng.standard_normal((2, 3, 7, 4))}

    def call(x, grad_output):
        from minidl.ops.pooling import AvgPool2d

        results = {}
        for name, counted in (("padding counted", True), ("padding not counted", False)):
            node = AvgPool2d()
            node.needs_input_grad = (True,)
            y = node.forward(
                x,
                kernel_size=(2, 3),
                stride=(1, 2),
                padding=((1, 1), (1, 1)),
                ceil_mode=False,
                count_include_pad=counted,
                divisor_override=None,
            )
            results |= {f"y, {name}": y, f"grad_x, {name}": node.backward(grad_output)}
        return results


# -------------------------------------------------------------------------------------------------------------- 2.7 LRN


@check(
    "2.7",
    points=1,
    sizes={"the size of the window": 5},
    hints={
        "y, windows of 3": "d = k + alpha / size * (the sum of squares), y = x d^-beta",
        "y, windows of 4": "an even window takes one channel more before than after: size // 2 and (size - 1) // 2",
    },
)
class LRNForward:
    """LocalResponseNorm forward: AlexNet's numbers, and loud ones (alpha = 1) for windows of 3 and 4 channels"""

    def inputs(rng):
        return {"x": 3 * rng.standard_normal((2, 7, 3, 4))}

    def call(x):
        from minidl.ops.normalization import LocalResponseNorm

        results = {}
        for size, alpha, beta, k in ((5, 5e-4, 0.75, 2.0), (3, 1.0, 0.75, 1.0), (4, 1.0, 0.5, 1.5)):
            node = LocalResponseNorm()
            node.needs_input_grad = (True,)
            results[f"y, windows of {size}"] = node.forward(x, size=size, alpha=alpha, beta=beta, k=k)
        return results


@check(
    "2.7",
    points=2,
    rtol=EXACT,
    sizes={"the size of the window": 3},
    hints={
        "grad_x, windows of 3": "x_c is in its own y, and in the d of its neighbours (power -beta - 1): two parts",
        "grad_x, windows of 4": "right for 3, wrong for 4? c in the window of j, not j in that of c: they are mirrored",
    },
)
class LRNBackward:
    """LocalResponseNorm backward: the direct part, and the part through the other channels' denominators"""

    def inputs(rng):
        return {"x": 2 * rng.standard_normal((2, 7, 3, 4)), "grad_output": rng.standard_normal((2, 7, 3, 4))}

    def call(x, grad_output):
        from minidl.ops.normalization import LocalResponseNorm

        results = {}
        for size, alpha, beta, k in ((3, 1.0, 0.75, 1.0), (4, 1.0, 0.5, 1.5)):
            node = LocalResponseNorm()
            node.needs_input_grad = (True,)
            node.forward(x, size=size, alpha=alpha, beta=beta, k=k)
            results[f"grad_x, windows of {size}"] = node.backward(grad_output)
        return results


# ------------------------------------------------------------------------------------------------------- 2.8 batch norm


@check(
    "2.8",
    points=1,
    sizes={"the values of a channel": 24, "the batch size": 2},
    hints={
        "mean": "over all dimensions but 1",
        "variance": "the mean of (x - mean)^2, divided by m and not by m - 1",
        "y": "mean and variance right? Then eps is under the root, and weight and bias come after",
    },
)
class BatchNormTraining:
    """BatchNorm forward in training: y, and the mean and (biased) variance of each channel"""

    def inputs(rng):
        return {
            "x": 3 + 2 * rng.standard_normal((2, 5, 3, 4)),
            "weight": rng.uniform(0.5, 2, 5),
            "bias": rng.standard_normal(5),
        }

    def call(x, weight, bias):
        import minidl
        from minidl.ops.normalization import BatchNorm

        minidl.use_algorithm("im2col")
        node = BatchNorm()
        node.needs_input_grad = (True, True, True, False, False)
        y, mean, variance = node.forward(x, weight, bias, None, None, eps=0.1)
        return {"mean": mean, "variance": variance, "y": y}


@check(
    "2.8",
    points=1,
    rtol=EXACT,
    sizes={"the values of a channel": 24},
    hints={
        "y": "the mean and variance that are given, not those of the batch",
        "grad_x": "here they are constants: dy times one number for each channel",
    },
)
class BatchNormEvaluation:
    """BatchNorm in evaluation, forward and backward: mean and variance are given, and constants"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 5, 3, 4)),
            "weight": rng.uniform(0.5, 2, 5),
            "bias": rng.standard_normal(5),
            "mean": rng.standard_normal(5),
            "variance": rng.uniform(0.5, 2, 5),
            "grad_output": rng.standard_normal((2, 5, 3, 4)),
        }

    def call(x, weight, bias, mean, variance, grad_output):
        import minidl
        from minidl.ops.normalization import BatchNorm

        minidl.use_algorithm("im2col")
        node = BatchNorm()
        node.needs_input_grad = (True, True, True, False, False)
        y = node.forward(x, weight, bias, mean, variance, eps=0.1)
        grad_x, grad_weight, grad_bias, _, _ = node.backward(grad_output)
        return {"y": y, "grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}


@check(
    "2.8",
    points=2,
    rtol=EXACT,
    sizes={"the values of a channel": 24, "the batch size": 2},
    hints={
        "grad_weight": "dy times the normalised x, summed over all dimensions but 1",
        "grad_x": "three parts, see the head of the file: g, its mean, and the one through the variance",
    },
)
class BatchNormBackward:
    """BatchNorm backward in training: mean and variance depend on x too"""

    def inputs(rng):
        return {
            "x": 3 + 2 * rng.standard_normal((2, 5, 3, 4)),
            "weight": rng.uniform(0.5, 2, 5),
            "bias": rng.standard_normal(5),
            "grad_output": rng.standard_normal((2, 5, 3, 4)),
        }

    def call(x, weight, bias, grad_output):
        import minidl
        from minidl.ops.normalization import BatchNorm

        minidl.use_algorithm("im2col")
        node = BatchNorm()
        node.needs_input_grad = (True, True, True, False, False)
        node.forward(x, weight, bias, None, None, eps=0.1)
        grad_x, grad_weight, grad_bias, _, _ = node.backward(grad_output, None, None)
        return {"grad_bias": grad_bias, "grad_weight": grad_weight, "grad_x": grad_x}


@check(
    "2.8",
    points=1,
    hints={
        "running_mean": "momentum is the weight of the NEW value",
        "running_var": "the variance of the batch times m / (m - 1)",
        "running_mean in its old place": "in place: mul_ and add_, or running_mean.data[...] = ..., and no new array",
    },
)
class RunningStatistics:
    """move_running_statistics: the running mean and the unbiased running variance, moved by momentum, in place"""

    def inputs(rng):
        return {
            "running_mean": rng.standard_normal(3),
            "running_var": rng.uniform(0.5, 2, 3),
            "mean": rng.standard_normal(3),
            "variance": rng.uniform(0.5, 2, 3),
        }

    def call(running_mean, running_var, mean, variance):
        from minidl import Tensor
        from minidl.functional.normalization import move_running_statistics

        moved = Tensor(running_mean.copy()), Tensor(running_var.copy())
        places = moved[0].data, moved[1].data
        move_running_statistics(*moved, Tensor(mean), Tensor(variance), 8, 0.1)
        move_running_statistics(None, None, Tensor(mean), Tensor(variance), 8, 0.1)
        return {
            "running_mean": moved[0].data,
            "running_var": moved[1].data,
            "running_mean in its old place": places[0],
            "running_var in its old place": places[1],
        }


# ---------------------------------------------------------------------------------------------------------- 2.9 dropout


@check(
    "2.9",
    points=1,
    rtol=EXACT,
    hints={
        "y, elements": "what the mask keeps (True) is multiplied by scale, the rest is 0",
        "grad_x, elements": "the same mask and the same scale as in forward",
    },
)
class DropoutForwardBackward:
    """Dropout with a given mask: forward and backward, a mask for each element, and one for each channel"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((2, 3, 4, 5)),
            "mask": rng.random((2, 3, 4, 5)) >= 0.4,
            "channels": numpy.array([True, False, True, True, False, True]).reshape(2, 3, 1, 1),
            "grad_output": rng.standard_normal((2, 3, 4, 5)),
        }

    def call(x, mask, channels, grad_output):
        from minidl.ops.dropout import Dropout

        results = {}
        for name, given in (("elements", mask), ("channels", channels)):
            node = Dropout()
            node.needs_input_grad = (True,)
            y = node.forward(x, mask=given, scale=1 / 0.6)
            results |= {f"y, {name}": y, f"grad_x, {name}": node.backward(grad_output)}
        return results


@check("2.9", points=1)
class DropoutKeepsTheMean:
    """F.dropout of ones: about 30 % become 0, the mean stays 1; and in evaluation nothing happens"""

    def inputs(rng):
        return {"x": numpy.ones((200, 200))}

    def call(x):
        import minidl
        import minidl.nn.functional as F

        minidl.manual_seed(4)
        x = minidl.Tensor(x)
        return {"training": F.dropout(x, 0.3, training=True).data, "evaluation": F.dropout(x, 0.3, training=False).data}

    def verify(outputs, x):
        y = outputs["training"]
        zeros, mean = float((y == 0).mean()), float(y.mean())
        if not 0.28 < zeros < 0.32:
            return f"{zeros:.1%} of the elements are 0, expected about 30 %: the mask is True where an element is KEPT"
        if not 0.97 < mean < 1.03:
            return f"the mean of the output is {mean:.3f}, that of the input 1: what is kept is multiplied by `scale`"
        if not numpy.array_equal(outputs["evaluation"], x):
            return "in evaluation the output differs from the input"
        return None


# --------------------------------------------------------------------------------------------------------- 2.10 LeNet-5


@check("2.10", points=1)
class LeNetParameters:
    """LeNet5: the names and shapes of its parameters, 61,706 numbers in all"""

    def inputs(rng):
        return {"classes": 10}

    def call(classes):
        from architectures import lenet5

        return {
            "parameters": "\n".join(
                f"{name} {tuple(parameter.shape)}" for name, parameter in lenet5(classes).named_parameters()
            )
        }

    def verify(outputs, classes):
        wanted = {
            "conv1.weight": (6, 1, 5, 5),
            "conv1.bias": (6,),
            "conv2.weight": (16, 6, 5, 5),
            "conv2.bias": (16,),
            "fc1.weight": (120, 400),
            "fc1.bias": (120,),
            "fc2.weight": (84, 120),
            "fc2.bias": (84,),
            "fc3.weight": (10, 84),
            "fc3.bias": (10,),
        }
        found = dict(line.split(" ", 1) for line in str(outputs["parameters"]).splitlines() if line)
        for name, shape in wanted.items():
            if name not in found:
                return f"there is no parameter {name}; there are {', '.join(found) or 'none'}"
            if found[name] != str(shape):
                return f"{name} has the shape {found[name]}, expected {shape}"
        more = sorted(found.keys() - wanted.keys())
        return f"{more[0]} is a parameter too many" if more else None


@check(
    "2.10",
    points=1,
    rtol=1e-4,
    hints={"scores": "ReLU after conv1, conv2, fc1, fc2; a pooling after each convolution; bare scores at the end"},
)
class LeNetForward:
    """LeNet5: the scores of three images, and those of a network with 2 channels and 5 classes"""

    def inputs(rng):
        return {
            "images": rng.standard_normal((3, 1, 32, 32)).astype("float32"),
            "others": rng.standard_normal((2, 2, 32, 32)).astype("float32"),
        }

    def call(images, others):
        import minidl
        from architectures import lenet5

        minidl.use_algorithm("im2col")
        nets = lenet5(), lenet5(num_classes=5, in_channels=2)
        for net in nets:  # the same weights, whatever the order in which the layers were made
            for name, parameter in net.named_parameters():
                minidl.manual_seed(sum(map(ord, name)))
                parameter.data[...] = minidl.randn(*parameter.shape).data * 0.1
        with minidl.no_grad():
            return {"scores": nets[0](minidl.Tensor(images)).data, "others": nets[1](minidl.Tensor(others)).data}


@check("2.10", points=2, seconds=120)
class LeNetReadsDigits:
    """train: after 4 epochs LeNet-5 reads at least 92 % of 360 unseen digits right"""

    def inputs(rng):
        from assignments.a2_convolution.train import digits

        images, labels = digits(training=True)
        return {"images": images, "labels": labels, "unseen": rng.permutation(digits(training=False)[0])}

    def call(images, labels, unseen):
        import numpy

        from assignments.a2_convolution.train import answers, train

        net, losses = train(images, labels)
        return {"answers": answers(net, unseen), "losses": numpy.array(losses)}

    def verify(outputs, images, labels, unseen):
        from assignments.a2_convolution.train import digits

        losses, said = outputs["losses"], outputs["answers"]
        known = {image.tobytes(): label for image, label in zip(*digits(training=False), strict=True)}
        truth = numpy.array([known[image.tobytes()] for image in unseen])
        if said.shape != truth.shape:
            return f"answers gave an array of shape {said.shape} for 360 images"
        right = (said == truth).mean()
        if right >= 0.92:
            return None
        return (
            f"{right:.1%} of the unseen digits are right, expected at least 92 %. The loss went from "
            f"{losses[:20].mean():.3f} (mean of the first 20 steps; ln 10 = 2.303 is what guessing gives) to "
            f"{losses[-20:].mean():.3f} (the last 20)"
        )


# -------------------------------------------------------------------------------------------------------- 2.11 counting


@check(
    "2.11",
    points=1,
    hints={"after conv1": "(227 - 11) // 4 + 1 = 55: padding on both sides, a whole number, and the 1"},
)
class ShapesOfAlexNet:
    """output_shape: every layer of AlexNet, and a convolution whose stride leaves pixels over"""

    def inputs(rng):
        return {"size": 227}

    def call(size):
        import numpy

        from assignments.a2_convolution.counting import ALEXNET, Layer, output_shape

        layers = [layer.name for layer in ALEXNET]
        shapes = [(3, size, size)]
        for layer in ALEXNET:
            shapes.append(output_shape(layer, shapes[-1]))
        odd = output_shape(Layer("odd", "conv", 5, kernel=4, stride=3, padding=2), (2, 10, 12))
        return {
            **{f"after {name}": numpy.array(shape) for name, shape in zip(layers, shapes[1:], strict=True)},
            "after a 4x4 convolution with stride 3 and padding 2 of (2, 10, 12)": numpy.array(odd),
        }


@check("2.11", points=1)
class WeightsOfVGG16:
    """weights_and_biases: every layer of VGG-16, whose shapes are given"""

    def inputs(rng):
        return {"size": 224}

    def call(size):
        import numpy

        from assignments.a2_convolution.counting import vgg16, weights_and_biases

        results, channels = {}, 3
        for layer in vgg16():
            shape = (channels, 1, 1) if layer.name in ("fc7", "fc8") else (channels, size, size)
            results[layer.name] = numpy.array(weights_and_biases(layer, shape))
            size //= layer.stride
            channels = layer.maps or channels
        return {f"weights and biases of {name}": counted for name, counted in results.items()}


@check("2.11", points=1)
class ReceptiveFields:
    """field_and_step: AlexNet's and VGG-16's layers, whose shapes are given"""

    def inputs(rng):
        return {"field": 1, "step": 1}

    def call(field, step):
        import numpy

        from assignments.a2_convolution.counting import ALEXNET, field_and_step, vgg16

        sizes = {
            "AlexNet": [227, 55, 27, 27, 27, 13, 13, 13, 13, 13, 6, 1, 1],
            "VGG-16": [224, 224, 224, 112, 112, 112, 56, 56, 56, 56, 28, 28, 28, 28, 14, 14, 14, 14, 7, 1, 1],
        }
        results = {}
        for name, layers in (("AlexNet", ALEXNET), ("VGG-16", vgg16())):
            seen = field, step
            for layer, size in zip(layers, sizes[name], strict=True):
                seen = field_and_step(layer, (1, size, size), *seen)
                results[f"field and step after {layer.name} of {name}"] = numpy.array(seen)
        return results


@check("2.11", points=1)
class Totals:
    """totals: parameters, numbers and bytes of a table that is given"""

    def inputs(rng):
        return {"numbers": rng.integers(1, 1000, (4, 3))}

    def call(numbers):

        from assignments.a2_convolution.counting import Row, totals

        rows = [Row("layer", (1, 1, 1), int(m), int(w), int(b), 1, 1) for m, w, b in numbers]
        parameters, memory, size = totals(rows)
        return {"parameters": parameters, "numbers in memory": memory, "bytes": size}
