"""Training a classifier: the loop, what is shown and kept of it, and how its result is measured.

    history = fit(model, train_loader, test_loader, loss_fn, optimizer, epochs=20)
    result = evaluate(model, test_loader)          # result.accuracy, result.confusion

loop.py is the loop. What watches it (console.py, watch.py, run_folder.py) is told of each step and each epoch.
"""

from minidl.training.auxiliary import AuxiliaryLoss
from minidl.training.console import Console
from minidl.training.fitting import fit
from minidl.training.history import History
from minidl.training.lock import locked
from minidl.training.loop import Observer, Position, Training
from minidl.training.metrics import Evaluation, accuracy, confusion_matrix, evaluate, predict
from minidl.training.run_folder import RunFolder
from minidl.training.sharded import ShardedTraining
from minidl.training.signals import stop_at_signals
from minidl.training.watch import Watch
