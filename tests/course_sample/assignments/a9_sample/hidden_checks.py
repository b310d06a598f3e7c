"""What a student does not see of the checks."""

from minidl.course.checks import check

SECRET = "a word that stands in the hidden checks alone"


@check("9.1", seconds=1)
class LeakyGradientOfAScalar:
    """dx of a leaky ReLU of an array without axes"""

    def inputs(rng):
        return {"x": rng.standard_normal((1,)), "grad_output": rng.standard_normal((1,)), "slope": 0.3}

    def call(x, grad_output, slope):
        from minidl.course.apart import apart
        from minidl.ops.activation import LeakyReLU

        node = apart(LeakyReLU, (x > 0).reshape(()), negative_slope=slope)
        return {"grad_x": node.backward(grad_output.reshape(()))}


@check("9.3", points=2, seconds=0.5)
class GradientOfMany:
    """the gradient of the energy of 30,000 numbers, in half a second"""

    def inputs(rng):
        return {"x": rng.standard_normal(30_000)}

    def call(x):
        from assignments.a9_sample.energy import gradient

        return {"gradient": gradient(x)}
