"""What a training saw, a number for each epoch."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class History:
    """What `fit` saw: one number for each epoch. Accuracies are fractions.

    The training numbers are averages over the batches of the epoch, while the weights still moved (and dropout was
    on), so in the first epochs the test numbers may well be the better ones. "test" is whatever the second loader
    holds: where a part of the training images is kept back for validation, it is that part.
    """

    train_loss: list[float] = field(default_factory=list)
    train_accuracy: list[float] = field(default_factory=list)
    test_loss: list[float] = field(default_factory=list)
    test_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # for training, without the test
    interrupted: bool = False  # by Ctrl-C: the numbers of the epochs before are complete

    def __len__(self) -> int:
        """The number of complete epochs."""
        return len(self.test_accuracy)

    @property
    def best_epoch(self) -> int:
        """The number, from 1, of the first epoch with the highest test accuracy; 0 where there is none yet."""
        return self.test_accuracy.index(max(self.test_accuracy)) + 1 if self.test_accuracy else 0
