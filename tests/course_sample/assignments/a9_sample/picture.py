"""The picture at the end: the gradient of the energy along a line."""

import numpy
from assignments.a9_sample.energy import energy, gradient
from matplotlib.figure import Figure


def picture(folder):
    """Draw it into `folder`; returns the file."""
    figure = Figure(figsize=(5, 3), layout="constrained")
    axes = figure.subplots()
    places = numpy.linspace(-1, 1, 50)
    axes.plot(places, [energy(numpy.array([p, 0.5])) for p in places], label="energy")
    axes.plot(places, [gradient(numpy.array([p, 0.5]))[0] for p in places], label="its slope")
    axes.legend()
    path = folder / "a9.png"
    figure.savefig(path)
    return path
