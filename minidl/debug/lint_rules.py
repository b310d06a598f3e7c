"""The rules of `lint`: what each one takes for the sign of a mistake, and what it lets pass."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minidl import memory
from minidl.backend import array_module
from minidl.events import Observer
from minidl.function import Function
from minidl.grad_mode import is_grad_enabled
from minidl.nn.dropout import _Dropout
from minidl.nn.normalization import _BatchNorm
from minidl.source import user_stack, users_line
from minidl.tensor import Tensor

SAME_VALUES = ("Reshape", "Permute", "Expand", "Clone", "Cast", "Transfer", "GetItem")  # at other places, or fewer
MANY = 8  # steps after which a parameter that none has changed is worth a word


@dataclass(frozen=True)
class Finding:
    """What a rule found: `place` tells findings of one rule apart, `message` is for the user."""

    rule: str
    place: Any
    message: str


class Run:
    """What the rules share: the modules that run, the names of their parameters, and whom to tell."""

    def __init__(self, report: Callable[[Finding], None]):
        self.report = report
        self.modules: list[Any] = []  # that run, the innermost last
        # Those with parameters that were called from outside of modules, in order, with "" before the names of their
        # parameters; and with their class there, those that were called in a model without being parts of it.
        self._roots: dict[Any, str] = {}
        self._names: dict[Any, str] = {}  # of all modules in the outermost one

    def enter(self, module: Any) -> None:
        if not self.modules:
            self._names = {below: name for name, below in module.named_modules()}
            if next(module.parameters(), None) is not None:  # not a loss, of which there may be a new one in each step
                self._roots.setdefault(module, "")
        elif module not in self._names and module not in self._roots and next(module.parameters(), None) is not None:
            self._roots[module] = type(module).__name__
        self.modules.append(module)

    def leave(self) -> None:
        if self.modules:
            self.modules.pop()
        if not self.modules:
            self._names = {}  # it would keep the modules alive

    def path(self) -> str:
        """The dotted name of the module that runs; '' for the outermost one and outside."""
        return self._names.get(self.modules[-1], "") if self.modules else ""

    def named_parameters(self) -> Iterator[tuple[str, Tensor]]:
        """Those of all modules that have run, by their dotted names."""
        for root, prefix in self._roots.items():
            yield from root.named_parameters(prefix)

    def is_strayed(self, parameter: Tensor) -> bool:
        """True for a parameter that is in no model, but in a module that runs in one."""
        models = [root for root, prefix in self._roots.items() if not prefix]
        return not any(parameter is each for model in models for each in model.parameters())

    def name_of(self, parameter: Tensor) -> str:
        """The dotted name of a parameter, or its shape."""
        named = (name for name, other in self.named_parameters() if other is parameter)
        return next(named, f"a tensor of shape {parameter.shape}")


class Known:
    """What is known of tensors, as long as they live. By identity: a WeakKeyDictionary asks ==, which has elements."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref, Any]] = {}

    def __contains__(self, tensor: Tensor) -> bool:
        return id(tensor) in self._known

    def __getitem__(self, tensor: Tensor) -> Any:
        return self._known[id(tensor)][1]

    def __setitem__(self, tensor: Tensor, what: Any) -> None:
        key = id(tensor)
        self._known[key] = weakref.ref(tensor, lambda _: self._known.pop(key, None)), what

    def discard(self, tensor: Tensor) -> None:
        self._known.pop(id(tensor), None)


class Rule(Observer):
    """Base class of the rules: an observer that reports."""

    def __init__(self, run: Run):
        self.run = run

    def end(self) -> None:
        """The context is left."""

    def find(self, place: Any, message: str, help: str) -> None:
        self.run.report(Finding(type(self).__name__, place, f"{message}\n  help: {help}"))


class StaleGradients(Rule):
    """A gradient is added to one that an update has already used, and the sum is used by the next update.

    Adding up several backwards before one step is fine, and so is a sum that is cleared before it is used (of two
    optimizers, the backward for one leaves gradients at the other's parameters). An update is any change in place,
    also p -= lr * p.grad by hand.
    """

    def __init__(self, run: Run):
        super().__init__(run)
        self.added = Known()  # of leaves: the array when the gradient was last added to, and when that was
        self.mixed = Known()

    def before_backward(self, node: Function, grad_outputs: Sequence) -> None:
        leaf = getattr(node, "variable", None) if node.keeps_gradient else None
        if leaf is None:
            return
        if leaf.grad is None or leaf not in self.added or not leaf.grad.data.any():
            self.mixed.discard(leaf)
        else:
            array, when = self.added[leaf]
            if leaf.data is not array or memory.changed_since(when, (array,)) is not None:
                if leaf in self.mixed:
                    self._say(leaf)
                self.mixed[leaf] = True
        self.added[leaf] = leaf.data, memory.next_sequence()

    def before_update(self, optimizer: Any, param: Tensor) -> None:
        if param in self.mixed:
            self._say(param)

    def _say(self, leaf: Tensor) -> None:
        self.find(
            None,
            f"the gradient of {self.run.name_of(leaf)} was added to that of the step before, which was used already: "
            "each step goes along the sum of all gradients since the beginning",
            "call optimizer.zero_grad() before each backward()",
        )


class SoftmaxTwice(Rule):
    """Cross-entropy is given probabilities, the negative log-likelihood something else than their logarithms."""

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        name = node.name()
        if name not in ("CrossEntropy", "SoftCrossEntropy", "NLLLoss", "BinaryCrossEntropyWithLogits"):
            return
        x = inputs[0]
        origin = _origin(x)
        if name == "NLLLoss":
            if bool((x.data > 1e-4).any()):
                what = "probabilities" if _are_probabilities(x.data) else "positive numbers"
                self.find(name, f"nll_loss is given {what}", "it takes their logarithms: log_softmax(scores, 1)")
        elif name == "BinaryCrossEntropyWithLogits":
            if origin == "Sigmoid":
                self.find(
                    name,
                    "binary_cross_entropy_with_logits is given the result of a sigmoid",
                    "it takes scores, and computes the sigmoid itself: leave the sigmoid out",
                )
        elif _are_probabilities(x.data) or origin == "Sigmoid":
            what = "the result of a sigmoid" if origin == "Sigmoid" else "probabilities, which add up to 1"
            self.find(
                name,
                f"cross_entropy is given {what}: the loss cannot come near 0, and the gradients are small",
                "it takes scores, and computes the softmax itself: leave the softmax (or sigmoid) of the model out, "
                "or take nll_loss(log(p), target)",
            )


def _origin(x: Any) -> str:
    """The name of the operation that computed a tensor; operations that only move its values are passed over."""
    node = x.grad_fn if isinstance(x, Tensor) else None
    while node is not None and node.name() in SAME_VALUES:
        node = node.next_functions[0][0]
    return node.name() if node is not None else ""


def _are_probabilities(x: Any) -> bool:
    """Whether the classes of every position have values from 0 to 1 with sum 1."""
    dim = 1 if x.ndim > 1 else 0
    if not x.size or x.shape[dim] < 2 or not bool((x >= 0).all()):
        return False
    return bool((abs(x.sum(axis=dim) - 1) < 1e-3).all())


class TrainMode(Rule):
    """Under no_grad, where nothing is learnt, a dropout or batch norm layer runs in train mode.

    (Where that is meant, for new running statistics or for dropout at test time, it belongs outside of `lint`.)
    """

    def enter_module(self, module: Any, inputs: tuple) -> None:
        if is_grad_enabled() or not module.training:
            return
        if isinstance(module, _Dropout) and module.p > 0:
            effect = "drops activations at random"
        elif isinstance(module, _BatchNorm) and module.track_running_stats:
            effect = "normalizes with the statistics of this batch, and changes its running ones"
        else:
            return
        path = self.run.path()
        name = type(module).__name__ + (f" ({path})" if path else "")
        self.find(
            type(module),
            f"{name} is in train mode, although nothing is recorded: it {effect}",
            "call model.eval() before an evaluation, and model.train() after it",
        )


class NotInOptimizer(Rule):
    """Gradients arrive at a parameter, optimizers make their steps, and none of them changes it.

    Also an optimizer whose step finds no gradient at all: it holds the parameters of another model.
    """

    def __init__(self, run: Run):
        super().__init__(run)
        self.waiting = Known()  # of leaves that were never updated: the number of gradients so far
        self.updated = Known()
        self.steps = 0

    def before_backward(self, node: Function, grad_outputs: Sequence) -> None:
        leaf = getattr(node, "variable", None) if node.keeps_gradient else None
        if leaf is not None and leaf not in self.updated:
            self.waiting[leaf] = self.waiting[leaf] + 1 if leaf in self.waiting else 1

    def before_update(self, optimizer: Any, param: Tensor) -> None:
        self.updated[param] = True
        self.waiting.discard(param)

    def before_step(self, optimizer: Any) -> None:
        params = [param for group in optimizer.param_groups for param in group["params"]]
        if any(param.requires_grad for param in params) and all(param.grad is None for param in params):
            self.find(
                id(optimizer),
                f"{type(optimizer).__name__}.step finds no gradient at any of its {len(params)} parameters",
                "call backward() before it; is it the optimizer of this model, made after the model was?",
            )

    def after_step(self, optimizer: Any) -> None:
        self.steps += 1
        if self.steps >= MANY:
            self._say(MANY)

    def end(self) -> None:
        if self.steps:
            self._say(1)

    def _say(self, gradients: int) -> None:
        # Only parameters of models: a leaf of one's own (an image, for a saliency map) is not meant to be learnt.
        missed: dict[int, tuple[str, Tensor]] = {}
        for name, parameter in self.run.named_parameters():
            if parameter in self.waiting and self.waiting[parameter] >= gradients:
                missed.setdefault(id(parameter), (name, parameter))
        if missed:
            names = [name for name, _ in missed.values()]
            listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            help = (
                "make the optimizer after the model is complete, from model.parameters(); what is not to be learnt: "
                "requires_grad_(False)"
            )
            if any(self.run.is_strayed(parameter) for _, parameter in missed.values()):
                help = "a model does not find the layers in a plain list or dict: nn.ModuleList, nn.ModuleDict"
            self.find(tuple(missed), f"gradients arrive at {listed}, but no optimizer changes them", help)
            for _, parameter in missed.values():
                self.waiting.discard(parameter)


class BroadcastLoss(Rule):
    """(N, 1) against (N,), one with a gradient and one without, in a loss: N * N numbers, where N were meant.

    In mse_loss and its kin, and by hand, as ((y - t) ** 2).mean(). Such a product or difference may be meant (an outer
    product, all distances), so by hand it takes as well that the N * N numbers become a single one.
    """

    LOSSES = ("MSELoss", "L1Loss", "SmoothL1Loss", "KLDiv")
    PAIRS = ("Sub", "Div", "Mul")
    CHOOSING = ("Amax", "Amin", "Max", "Min")  # the nearest of all targets: there all pairs are meant
    DEEPEST = 8  # operations between the pair and the single number

    def __init__(self, run: Run):
        super().__init__(run)
        # The shapes of a prediction and its target, and the user's line, of each operation in PAIRS that has such.
        self.pairs: weakref.WeakKeyDictionary[Function, tuple[tuple, tuple, str]] = weakref.WeakKeyDictionary()

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        name = node.name()
        if name in self.LOSSES:
            prediction, target = (_before_expand(x.data) for x in inputs[:2])
            if _are_column_and_row(prediction, target):
                self._say(prediction, target, _line())
        elif name in self.PAIRS and all(isinstance(x, Tensor) for x in inputs):
            a, b = inputs
            if a.requires_grad != b.requires_grad and _are_column_and_row(a.shape, b.shape):
                shapes = (a.shape, b.shape) if a.requires_grad else (b.shape, a.shape)
                self.pairs[node] = *shapes, _line()
        elif name in ("Mean", "Sum") and self.pairs and outputs.numel() == 1:
            self._look_below(node)

    def _look_below(self, node: Function) -> None:
        """Were one of the pairs' numbers added up here?"""
        level = {node}
        for _ in range(self.DEEPEST):
            level = {
                below
                for above in level
                if above.name() not in self.CHOOSING
                for below, _ in above.next_functions
                if below is not None
            }
            for below in level & set(self.pairs):
                self._say(*self.pairs.pop(below))

    def _say(self, prediction: tuple, target: tuple, line: str) -> None:
        self.find(
            line,
            f"{prediction} against {target} gives {target[:1] * 2}: every prediction is compared with every target",
            "target.view_as(prediction), or prediction.squeeze(1)",
        )


def _are_column_and_row(a: tuple, b: tuple) -> bool:
    """True for (N, 1) and (N,), in any order, where N is not 1."""
    row, column = sorted((a, b), key=len)
    return len(row) == 1 and row[0] > 1 and column == (*row, 1)


def _before_expand(x: Any) -> tuple:
    """The shape that an array had before it was broadcast: its numbers lie in one place along the new dimensions."""
    shape = tuple(1 if not stride else size for size, stride in zip(x.shape, x.strides, strict=True))
    return shape[1:] if len(shape) == 2 and shape[0] == 1 else shape


class DeadReLU(Rule):
    """Over 90 % of the units (channels) of a ReLU were 0 for every position of the last SAMPLES samples."""

    SAMPLES = 64
    UNITS = 8  # fewer are too few for a share

    def __init__(self, run: Run):
        super().__init__(run)
        self.seen: dict[Any, tuple[Any, int]] = {}  # by place: which units were active, and the number of samples

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        if node.name() != "ReLU" or outputs.ndim < 2 or outputs.shape[1] < self.UNITS or not is_grad_enabled():
            return
        y = outputs.data
        place = self.run.path(), _line(), y.shape[1]
        active = y.any(axis=tuple(axis for axis in range(y.ndim) if axis != 1))
        before, samples = self.seen.get(place, (array_module(y).zeros_like(active), 0))
        self.seen[place] = before | active, samples + len(y)
        if samples + len(y) >= self.SAMPLES:
            self._look(place)

    def end(self) -> None:
        for place in list(self.seen):
            if self.seen[place][1] >= self.SAMPLES // 2:
                self._look(place)

    def _look(self, place: Any) -> None:
        active, samples = self.seen.pop(place)
        dead = int((~active).sum())
        if dead > 0.9 * active.size:
            path, line, _ = place
            where = f"ReLU ({path})" if path else f"the ReLU in {line}"
            self.find(
                place,
                f"{dead} of the {active.size} units of {where} were 0 for all of {samples} samples: no gradient passes",
                "a lower learning rate, He initialization (nn.init.kaiming_normal_), normalized inputs, or LeakyReLU",
            )


class FirstLoss(Rule):
    """The first cross-entropy with a gradient is far above log C. (Below is fine: the model may have been trained.)"""

    def __init__(self, run: Run):
        super().__init__(run)
        self.seen: set[int] = set()  # numbers of classes

    def after_forward(self, node: Function, inputs: tuple, outputs: Any) -> None:
        if node.name() not in ("CrossEntropy", "NLLLoss") or node.options.get("reduction") != "mean":
            return
        x = inputs[0]
        classes = x.shape[1] if x.ndim > 1 else x.shape[0]
        if not x.requires_grad or classes in self.seen or classes < 2:
            return
        self.seen.add(classes)
        loss, guessing = float(outputs.data), math.log(classes)
        if loss > 1.5 * guessing + 0.5:
            self.find(
                classes,
                f"the first loss is {loss:.3g}, guessing among {classes} classes has log {classes} = {guessing:.3g}",
                "the scores are too large at the start: images / 255 and normalized, smaller weights in the last layer",
            )


def _line() -> str:
    """The user's line that runs: train.py:42."""
    source = users_line(user_stack())
    return source.name if source else ""


RULES = (StaleGradients, SoftmaxTwice, TrainMode, NotInOptimizer, BroadcastLoss, DeadReLU, FirstLoss)
