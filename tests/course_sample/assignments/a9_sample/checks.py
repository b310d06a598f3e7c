"""What a student sees of the checks."""

import numpy

from minidl.course.checks import check


def leaky(positive, slope):
    from minidl.course.apart import apart
    from minidl.ops.activation import LeakyReLU

    return apart(LeakyReLU, positive, negative_slope=slope)


@check("9.1", points=2, seconds=1)
class LeakyGradient:
    """dx of a leaky ReLU"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 4)), "grad_output": rng.standard_normal((3, 4)), "slope": 0.1}

    def call(x, grad_output, slope):
        return {"grad_x": leaky(x > 0, slope).backward(grad_output)}

    def expected(x, grad_output, slope):
        return {"grad_x": numpy.where(x > 0, grad_output, slope * grad_output)}


@check("9.2", points=1, repeat=True, seconds=1)
class SoftmaxValues:
    """Rows of a softmax sum to 1"""

    def inputs(rng):
        return {"x": rng.standard_normal((3, 4)), "dim": 1}

    def call(x, dim):
        from minidl.course.apart import apart
        from minidl.ops.activation import Softmax

        return {"y": apart(Softmax).forward(x, dim=dim)}


@check("9.2", points=1, seconds=1)
class SoftmaxGradient:
    """dx of a softmax"""

    def inputs(rng):
        return {"y": rng.dirichlet(numpy.ones(4), 3), "grad_output": rng.standard_normal((3, 4)), "dim": 1}

    def call(y, grad_output, dim):
        from minidl.course.apart import apart
        from minidl.ops.activation import Softmax

        return {"grad_x": apart(Softmax, y, dim=dim).backward(grad_output)}


@check("9.3", seconds=1)
class Gradient:
    """the gradient of the energy of five numbers"""

    def inputs(rng):
        return {"x": rng.standard_normal(5)}

    def call(x):
        from assignments.a9_sample.energy import gradient

        return {"gradient": gradient(x)}


@check("9.4", points=2)
class Descends:
    """the gradient through three steps"""

    def inputs(rng):
        return {"x": rng.standard_normal(6)}

    def call(x):
        from assignments.a9_sample.energy import descend

        return {"grad_x": descend(x, 3, 0.1)}

    def verify(outputs, x):
        right = numpy.where(x > 0, 0.9**3, 0.45**3)
        return None if numpy.allclose(outputs["grad_x"], right) else f"{outputs['grad_x'][0]} for {right[0]}"
