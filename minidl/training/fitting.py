"""`fit`: a whole training in one call."""

from __future__ import annotations

from collections.abc import Iterable

from minidl.nn import Module
from minidl.optim import Optimizer
from minidl.optim.lr_scheduler import LRScheduler
from minidl.training.console import Console
from minidl.training.history import History
from minidl.training.loop import Observer, Training
from minidl.training.metrics import Loss
from minidl.training.watch import Watch


def fit(
    model: Module,
    train_loader: Iterable,
    test_loader: Iterable,
    loss_fn: Loss,
    optimizer: Optimizer,
    epochs: int,
    *,
    scheduler: LRScheduler | None = None,
    schedule_by: str = "epoch",
    progress: bool = True,
) -> History:
    """Train for `epochs` epochs, and test after each of them.

    The loaders give pairs (inputs, labels); `scheduler.step()`, if there is one, is called after each epoch, or after
    each "step" if `schedule_by` says so; with `progress` there is a bar on a terminal, and a line for each epoch.
    Ctrl-C ends the training, not the program. A first loss far from that of guessing is a UserWarning.

    ValueError: another `schedule_by`, or ReduceLROnPlateau by step.
    FloatingPointError: the loss or a gradient is infinite or not a number; it says in which layer that began.
    """
    training = Training(
        model, optimizer, loss_fn, train_loader, test_loader, epochs, scheduler=scheduler, schedule_by=schedule_by
    )
    console = Console()
    observers: list[Observer] = [] if optimizer.state else [Watch()]  # a second call goes on with what is learnt
    observers += [console] if progress else []
    try:
        training.run(*observers)
    except KeyboardInterrupt:
        training.history.interrupted = True
    finally:
        console.close()
    return training.history
