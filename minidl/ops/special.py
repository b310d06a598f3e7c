"""Special functions that NumPy lacks, on plain arrays."""

from __future__ import annotations

from minidl.backend import array_module

# W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23 (1969), as in his program
# CALERF: numerator and denominator, the highest power first.
_NEAR = (  # erf(x) / x in x^2, for |x| <= 0.46875
    (0.185777706184603153, 3.16112374387056560, 113.864154151050156, 377.485237685302021, 3209.37758913846947),
    (1.0, 23.6012909523441209, 244.024637934444173, 1282.61652607737228, 2844.23683343917062),
)
_FAR = (  # exp(x^2) (1 - erf(x)) in x, for 0.46875 <= x <= 4; beyond, its error is far below the last digit of erf
    (
        2.15311535474403846e-8, 0.564188496988670089, 8.88314979438837594, 66.1191906371416295, 298.635138197400131,
        881.952221241769090, 1712.04761263407058, 2051.07837782607147, 1230.33935479799725,
    ),
    (
        1.0, 15.7449261107098347, 117.693950891312499, 537.181101862009858, 1621.38957456669019,
        3290.79923573345963, 4362.61909014324716, 3439.36767414372164, 1230.33935480374942,
    ),
)  # fmt: skip


def erf(x):
    """2 / sqrt(pi) times the integral of exp(-t^2) over t from 0 to x, to the last digits of float32 or float64."""
    xp = array_module(x)
    distance = xp.minimum(abs(x), 6)  # erf(6) is 1 to the last digit of float64
    square = distance * distance
    near = x * _ratio(_NEAR, xp.minimum(square, 1))  # a rational function of large x overflows
    far = xp.copysign(1 - xp.exp(-square) * _ratio(_FAR, distance), x)
    return xp.where(distance <= 0.46875, near, far)


def _ratio(coefficients, x):
    """The quotient of two polynomials, by Horner's rule."""
    numerator, denominator = coefficients
    return _polynomial(numerator, x) / _polynomial(denominator, x)


def _polynomial(coefficients, x):
    first, second, *rest = coefficients
    y = first * x + second
    for coefficient in rest:
        y *= x
        y += coefficient
    return y
