"""Further checks of assignment 1, which students do not see: odd shapes, large inputs against the clock, properties."""

from __future__ import annotations

import numpy

from minidl.course.checks import check

EXACT = 1e-11  # what a formula reaches, and a finite difference does not


@check("1.1", points=1, seconds=2)
class ReLUOfManyPixels:
    """ReLU of float32 images (4, 3, 64, 65): forward and backward, within 2 seconds"""

    def inputs(rng):
        x, grad_output = rng.standard_normal((2, 4, 3, 64, 65)).astype("float32")
        return {"x": x, "grad_output": grad_output}

    def call(x, grad_output):
        from minidl.ops.activation import ReLU

        node = ReLU()
        node.needs_input_grad = (True,)
        y = node.forward(x)
        return {"y": y, "grad_x": node.backward(grad_output)}


@check("1.2", points=1, rtol=EXACT, seconds=2)
class ManyFactors:
    """Mul and Div of (300, 200) numbers, forward and backward within 2 seconds"""

    def inputs(rng):
        a, b = rng.uniform(1, 2, (2, 300, 200))
        return {"a": a, "b": -b, "grad_output": rng.standard_normal((300, 200))}

    def call(a, b, grad_output):
        from minidl.ops.arithmetic import Div, Mul

        results = {}
        for operation in (Mul, Div):
            node = operation()
            node.needs_input_grad = (True, True)
            node.forward(a, b)
            grad_a, grad_b = node.backward(grad_output)
            results |= {f"{operation.__name__}: grad_a": grad_a, f"{operation.__name__}: grad_b": grad_b}
        return results


@check("1.3", points=1, rtol=EXACT)
class SumOverBothKinds:
    """sum_to_shape, added and stretched dimensions at once: (2, 3, 4, 5) to (1, 4, 1), (3, 1, 5), (1,) and ()"""

    def inputs(rng):
        return {"gradient": rng.standard_normal((2, 3, 4, 5))}

    def call(gradient):
        from minidl.elementwise import sum_to_shape

        return {str(shape): sum_to_shape(gradient, shape) for shape in ((1, 4, 1), (3, 1, 5), (1,), (), (2, 3, 1, 1))}

    def expected(gradient):
        results = {}
        for shape in ((1, 4, 1), (3, 1, 5), (1,), (), (2, 3, 1, 1)):
            total = numpy.zeros(shape)
            for index in numpy.ndindex(gradient.shape):
                place = index[4 - len(shape) :]
                total[tuple(0 if size == 1 else i for i, size in zip(place, shape, strict=True))] += gradient[index]
            results[str(shape)] = total
        return results


@check("1.4", points=1, rtol=EXACT, seconds=3)
class MatMulOfVectorsAndStacks:
    """MatMul backward of vectors, of two stacks that broadcast against each other, of large matrices in 3 seconds"""

    def inputs(rng):
        return {
            "vector": rng.standard_normal(4),
            "matrix": rng.standard_normal((4, 3)),
            "left": rng.standard_normal((3, 1, 2, 4)),
            "right": rng.standard_normal((5, 4, 3)),
            "large": rng.standard_normal((200, 150)),
        }

    def call(vector, matrix, left, right, large):
        import numpy

        from minidl.ops.linear import MatMul

        pairs = {
            "(4,) (4, 3)": (vector, matrix),
            "(3, 4) (4,)": (matrix.T.copy(), vector),
            "(4,) (4,)": (vector, 2 * vector),
            "(3, 1, 2, 4) (5, 4, 3)": (left, right),
            "(3, 1, 2, 4) (4,)": (left, vector),
            "(200, 150) (150, 200)": (large, large.T.copy()),
        }
        results = {}
        for name, (a, b) in pairs.items():
            node = MatMul()
            node.needs_input_grad = (True, True)
            y = node.forward(a, b)
            dy = numpy.cos(numpy.arange(1.0, y.size + 1)).reshape(y.shape)
            results[f"grad_a of {name}"], results[f"grad_b of {name}"] = node.backward(dy)
        return results


@check("1.4", points=1, rtol=EXACT, seconds=3, sizes={"the batch size": 300})
class LinearOfLargeBatches:
    """Linear backward of a large batch in 3 seconds, with dimensions in front, without a bias; a square weight"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((300, 200)),
            "weight": rng.standard_normal((100, 200)),
            "front": rng.standard_normal((2, 3, 4, 200)),
            "grad_output": rng.standard_normal((300, 100)),
            "grad_front": rng.standard_normal((2, 3, 4, 100)),
        }

    def call(x, weight, front, grad_output, grad_front):
        from minidl.ops.linear import Linear

        large, fronts, bare, square = (Linear() for _ in range(4))
        large.needs_input_grad = fronts.needs_input_grad = square.needs_input_grad = (True, True, True)
        bare.needs_input_grad = (False, True, False)
        large.forward(x, weight, weight[:, 0].copy())
        fronts.forward(front, weight, weight[:, 0].copy())
        bare.forward(x, weight, None)
        grad_x, grad_weight, grad_bias = large.backward(grad_output)
        results = {"grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}
        grad_x, grad_weight, grad_bias = fronts.backward(grad_front)
        results |= {
            "grad_x (2, 3, 4, K)": grad_x,
            "grad_weight (2, 3, 4, K)": grad_weight,
            "grad_bias (2, 3, 4, K)": grad_bias,
        }
        grad_x, grad_weight, grad_bias = bare.backward(grad_output)
        results |= {"grad_weight alone": grad_weight, "None twice": int(grad_x is None) + int(grad_bias is None)}
        square.forward(x[:, :100].copy(), weight[:, :100].copy(), weight[:, 0].copy())
        grad_x, grad_weight, _ = square.backward(grad_output)
        return results | {"grad_x, square weight": grad_x, "grad_weight, square weight": grad_weight}


@check("1.5", points=1)
class LogSoftmaxOverOtherDimensions:
    """log_softmax over dimension 0 and over the last one of (2, 3, 4), in float32 as well, with a score of -infinity"""

    def inputs(rng):
        x = 30 * rng.standard_normal((2, 3, 4))
        x[0, 1, 2] = -numpy.inf
        return {"x": x}

    def call(x):
        from minidl.ops.activation import log_softmax

        return {"over 0": log_softmax(x, 0), "over -1": log_softmax(x, -1)}

    def expected(x):
        def plain(x):
            p = numpy.exp(x - x.max())
            return x - x.max() - numpy.log(p.sum())

        return {"over 0": numpy.apply_along_axis(plain, 0, x), "over -1": numpy.apply_along_axis(plain, -1, x)}


@check("1.5", points=1, rtol=EXACT, seconds=2, sizes={"the batch size": 2000, "the number of classes": 50})
class CrossEntropyOfLargeBatches:
    """SoftmaxCrossEntropy of (2000, 50) scores up to 500, in 2 seconds; every row of the gradient adds up to 0"""

    def inputs(rng):
        return {"x": 100 * rng.standard_normal((2000, 50)), "labels": rng.integers(0, 50, 2000), "grad_output": 1.5}

    def call(x, labels, grad_output):
        from assignments.a1_autograd.cross_entropy import SoftmaxCrossEntropy

        node = SoftmaxCrossEntropy()
        node.needs_input_grad = (True, False)
        y = node.forward(x, labels)
        return {"y": y, "grad_x": node.backward(grad_output)[0]}


@check("1.6", points=1, seconds=5)
class DeepAndWideGraphs:
    """order and backward: a chain 20,000 deep, and 40 diamonds one below the other, which have 2^40 paths"""

    def inputs(rng):
        return {"x": rng.uniform(1, 2, 3)}

    def call(x):
        from assignments.a1_autograd.engine import backward, order
        from minidl import Function, Tensor, apply

        class Same(Function):
            def forward(self, x):
                return x + 0

            def backward(self, grad_output):
                return grad_output

        class Mean(Function):
            def forward(self, a, b):
                return (a + b) / 2

            def backward(self, grad_output):
                return grad_output / 2, grad_output / 2

        leaf = Tensor(x, requires_grad=True)
        deep = leaf
        for _ in range(20000):
            deep = apply(Same, deep)
        backward(deep)
        other = Tensor(x, requires_grad=True)
        wide = other
        for _ in range(40):
            wide = apply(Mean, apply(Same, wide), wide)
        nodes = len(order(wide.grad_fn))
        backward(wide, 3 * x)
        return {"through a chain": leaf.grad.data, "nodes": nodes, "through diamonds": other.grad.data}

    def expected(x):
        return {"through a chain": numpy.ones(3), "nodes": 81, "through diamonds": 3 * x}


@check("1.6", points=1)
class LeavesAndNone:
    """backward: two calls add up in .grad; a node that nothing reaches is passed over; data get no gradient"""

    def inputs(rng):
        return {"x": rng.standard_normal((2, 3)), "gradient": rng.standard_normal((2, 3))}

    def call(x, gradient):
        from assignments.a1_autograd.engine import backward
        from minidl import Function, Tensor, apply

        class First(Function):
            def forward(self, a, b):
                return 5 * a

            def backward(self, grad_output):
                return 5 * grad_output, None

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

        a, b = Tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
        data = Tensor(x)
        for _ in range(2):
            backward(apply(Join, apply(First, apply(Join, a, data), apply(Double, b)), a), gradient)
        c = Tensor(x.copy(), requires_grad=True)
        once = apply(Join, c, c)
        backward(once, gradient)
        return {
            "a.grad after two calls": a.grad.data,
            "b.grad is None": int(b.grad is None),
            "data.grad is None": int(data.grad is None),
            "c.grad of c + c": c.grad.data,
        }

    def expected(x, gradient):
        return {
            "a.grad after two calls": 12 * gradient,
            "b.grad is None": 1,
            "data.grad is None": 1,
            "c.grad of c + c": 2 * gradient,
        }


@check("1.7", points=1, seconds=20)
class MoreGradients:
    """is_right: operations with options, outputs of another shape, a number as input, errors in corners"""

    def inputs(rng):
        return {"x": rng.uniform(0.5, 1.5, (2, 3, 2)), "bias": rng.uniform(0.5, 1.5, (3, 1))}

    def call(x, bias):
        import numpy

        from assignments.a1_autograd.checker import is_right, numerical_gradient
        from minidl import Function

        class Scaled(Function):
            def forward(self, x, *, by):
                self.by = by
                return by * x

            def backward(self, dy):
                return self.by * dy

        class ScaleForgotten(Scaled):
            def backward(self, dy):
                return dy

        class Shift(Function):
            def forward(self, x, bias):
                return x + bias

            def backward(self, dy):
                return dy, dy.sum(axis=(0, 2))[:, None]

        class BiasNotSummed(Shift):
            def backward(self, dy):
                return dy, dy

        class BiasOfOneSample(Shift):
            def backward(self, dy):
                return dy, dy[0].sum(axis=1, keepdims=True)

        class BiasMean(Shift):
            def backward(self, dy):
                return dy, dy.mean(axis=(0, 2))[:, None]

        class LastForgotten(Scaled):
            def backward(self, dy):
                dx = self.by * dy
                dx[-1, -1, -1] = 0
                return dx

        class Total(Function):
            def forward(self, x):
                self.shape = x.shape
                return numpy.sin(x.sum())

            def backward(self, dy):
                return None

        cases = [
            (Scaled, (x,), {"by": 3.0}, True),
            (Shift, (x, bias), {}, True),
            (ScaleForgotten, (x,), {"by": 3.0}, False),
            (BiasNotSummed, (x, bias), {}, False),
            (BiasOfOneSample, (x, bias), {}, False),
            (BiasMean, (x, bias), {}, False),
            (LastForgotten, (x,), {"by": 3.0}, False),
            (Total, (x,), {}, False),
        ]
        said = [
            bool(is_right(operation, given, numpy.random.default_rng(1), **options))
            for operation, given, options, _ in cases
        ]
        return {
            "operations": numpy.array([operation.__name__ for operation, *_ in cases]),
            "right": numpy.array([right for *_, right in cases]),
            "said": numpy.array(said),
            "of x^2 at one number": numerical_gradient(lambda x: x * x, numpy.array(3.0), numpy.array(2.0)),
        }

    def verify(outputs, x, bias):
        for name, right, said in zip(outputs["operations"], outputs["right"], outputs["said"], strict=True):
            if bool(right) != bool(said):
                return f"is_right said {bool(said)} for {name}, whose backward is {'right' if right else 'wrong'}"
        number = outputs["of x^2 at one number"]
        if numpy.shape(number) != () or abs(number - 12) > 1e-6:
            return f"2 x^2 has the slope 12 at x = 3, numerical_gradient gave {number}"
        return None


@check("1.8", points=1)
class ManyParameters:
    """SGD on groups with settings of their own, one of them uphill; 90,000 numbers, one number, one without gradient"""

    def inputs(rng):
        return {
            "large": rng.standard_normal((300, 300)),
            "small": rng.standard_normal(3),
            "g": rng.standard_normal((3, 300, 300)),
        }

    def call(large, small, g):
        import numpy

        from minidl import Tensor
        from minidl.optim import SGD

        arrays = {
            "large": large,
            "small": small,
            "a number": numpy.array(2.0),
            "without a gradient": small,
            "up": small,
        }
        params = {name: Tensor(array.copy(), requires_grad=True) for name, array in arrays.items()}
        optimizer = SGD(
            [
                {"params": [params["large"], params["a number"]]},
                {"params": [params["small"], params["without a gradient"]], "lr": 0.5, "momentum": 0.0},
                {"params": [params["up"]], "maximize": True},
            ],
            lr=0.01,
            momentum=0.9,
            weight_decay=0.1,
        )
        for gradient in g:
            params["large"].grad = Tensor(gradient.copy())
            params["small"].grad = Tensor(gradient[0, :3].copy())
            params["up"].grad = Tensor(gradient[1, :3].copy())
            params["a number"].grad = Tensor(gradient[0, 0].copy())
            optimizer.step()
        return {name: param.data for name, param in params.items()}


@check("1.9", points=1, seconds=20)
class LearnsByHeart:
    """training_step: 60 steps on one batch of 16 random images bring the loss from about 2.3 below 0.1"""

    def inputs(rng):
        return {"images": rng.standard_normal((16, 64)).astype("float32"), "labels": rng.integers(0, 10, 16)}

    def call(images, labels):
        import minidl
        from assignments.a1_autograd.train import TwoLayerNet, training_step
        from minidl.optim import SGD

        minidl.manual_seed(5)
        net = TwoLayerNet(hidden=32)
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
        batch = minidl.Tensor(images), minidl.Tensor(labels)
        losses = [training_step(net, optimizer, *batch) for _ in range(60)]
        return {"first": losses[0], "last": losses[-1]}

    def verify(outputs, images, labels):
        first, last = outputs["first"], outputs["last"]
        if not 1.8 < first < 3.2:
            return f"the loss of the first step is {first:.3f}: a network that knows nothing is near ln 10 = 2.303"
        return None if last < 0.1 else f"after 60 steps on the same 16 images the loss is still {last:.3f}"
