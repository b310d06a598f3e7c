"""The checks of assignment 1: `python -m minidl course test a1` runs all of them, `... test a1 1.3` those of one task.

Each class is one check: `inputs` makes the arrays, `call` runs your code on them. What `call` returns is compared with
what the model solution returns; `verify` looks at a property instead.
"""

from __future__ import annotations

import numpy

from minidl.course.checks import check

EXACT = 1e-11  # what a formula reaches, and a finite difference does not

# ---------------------------------------------------------------------------------------------------------- 1.1 ReLU


@check(
    "1.1",
    points=1,
    hints={
        "y": "by hand: -1 becomes 0, 2 stays 2",
        "x after forward(x, in_place=True)": "with in_place the result stands in x itself",
    },
)
class ReLUForward:
    """ReLU forward: max(x, 0), and over x itself where in_place is set"""

    def inputs(rng):
        x = rng.standard_normal((4, 6))
        x[1, 2] = 0.0
        return {"x": x}

    def call(x):
        from minidl.ops.activation import ReLU

        node = ReLU()
        node.needs_input_grad = (True,)
        y = node.forward(x)
        here = x.copy()
        ReLU().forward(here, in_place=True)
        return {"y": y, "x after forward(x, in_place=True)": here}


@check(
    "1.1",
    points=1,
    rtol=EXACT,
    hints={"grad_x": "dy passes, unchanged, where x > 0; nothing passes elsewhere, nor at x = 0 (two zeros are in x)"},
)
class ReLUBackward:
    """ReLU backward: dy where x > 0, and 0 elsewhere (also at x = 0)"""

    def inputs(rng):
        x = rng.standard_normal((4, 6))
        x[1, 2] = x[2, 4] = 0.0
        return {"x": x, "grad_output": rng.standard_normal((4, 6))}

    def call(x, grad_output):
        from minidl.ops.activation import ReLU

        node = ReLU()
        node.needs_input_grad = (True,)
        node.forward(x)
        return {"grad_x": node.backward(grad_output)}


# ---------------------------------------------------------------------------------------------------- 1.2 arithmetic


@check(
    "1.2",
    points=1,
    rtol=EXACT,
    hints={
        "grad_a": "is it dy times the other factor?",
        "grad_b": "is it dy times the other factor?",
        "returned": "the engine takes a tuple for several gradients: return grad_a, grad_b",
    },
)
class MulBackward:
    """Mul backward: each factor gets dy times the other one"""

    def inputs(rng):
        return {name: rng.standard_normal((3, 5)) for name in ("a", "b", "grad_output")}

    def call(a, b, grad_output):
        from minidl.ops.arithmetic import Mul

        node = Mul()
        node.needs_input_grad = (True, True)
        node.forward(a, b)
        returned = node.backward(grad_output)
        grad_a, grad_b = returned
        return {"grad_a": grad_a, "grad_b": grad_b, "returned": type(returned).__name__}


@check(
    "1.2",
    points=1,
    rtol=EXACT,
    hints={"grad_a": "the slope of a / b in a is 1 / b", "grad_b": "the slope of a / b in b is -a / b^2, with b twice"},
)
class DivBackward:
    """Div backward: dy / b, and -dy a / b^2"""

    def inputs(rng):
        return {
            "a": rng.standard_normal((3, 5)),
            "b": rng.uniform(0.5, 2, (3, 5)) * rng.choice([-1.0, 1.0], (3, 5)),
            "grad_output": rng.standard_normal((3, 5)),
        }

    def call(a, b, grad_output):
        from minidl.ops.arithmetic import Div

        node = Div()
        node.needs_input_grad = (True, True)
        node.forward(a, b)
        returned = node.backward(grad_output)
        grad_a, grad_b = returned
        return {"grad_a": grad_a, "grad_b": grad_b, "returned": type(returned).__name__}


@check("1.2", points=1, rtol=EXACT)
class OnlyWhatIsNeeded:
    """Mul and Div with a Python number as one operand: None for the operand that needs no gradient"""

    def inputs(rng):
        return {"a": rng.uniform(1, 2, (3, 5)), "grad_output": rng.standard_normal((3, 5))}

    def call(a, grad_output):
        from minidl.ops.arithmetic import Div, Mul

        results = {}
        for operation in (Mul, Div):
            name = operation.__name__
            first, second = operation(), operation()
            first.needs_input_grad, second.needs_input_grad = (True, False), (False, True)
            first.forward(a, 3.0)
            second.forward(3.0, a)
            (grad_a, none), (none_too, grad_b) = first.backward(grad_output), second.backward(grad_output)
            results |= {
                f"{name}: grad_a beside a number": grad_a,
                f"{name}: grad_b beside a number": grad_b,
                f"{name}: how many numbers have None for a gradient": int(none is None) + int(none_too is None),
            }
        return results


# -------------------------------------------------------------------------------------------------- 1.3 broadcasting


@check(
    "1.3",
    points=1,
    rtol=EXACT,
    sizes={"the size of dimension 0": 3, "dimension 0 of (2, 3, 4)": 2, "the product of the summed dimensions": 6},
)
class SumOverAddedDimensions:
    """sum_to_shape: dimensions that broadcasting put in front, as for a bias (4,) beside a batch (3, 4)"""

    def inputs(rng):
        return {"gradient": rng.standard_normal((3, 4)), "stack": rng.standard_normal((2, 3, 4))}

    def call(gradient, stack):
        from minidl.elementwise import sum_to_shape

        return {
            "(3, 4) to (4,)": sum_to_shape(gradient, (4,)),
            "(2, 3, 4) to (4,)": sum_to_shape(stack, (4,)),
            "(2, 3, 4) to (3, 4)": sum_to_shape(stack, (3, 4)),
        }


@check(
    "1.3",
    points=1,
    rtol=EXACT,
    sizes={"the size of dimension 1": 4, "the size of dimension 0": 3, "3 x 4, dimensions 1 and 2": 12, "2 x 4": 8},
)
class SumOverStretchedDimensions:
    """sum_to_shape: dimensions of size 1 that were stretched, as for (3, 1) beside (3, 4)"""

    def inputs(rng):
        return {"gradient": rng.standard_normal((3, 4)), "stack": rng.standard_normal((2, 3, 4))}

    def call(gradient, stack):
        from minidl.elementwise import sum_to_shape

        return {
            "(3, 4) to (3, 1)": sum_to_shape(gradient, (3, 1)),
            "(3, 4) to (1, 4)": sum_to_shape(gradient, (1, 4)),
            "(2, 3, 4) to (2, 1, 1)": sum_to_shape(stack, (2, 1, 1)),
            "(2, 3, 4) to (3, 1)": sum_to_shape(stack, (3, 1)),
            "(3, 4) to (3, 4)": sum_to_shape(gradient, (3, 4)),
        }


# ------------------------------------------------------------------------------------------------ 1.4 matrix products


@check("1.4", points=1, rtol=EXACT)
class MatMulBackward:
    """MatMul backward of two matrices, square ones, and (4, 3) times (3, 5): dy b^T and a^T dy"""

    def inputs(rng):
        return {
            "square": rng.standard_normal((3, 3, 3)),
            "a": rng.standard_normal((4, 3)),
            "b": rng.standard_normal((3, 5)),
            "grad_output": rng.standard_normal((4, 5)),
        }

    def call(square, a, b, grad_output):
        from minidl.ops.linear import MatMul

        results = {}
        for which, (left, right, dy) in {"square": square, "oblong": (a, b, grad_output)}.items():
            node = MatMul()
            node.needs_input_grad = (True, True)
            node.forward(left, right)
            grad_a, grad_b = node.backward(dy)
            results |= {f"grad_a, {which}": grad_a, f"grad_b, {which}": grad_b}
        return results


@check("1.4", points=1, rtol=EXACT)
class MatMulBackwardOfStacks:
    """MatMul backward of a stack (2, 4, 3) and one matrix (3, 5), which gets the sum over the stack; of vectors"""

    def inputs(rng):
        return {
            "a": rng.standard_normal((2, 4, 3)),
            "b": rng.standard_normal((3, 5)),
            "v": rng.standard_normal(3),
            "grad_output": rng.standard_normal((2, 4, 5)),
        }

    def call(a, b, v, grad_output):
        from minidl.ops.linear import MatMul

        results = {}
        cases = {
            "stack times matrix": (a, b, grad_output),
            "vector times matrix": (v, b, grad_output[0, 0]),
            "stack times vector": (a, v, grad_output[..., 0]),
        }
        for which, (left, right, dy) in cases.items():
            node = MatMul()
            node.needs_input_grad = (True, True)
            node.forward(left, right)
            grad_a, grad_b = node.backward(dy)
            results |= {f"grad_a, {which}": grad_a, f"grad_b, {which}": grad_b}
        return results


@check("1.4", points=1, rtol=EXACT, sizes={"the batch size": 7})
class LinearBackward:
    """Linear backward: dy W for x, dy^T x for the weight, the sum of dy over the batch for the bias"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((7, 3)),
            "weight": rng.standard_normal((5, 3)),
            "bias": rng.standard_normal(5),
            "grad_output": rng.standard_normal((7, 5)),
        }

    def call(x, weight, bias, grad_output):
        from minidl.ops.linear import Linear

        node = Linear()
        node.needs_input_grad = (True, True, True)
        node.forward(x, weight, bias)
        grad_x, grad_weight, grad_bias = node.backward(grad_output)
        return {"grad_x": grad_x, "grad_weight": grad_weight, "grad_bias": grad_bias}


# ------------------------------------------------------------------------------------------ 1.5 softmax cross-entropy


@check(
    "1.5",
    points=1,
    hints={
        "of x": "over dimension 1, each row by itself; ln p, not p",
        "of large scores": "take each row's own maximum first; the logarithm of a p that became 0 is -inf",
    },
)
class LogSoftmaxIsStable:
    """log_softmax of small scores, and of scores of a thousand, whose e^x is larger than any float"""

    def inputs(rng):
        x = rng.standard_normal((3, 4))
        return {"x": x, "large": 1000 * x + numpy.array([[0], [4000], [-4000]])}

    def call(x, large):
        from minidl.ops.activation import log_softmax

        return {"of x": log_softmax(x, 1), "of large scores": log_softmax(large, 1)}


@check(
    "1.5",
    points=1,
    sizes={"the batch size": 6, "the number of classes": 4},
    hints={"y": "one number of each row, that of its own label; minus; the mean of them"},
)
class CrossEntropyForward:
    """SoftmaxCrossEntropy forward: the mean over the batch, one number"""

    def inputs(rng):
        return {"x": rng.standard_normal((6, 4)), "labels": rng.integers(0, 4, 6)}

    def call(x, labels):
        from assignments.a1_autograd.cross_entropy import SoftmaxCrossEntropy

        node = SoftmaxCrossEntropy()
        node.needs_input_grad = (True, False)
        return {"y": node.forward(x, labels)}


@check(
    "1.5",
    points=1,
    rtol=EXACT,
    sizes={"the batch size": 6, "the number of classes": 4},
    hints={"grad_x": "dy (p - onehot) / N: p from the saved ln p, 1 less at each row's label; and dy is not 1 here"},
)
class CrossEntropyBackward:
    """SoftmaxCrossEntropy backward: dy (p - onehot) / N, for a dy that is not 1"""

    def inputs(rng):
        return {
            "x": rng.standard_normal((6, 4)),
            "labels": rng.integers(0, 4, 6),
            "grad_output": numpy.array(rng.uniform(2, 3)),
        }

    def call(x, labels, grad_output):
        from assignments.a1_autograd.cross_entropy import SoftmaxCrossEntropy

        node = SoftmaxCrossEntropy()
        node.needs_input_grad = (True, False)
        node.forward(x, labels)
        grad_x, grad_labels = node.backward(grad_output)
        return {"grad_x": grad_x, "no gradient for the labels": int(grad_labels is None)}


# --------------------------------------------------------------------------------------------------- 1.6 the engine


@check("1.6", points=1)
class OrderOfADiamond:
    """order: each node once, and before the nodes that it uses; z = ((x^2)^3 + data) + x^2, a graph with a diamond"""

    def inputs(rng):
        return {"x": rng.standard_normal(3)}

    def call(x):
        import numpy

        from assignments.a1_autograd.engine import order
        from minidl import Function, Tensor, apply

        class Square(Function):
            def forward(self, x):
                return x * x

        class Cube(Function):
            def forward(self, x):
                return x**3

        class Join(Function):
            def forward(self, a, b):
                return a + b

        leaf, data = Tensor(x, requires_grad=True), Tensor(x)
        squared = apply(Square, leaf)
        cubed = apply(Join, apply(Cube, squared), data)
        root = apply(Join, cubed, squared).grad_fn

        nodes = list(order(root))
        numbers = {node: i for i, node in enumerate(dict.fromkeys(nodes))}
        if None in numbers:
            return {
                "order": numpy.zeros(0, int),
                "names": numpy.array(["None among the nodes"]),
                "uses": numpy.zeros((0, 2), int),
            }
        uses = [(node, source) for node in numbers for source, _ in node.next_functions if source is not None]
        known = all(source in numbers for _, source in uses)
        return {
            "order": numpy.array([numbers[node] for node in nodes]),
            "names": numpy.array([node.name() for node in nodes]),
            "uses": numpy.array([(numbers[a], numbers[b]) for a, b in uses] if known else [(-1, -1)]),
        }

    def verify(outputs, x):
        names = ", ".join(str(name) for name in outputs["names"]) or "nothing"
        found = f"order(root) gave {names}"
        if "None among the nodes" in names:
            return "order(root) has None in it: an input that wants no gradient (data, a number) has no node"
        if len(set(outputs["order"].tolist())) < len(outputs["order"]):
            return f"{found}: a node came up more than once. Its backward would run with half of its gradient each time"
        if outputs["uses"].min(initial=0) < 0 or len(outputs["order"]) != 5:
            return f"{found}: expected the five nodes Join, Join, Cube, Square, AccumulateGrad (the leaf) in some order"
        for user, source in outputs["uses"]:
            if user > source:
                return (
                    f"{found}: {outputs['names'][source]} came up before {outputs['names'][user]}, which uses it. When "
                    "a node has its turn, all of its users must have had theirs: go from the newest to the oldest"
                )
        return None


@check("1.6", points=1)
class Accumulate:
    """accumulate: the first gradient, the sum from the second on, and no array changed in place"""

    def inputs(rng):
        return {name: rng.standard_normal(4) for name in ("first", "second", "third")}

    def call(first, second, third):
        from assignments.a1_autograd.engine import accumulate
        from minidl import Function

        node, other = Function(), Function()
        arrived = {}
        accumulate(arrived, node, first)
        accumulate(arrived, other, first)
        accumulate(arrived, node, second)
        accumulate(arrived, node, third)
        return {"first + second + third": arrived.get(node), "first alone, at another node": arrived.get(other)}


@check(
    "1.6",
    points=1,
    rtol=EXACT,
    hints={
        "b.grad": "does each node send on what arrived at itself, to its sources?",
        "c.grad of 3 c, without a gradient given": "ones in the shape of the output",
    },
)
class BackwardThroughADiamond:
    """backward: z = 3 x^2 + (x^2)^3 for two leaves, one of them used twice, with a gradient that is given"""

    def inputs(rng):
        return {"x": rng.standard_normal(4), "w": rng.standard_normal(4), "gradient": rng.standard_normal(4)}

    def call(x, w, gradient):
        from assignments.a1_autograd.engine import backward
        from minidl import Function, Tensor, apply

        class Square(Function):
            def forward(self, x):
                self.save_for_backward(x)
                return x * x

            def backward(self, grad_output):
                (x,) = self.saved_tensors
                return grad_output * 2 * x

        class Triple(Function):
            def forward(self, x):
                return 3 * x

            def backward(self, grad_output):
                return 3 * grad_output

        class Join(Function):
            def forward(self, a, b):
                return a + b

            def backward(self, grad_output):
                return grad_output, grad_output

        a, b = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
        squared = apply(Square, apply(Join, a, b))
        z = apply(Join, apply(Join, apply(Triple, squared), apply(Square, squared)), a)
        c = Tensor(x, requires_grad=True)
        backward(z, gradient.copy())
        backward(apply(Triple, c))
        leaves = {"a.grad": a, "b.grad": b, "c.grad of 3 c, without a gradient given": c}
        return {name: None if leaf.grad is None else leaf.grad.data for name, leaf in leaves.items()}

    def expected(x, w, gradient):
        u = x + w
        through = gradient * (6 * u + 4 * u**3)
        return {
            "a.grad": through + gradient,
            "b.grad": through,
            "c.grad of 3 c, without a gradient given": numpy.full(4, 3.0),
        }


# -------------------------------------------------------------------------------------------------- 1.7 the checker


@check(
    "1.7",
    points=1,
    rtol=1e-6,
    hints={
        "dx": "both sides of x, 2 eps apart; weighted by grad_output; nearly right is a difference from one side alone"
    },
)
class NumericalGradient:
    """numerical_gradient: central differences of a function whose slope bends, with weights for its outputs"""

    def inputs(rng):
        return {
            "x": rng.uniform(1, 2, (2, 3)),
            "matrix": rng.standard_normal((3, 4)),
            "grad_output": rng.standard_normal((2, 4)),
        }

    def call(x, matrix, grad_output):
        from assignments.a1_autograd.checker import numerical_gradient

        return {"dx": numerical_gradient(lambda x: x**3 @ matrix, x, grad_output, eps=1e-4)}

    def expected(x, matrix, grad_output):
        return {"dx": 3 * x**2 * (grad_output @ matrix.T)}


@check("1.7", points=1)
class Agrees:
    """agrees: equal up to rounding, or not; another shape, a NaN, and None are wrong"""

    def inputs(rng):
        return {"numerical": rng.uniform(1, 2, (3, 4))}

    def call(numerical):
        import numpy

        from assignments.a1_autograd.checker import agrees

        one_off, not_a_number, below = numerical.copy(), numerical.copy(), numerical.copy()
        one_off[1, 2] += 0.01
        below[2, 1] -= 0.01
        not_a_number[0, 0] = numpy.nan
        cases = {
            "the same": numerical.copy(),
            "off by 1e-9": numerical + 1e-9,
            "a thousandth larger": 1.001 * numerical,
            "one element too large": one_off,
            "one element too small": below,
            "the sign": -numerical,
            "NaN in one element": not_a_number,
            "None": None,
        }
        said = [bool(agrees(gradient, numerical)) for gradient in cases.values()]
        cases["another shape, (1, 4) for (3, 4)"] = None
        said.append(bool(agrees(numpy.ones((1, 4)), numpy.ones((3, 4)))))
        return {"cases": numpy.array(list(cases)), "said": numpy.array(said)}

    def verify(outputs, numerical):
        for case, said in zip(outputs["cases"], outputs["said"], strict=True):
            right = case in ("the same", "off by 1e-9")
            if bool(said) != right:
                return f"agrees said {bool(said)} for a gradient that is {'right' if right else 'wrong'}: {case}"
        return None


@check("1.7", points=2, seconds=20)
class WhichGradientsItCatches:
    """is_right: it must let four right backwards pass, and catch ten wrong ones"""

    def inputs(rng):
        return {
            "x": rng.uniform(0.5, 1.5, (3, 4)),
            "b": rng.uniform(0.5, 1.5, (4, 3)),
            "square": rng.uniform(0.5, 1.5, (3, 3)),
            "order": rng.permutation(14),
        }

    def call(x, b, square, order):
        import numpy

        from assignments.a1_autograd.checker import is_right
        from minidl import Function

        class Square(Function):
            def forward(self, x):
                self.x = x
                return x * x

            def backward(self, dy):
                return 2 * self.x * dy

        class SignFlipped(Square):
            def backward(self, dy):
                return -2 * self.x * dy

        class FactorForgotten(Square):
            def backward(self, dy):
                return self.x * dy

        class OffByAThousandth(Square):
            def backward(self, dy):
                return 2.002 * self.x * dy

        class OneElementWrong(Square):
            def backward(self, dy):
                dx = 2 * self.x * dy
                dx[-1, -1] *= 1.01
                return dx

        class IgnoresGradOutput(Square):
            def backward(self, dy):
                return 2 * self.x

        class GivesNaN(Square):
            def backward(self, dy):
                return 2 * self.x * dy * numpy.nan

        class Softmax(Function):
            def forward(self, x):
                e = numpy.exp(x - x.max(axis=1, keepdims=True))
                self.y = e / e.sum(axis=1, keepdims=True)
                return self.y

            def backward(self, dy):
                return self.y * (dy - (dy * self.y).sum(axis=1, keepdims=True))

        class SoftmaxThatSendsNothing(Softmax):
            def backward(self, dy):
                return numpy.zeros_like(dy)

        class Product(Function):
            def forward(self, a, b):
                self.a, self.b = a, b
                return a @ b

            def backward(self, dy):
                return dy @ self.b.T, self.a.T @ dy

        class SecondTransposed(Product):
            def backward(self, dy):
                return dy @ self.b.T, dy.T @ self.a

        class SecondMissing(Product):
            def backward(self, dy):
                return dy @ self.b.T, None

        class NotSummed(Function):
            def forward(self, x):
                return x.sum(axis=0)

            def backward(self, dy):
                return dy

        cases = [
            (Square, (x,)),
            (Softmax, (x,)),
            (Product, (x, b)),
            (Product, (square, square.T.copy())),
            (SignFlipped, (x,)),
            (FactorForgotten, (x,)),
            (OffByAThousandth, (x,)),
            (OneElementWrong, (x,)),
            (IgnoresGradOutput, (x,)),
            (GivesNaN, (x,)),
            (SoftmaxThatSendsNothing, (x,)),
            (SecondTransposed, (square, square.T.copy())),
            (SecondMissing, (x, b)),
            (NotSummed, (x,)),
        ]
        for operation, _ in cases:
            operation.name_here, operation.__name__ = (
                operation.__dict__.get("name_here", operation.__name__),
                "Operation",
            )
        said = numpy.zeros(len(cases), bool)
        for case in order:
            operation, given = cases[case]
            said[case] = is_right(operation, given, numpy.random.default_rng(case))
        return {"operations": numpy.array([operation.name_here for operation, _ in cases]), "said": said}

    def verify(outputs, **inputs):
        said, names = outputs["said"], outputs["operations"]
        right = numpy.arange(len(said)) < 4
        missed = [str(name) for name, s, r in zip(names, said, right, strict=True) if s and not r]
        blamed = sorted({str(name) for name, s, r in zip(names, said, right, strict=True) if r and not s})
        if blamed:
            return (
                f"is_right said False for {', '.join(blamed)}, whose backward is right: do the first two checks of "
                "this task pass? Is every input moved by itself, with the others as they are?"
            )
        if missed:
            help = ""
            if {"IgnoresGradOutput", "SoftmaxThatSendsNothing"} & set(missed):
                help = ". Is grad_output drawn at random? With ones, two of these look right: "
                help += "IgnoresGradOutput and SoftmaxThatSendsNothing"
            elif {"SecondTransposed", "SecondMissing"} & set(missed):
                help = ". Is every input checked, or the first alone?"
            return f"is_right said True for {', '.join(missed)}, whose backward is wrong{help}"
        return None


# -------------------------------------------------------------------------------------------------------- 1.8 SGD


@check(
    "1.8",
    points=1,
    hints={
        "p, plain": "p -= lr g changes the array that the network holds; p = p - lr g makes another one",
        "p, weight decay": "descent(p, g, group) is g with the weight decay in it",
        "the array is the same one, plain": "0 is no, 1 is yes: param.data = ... is another array, p -= ... this one",
        "the array is the same one, weight decay": "0 is no and 1 is yes, as above",
        "g afterwards, weight decay": "g + wd p is a new array: the gradient itself stays as it is",
    },
)
class PlainSGD:
    """SGD without momentum: p <- p - lr g, in place; with weight decay g + wd p in place of g"""

    def inputs(rng):
        return {"p": rng.standard_normal((2, 3)), "g": rng.standard_normal((4, 2, 3))}

    def call(p, g):
        from minidl import Tensor
        from minidl.optim import SGD

        results = {}
        for name, settings in {"plain": {}, "weight decay": {"weight_decay": 0.3}}.items():
            param = Tensor(p.copy(), requires_grad=True)
            array = param.data
            optimizer = SGD([param], lr=0.1, **settings)
            for gradient in g:
                param.grad = Tensor(gradient.copy())
                optimizer.step()
            results[f"p, {name}"] = param.data
            results[f"the array is the same one, {name}"] = int(param.data is array)
            results[f"g afterwards, {name}"] = param.grad
        return results


@check(
    "1.8",
    points=1,
    hints={
        "p after step 1": "in the first step v = g (with weight decay), and p -= lr v in place; by hand: 1 becomes 0.9",
        "p after step 2": "v is remembered where it is changed in place (v *= ..., v += ..., v[...] = ...); v = ... is "
        "another array, which is forgotten",
        "p after step 3": "right until here? Then v is not what was remembered: change it in place",
    },
)
class SGDWithMomentum:
    """SGD with momentum, step by step: v <- momentum v + g, v = g in the first step; p <- p - lr v"""

    def inputs(rng):
        return {"p": rng.standard_normal((2, 3)), "g": rng.standard_normal((4, 2, 3))}

    def call(p, g):
        from minidl import Tensor
        from minidl.optim import SGD

        param = Tensor(p.copy(), requires_grad=True)
        optimizer = SGD([param], lr=0.1, momentum=0.8, weight_decay=0.05)
        results = {}
        for step, gradient in enumerate(g, start=1):
            param.grad = Tensor(gradient.copy())
            optimizer.step()
            results[f"p after step {step}"] = param.data.copy()
        v = optimizer.state[param].get("momentum_buffer")
        results["v = state['momentum_buffer']"] = None if v is None else v.data
        return results


@check(
    "1.8",
    points=1,
    hints={
        "p after step 1, nesterov": "p -= lr (g + momentum v), with the new v; by hand: 1 becomes 0.81",
        "p after step 1, dampening": 'v = g in the first step: ask `"momentum_buffer" in state` before buffer(...), '
        "which puts it there",
        "p after step 2, dampening": "from the second step on v <- momentum v + (1 - dampening) g",
    },
)
class SGDWithNesterov:
    """SGD with Nesterov's momentum, and with dampening, which the first step does not have"""

    def inputs(rng):
        return {"p": rng.standard_normal((2, 3)), "g": rng.standard_normal((4, 2, 3))}

    def call(p, g):
        from minidl import Tensor
        from minidl.optim import SGD

        results = {}
        for name, settings in {"nesterov": {"nesterov": True}, "dampening": {"dampening": 0.4}}.items():
            param = Tensor(p.copy(), requires_grad=True)
            optimizer = SGD([param], lr=0.1, momentum=0.8, **settings)
            for step, gradient in enumerate(g, start=1):
                param.grad = Tensor(gradient.copy())
                optimizer.step()
                results[f"p after step {step}, {name}"] = param.data.copy()
        return results


# ------------------------------------------------------------------------------------------------------ 1.9 training


@check("1.9", points=1, rtol=1e-5, hints={"scores": "fc1, then relu, then fc2; nothing behind fc2, no softmax"})
class Scores:
    """TwoLayerNet.forward: max(x W1^T + b1, 0) W2^T + b2"""

    def inputs(rng):
        return {"images": rng.standard_normal((5, 64)).astype("float32")}

    def call(images):
        import minidl
        from assignments.a1_autograd.train import TwoLayerNet

        minidl.manual_seed(3)
        net = TwoLayerNet(hidden=16)
        with minidl.no_grad():
            return {"scores": net(minidl.Tensor(images)).data}


@check(
    "1.9",
    points=1,
    rtol=1e-3,
    hints={
        "loss before the first step": "the scores go into cross_entropy as they are; is the check of the scores green?",
        "loss before the third step": "right until here, and the weights move? Then the gradients of the step before "
        "stay: zero_grad",
        "how many of the steps moved the weights": "zero_grad, scores, loss, backward, step: in this order",
        "a number came back": "0 is no, 1 is yes: loss.item() is the number in a Tensor",
    },
)
class OneStep:
    """training_step: the loss before each of three steps, and the parameters after them"""

    def inputs(rng):
        return {"images": rng.standard_normal((3, 8, 64)).astype("float32"), "labels": rng.integers(0, 10, (3, 8))}

    def call(images, labels):
        import minidl
        from assignments.a1_autograd.train import TwoLayerNet, training_step
        from minidl.optim import SGD

        minidl.manual_seed(3)
        net = TwoLayerNet(hidden=16)
        optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses, moved = [], 0
        for x, t in zip(images, labels, strict=True):
            before = net.fc1.weight.data.copy()
            losses.append(training_step(net, optimizer, minidl.Tensor(x), minidl.Tensor(t)))
            moved += int((net.fc1.weight.data != before).any())
        return {
            "loss before the first step": losses[0],
            "loss before the second step": losses[1],
            "loss before the third step": losses[2],
            "how many of the steps moved the weights": moved,
            "a number came back": int(not any(isinstance(loss, minidl.Tensor) for loss in losses)),
            "fc1.weight": net.fc1.weight.data,
        }


@check("1.9", points=2, seconds=60)
class ReadsDigits:
    """train: after 15 epochs at least 95 % of 360 unseen digits are read right"""

    def inputs(rng):
        from assignments.a1_autograd.train import digits

        images, labels = digits(training=True)
        return {"images": images, "labels": labels, "unseen": rng.permutation(digits(training=False)[0])}

    def call(images, labels, unseen):
        import numpy

        from assignments.a1_autograd.train import answers, train

        net, losses = train(images, labels)
        return {"answers": answers(net, unseen), "losses": numpy.array([float(loss) for loss in losses])}

    def verify(outputs, images, labels, unseen):
        from assignments.a1_autograd.train import digits

        losses, said = outputs["losses"], outputs["answers"]
        known = {image.tobytes(): label for image, label in zip(*digits(training=False), strict=True)}
        truth = numpy.array([known[image.tobytes()] for image in unseen])
        if said.shape != truth.shape:
            return f"answers gave an array of shape {said.shape} for 360 images"
        right = (said == truth).mean()
        if right >= 0.95:
            return None
        return (
            f"{right:.1%} of the unseen digits are right, expected at least 95 %. The loss went from "
            f"{losses[:20].mean():.3f} (mean of the first 20 steps; ln 10 = 2.303 is what guessing gives) to "
            f"{losses[-20:].mean():.3f} (the last 20). "
            "Do the gradients of the step before stay (zero_grad)? Is step called, behind backward?"
        )
