"""Losses: one number for each position (or each element), l_i, and their reduction.

`reduction` is "none" (y = l), "sum" (y = sum l_i) or "mean" (y = sum l_i / count). What follows is written for "none":
dy stands for the gradient of l_i, which is dy of the result for "sum", and that divided by the count for "mean".
"""

from __future__ import annotations

import math

from minidl.backend import array_module
from minidl.function import Function
from minidl.ops.activation import log_softmax, sigmoid, softplus


def reduced(loss, reduction):
    """The losses l_i as the result y. The mean of nothing is NaN."""
    if reduction == "none":
        return loss
    return loss.sum() if reduction == "sum" else loss.sum() / (loss.size or math.nan)


def of_each(grad_output, reduction, count):
    """The gradient of each l_i, from that of y."""
    return grad_output / max(count, 1) if reduction == "mean" else grad_output


# ------------------------------------------------------------------------------------------------- classification


class CrossEntropy(Function):
    """l = -w_t ln p_t                  dx_c = dy w_t (p_c - [c = t])             p = softmax(x)

    x: scores (N, C, ...) or (C,); target t: a class 0..C-1 for each position, (N, ...) or (); weight w: (C,) or None.
    Label smoothing e (Szegedy et al., CVPR 2016, sec. 7) gives each class a part:

        l = -sum_c w_c q_c ln p_c       q_c = (1 - e) [c = t] + e / C

    Positions whose target is `ignore_index` do not count. "mean" divides by the sum of the w_t that count, as PyTorch
    does, not by their number; where that is 0, y is NaN and dx is 0.
    """

    def forward(self, x, target, weight, *, ignore_index, label_smoothing, reduction):
        log_p = log_softmax(x, class_dim(x.shape))
        loss, *shares = _likelihood(log_p, target, weight, ignore_index, label_smoothing, reduction)
        self.save_for_backward(log_p, *shares)
        return loss

    def backward(self, grad_output):
        log_p, *shares = self.saved_tensors
        grad = _likelihood_gradient(grad_output, log_p.shape, *shares)  # of ln p; then as in LogSoftmax
        grad -= array_module(log_p).exp(log_p) * grad.sum(axis=class_dim(log_p.shape), keepdims=True)
        return grad, None, None


class NLLLoss(Function):
    """l = -w_t x_t                     dx_c = -dy w_t [c = t]

    x: logarithms of probabilities. Everything else as in CrossEntropy.
    """

    def forward(self, x, target, weight, *, ignore_index, reduction):
        self.shape = x.shape
        loss, *shares = _likelihood(x, target, weight, ignore_index, 0, reduction)
        self.save_for_backward(*shares)
        return loss

    def backward(self, grad_output):
        return _likelihood_gradient(grad_output, self.shape, *self.saved_tensors), None, None


def class_dim(shape):
    """The dimension of the classes: 1 in (N, C, ...), 0 in (C,)."""
    return min(len(shape) - 1, 1)


def _likelihood(log_p, target, weight, ignore_index, label_smoothing, reduction):
    """-(hard ln p_t + soft sum_c w_c ln p_c), reduced; then target, hard, soft and the w_c, for the gradient.

    hard, soft: what each position counts, (N, ...); soft and w_c are None without smoothing. The target that is
    returned has a class also where it is ignored.
    """
    xp = array_module(log_p)
    dim = class_dim(log_p.shape)
    kept = target != ignore_index
    target = xp.where(kept, target, 0)
    soft = kept.astype(log_p.dtype)
    hard = soft if weight is None else soft * weight[target]
    if reduction == "mean":
        total = hard.sum()
        share = 1 / xp.where(total == 0, xp.inf, total)
        hard, soft = hard * share, soft * share

    picked = xp.where(kept, log_p[_at_class(xp, target, dim)], 0)  # where ignored it may be -inf  (N, ...)
    if not label_smoothing:
        soft = weights = None
        loss = -hard * picked
    else:
        classes = log_p.shape[dim]
        weights = xp.ones(classes, log_p.dtype) if weight is None else weight
        weights = weights.reshape((classes,) + (1,) * (log_p.ndim - dim - 1))  # (C, 1, ...)
        hard, soft = hard * (1 - label_smoothing), soft * (label_smoothing / classes)
        of_all = (weights * xp.where(xp.expand_dims(kept, dim), log_p, 0)).sum(axis=dim)
        loss = -hard * picked - soft * of_all
    if reduction != "none":
        loss = loss.sum()
    if reduction == "mean":
        loss = xp.where(total == 0, xp.nan, loss)
    return loss, target, hard, soft, weights


def _likelihood_gradient(grad_output, shape, target, hard, soft, weights):
    """The gradient of ln p, an array of `shape`, from what `_likelihood` returned."""
    xp = array_module(hard)
    dim = class_dim(shape)
    grad = xp.zeros(shape, hard.dtype)
    if soft is not None:
        grad -= xp.expand_dims(grad_output * soft, dim) * weights
    grad[_at_class(xp, target, dim)] -= grad_output * hard
    return grad


def _at_class(xp, target, dim):
    """The index that picks, at each position, the entry of its target class from an array with classes at `dim`."""
    index = list(xp.ix_(*map(xp.arange, target.shape)))
    index.insert(dim, target)
    return tuple(index)


class SoftCrossEntropy(Function):
    """l = -sum_c w_c q_c ln p_c        dx_c = dy (p_c sum_k w_k q_k - w_c q_c),  dt_c = -dy w_c (1 - e) ln p_c

    x: scores (N, C, ...) or (C,); target t: the probability of each class, in the shape of x; weight w: (C,) or None;
    p = softmax(x); q = (1 - e) t + e / C with label smoothing e. "mean" divides by the number of positions.
    """

    def forward(self, x, target, weight, *, label_smoothing, reduction):
        self.dim, self.label_smoothing, self.reduction = class_dim(x.shape), label_smoothing, reduction
        classes = x.shape[self.dim]
        log_p = log_softmax(x, self.dim)
        q = (1 - label_smoothing) * target + label_smoothing / classes
        if weight is not None:
            weight = weight.reshape((classes,) + (1,) * (x.ndim - self.dim - 1))  # (C, 1, ...)
            q *= weight
        self.save_for_backward(log_p, q, weight)
        return reduced(-(q * log_p).sum(axis=self.dim), reduction)

    def backward(self, grad_output):
        log_p, q, weight = self.saved_tensors
        xp = array_module(log_p)
        need_x, need_target, _ = self.needs_input_grad
        grad = of_each(grad_output, self.reduction, log_p.size // log_p.shape[self.dim])
        if self.reduction == "none":
            grad = xp.expand_dims(grad, self.dim)
        grad_x = grad_target = None
        if need_x:
            grad_x = grad * (xp.exp(log_p) * q.sum(axis=self.dim, keepdims=True) - q)
        if need_target:
            grad_target = grad * (self.label_smoothing - 1) * log_p
            if weight is not None:
                grad_target *= weight
        return grad_x, grad_target, None


class BinaryCrossEntropy(Function):
    """l = -w (t ln x + (1 - t) ln(1 - x))               dx = dy w (x - t) / (x (1 - x)),  dt = dy w (ln(1 - x) - ln x)

    x: probabilities; target t: the same shape; weight w: broadcasts to it, or None. As in PyTorch, no logarithm is
    below -100 and no x (1 - x) below 1e-12.
    """

    def forward(self, x, target, weight, *, reduction):
        self.reduction = reduction
        log_x, log_rest = _clamped_logs(x)
        loss = -(target * log_x + (1 - target) * log_rest)
        self.save_for_backward(x, target, weight)
        return reduced(loss if weight is None else loss * weight, reduction)

    def backward(self, grad_output):
        x, target, weight = self.saved_tensors
        need_x, need_target, _ = self.needs_input_grad
        grad = of_each(grad_output, self.reduction, x.size)
        if weight is not None:
            grad = grad * weight
        grad_x = grad_target = None
        if need_x:
            grad_x = grad * (x - target) / array_module(x).maximum(x * (1 - x), 1e-12)
        if need_target:
            log_x, log_rest = _clamped_logs(x)
            grad_target = grad * (log_rest - log_x)
        return grad_x, grad_target, None


def _clamped_logs(x):
    """max(ln x, -100) and max(ln(1 - x), -100), for x from 0 to 1."""
    xp = array_module(x)
    log_x = xp.where(x > 0, xp.maximum(xp.log(xp.where(x > 0, x, 1)), -100), -100)
    log_rest = xp.where(x < 1, xp.log1p(-xp.where(x < 1, x, 0)), -100)  # the x next to 1 has ln(1 - x) > -100
    return log_x, log_rest


class BinaryCrossEntropyWithLogits(Function):
    """l = w (v t h(-x) + (1 - t) h(x))       dx = dy w ((1 - t) s(x) - v t s(-x)),  dt = dy w (v h(-x) - h(x))

    x: scores; target t: the same shape; weight w and pos_weight v: broadcast to it, or None for 1.
    s: the logistic function; h(x) = ln(1 + e^x). It is BinaryCrossEntropy of s(x), without its overflow.
    """

    def forward(self, x, target, weight, pos_weight, *, reduction):
        self.reduction = reduction
        self.save_for_backward(x, target, weight, pos_weight)
        positive = target if pos_weight is None else pos_weight * target
        loss = positive * softplus(-x) + (1 - target) * softplus(x)
        return reduced(loss if weight is None else loss * weight, reduction)

    def backward(self, grad_output):
        x, target, weight, pos_weight = self.saved_tensors
        need_x, need_target, _, _ = self.needs_input_grad
        grad = of_each(grad_output, self.reduction, x.size)
        if weight is not None:
            grad = grad * weight
        grad_x = grad_target = None
        if need_x:
            positive = target if pos_weight is None else pos_weight * target
            grad_x = grad * ((1 - target) * sigmoid(x) - positive * sigmoid(-x))
        if need_target:
            at_one = softplus(-x) if pos_weight is None else pos_weight * softplus(-x)
            grad_target = grad * (at_one - softplus(x))
        return grad_x, grad_target, None, None


class KLDiv(Function):
    """l = t (ln t - x)                 dx = -dy t,  dt = dy (ln t - x + 1)

    x: logarithms of probabilities; target t: probabilities, the same shape; with log_target, their logarithms u:
    l = e^u (u - x), dx = -dy e^u, du = dy e^u (u - x + 1). At t = 0, l is 0, and ln t is taken as 0 in dt.
    Kullback & Leibler, Ann. Math. Stat. 1951.
    """

    def forward(self, x, target, *, log_target, reduction):
        xp = array_module(x)
        self.reduction, self.log_target = reduction, log_target
        probability, log = (
            (xp.exp(target), target) if log_target else (target, xp.log(xp.where(target == 0, 1, target)))
        )
        difference = log - x
        self.save_for_backward(probability, difference if self.needs_input_grad[1] else None)
        return reduced(probability * difference, reduction)

    def backward(self, grad_output):
        probability, difference = self.saved_tensors
        need_x, need_target = self.needs_input_grad
        grad = of_each(grad_output, self.reduction, probability.size)
        grad_x = grad_target = None
        if need_x:
            grad_x = -grad * probability
        if need_target:
            grad_target = grad * (difference + 1)
            if self.log_target:
                grad_target *= probability
        return grad_x, grad_target


# ----------------------------------------------------------------------------------------------------- regression


class MSELoss(Function):
    """l = (x - t)^2                    dx = dy 2 (x - t),  dt = -dx            (x, t: the same shape)"""

    def forward(self, x, target, *, reduction):
        self.reduction = reduction
        difference = x - target
        self.save_for_backward(difference)
        return reduced(difference * difference, reduction)

    def backward(self, grad_output):
        (difference,) = self.saved_tensors
        return _to_both(self, of_each(grad_output, self.reduction, difference.size) * 2 * difference)


class L1Loss(Function):
    """l = |x - t|                      dx = dy sign(x - t),  dt = -dx          (x, t: the same shape)"""

    def forward(self, x, target, *, reduction):
        self.reduction = reduction
        difference = x - target
        self.save_for_backward(difference)
        return reduced(abs(difference), reduction)

    def backward(self, grad_output):
        (difference,) = self.saved_tensors
        sign = array_module(difference).sign(difference)
        return _to_both(self, of_each(grad_output, self.reduction, difference.size) * sign)


class SmoothL1Loss(Function):
    """l = d^2 / (2 b) where |d| < b, else |d| - b / 2         dx = dy min(max(d / b, -1), 1),  dt = -dx

    d = x - t, of the same shape; b: `beta` > 0. Fast R-CNN, eq. (3), with b = 1 (Girshick, ICCV 2015).
    Huber's loss (Ann. Math. Stat. 1964) is b times this one.
    """

    def forward(self, x, target, *, beta, reduction):
        self.reduction, self.beta = reduction, beta
        difference = x - target
        self.save_for_backward(difference)
        distance = abs(difference)
        inner = array_module(x).minimum(distance, beta)
        return reduced(inner * inner / (2 * beta) + (distance - inner), reduction)

    def backward(self, grad_output):
        (difference,) = self.saved_tensors
        slope = array_module(difference).clip(difference / self.beta, -1, 1)
        return _to_both(self, of_each(grad_output, self.reduction, difference.size) * slope)


def _to_both(node, grad):
    """The gradients of x and t where the loss is a function of x - t."""
    need_x, need_target = node.needs_input_grad
    return grad if need_x else None, -grad if need_target else None
