"""What K workers would give: arithmetic from the rates of one, for data-parallel training with a ring of links.

    sent(K)   = 2 (K - 1) / K  bytes                                                  by each worker, in a step
    reduce(K) = sum over the buckets of 2 (K - 1) latency + 2 (K - 1) / K bytes / bandwidth
    step(K)   = computing + max(reduce(K) - backward, that of the last bucket alone)

for a bucket can leave while backward computes the others, but the last one cannot. Either every worker has the same
number of images whatever K is (weak scaling), or one batch is shared out to all (strong scaling). Computing is a fixed
part, such as the update of the weights, and one for each image.

Ring all-reduce: Patarasuk & Yuan 2009, J. Parallel Distrib. Comput. 69. What comes out is optimistic: nobody else uses
the links, every worker is equally fast, and to send takes nothing from computing.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

MOST = 1024  # workers


class Link(NamedTuple):
    """What connects two neighbours of the ring."""

    latency: float  # seconds
    bandwidth: float  # bytes a second


class Cost(NamedTuple):
    """Seconds for a number of images."""

    fixed: float
    each: float

    def of(self, images):
        return self.fixed + self.each * images

    @classmethod
    def through(cls, images, seconds, few, seconds_of_few):
        """The line through two measured points; a fixed part below 0, which is noise, is taken as 0."""
        each = max((seconds - seconds_of_few) / (images - few), 0.0)
        fixed = seconds - each * images
        return cls(fixed, each) if fixed >= 0 else cls(0.0, seconds / images)


@dataclass(frozen=True)
class Rates:
    """A worker: its images in a step, what they cost, and what it has to send, in bytes."""

    images: float
    whole_step: Cost  # without sending
    of_backward: Cost
    buckets: tuple[int, ...]

    @property
    def computing(self):
        return self.whole_step.of(self.images)

    @property
    def backward(self):
        return self.of_backward.of(self.images)

    def sent(self, workers):
        return 2 * (workers - 1) / workers * sum(self.buckets)

    def reduce(self, workers, link):
        """Seconds to sum all buckets; and the last one alone."""
        way, part = 2 * (workers - 1), 2 * (workers - 1) / workers
        each = [way * link.latency + part * size / link.bandwidth for size in self.buckets]
        return sum(each), each[-1]

    def step(self, workers, link):
        together, last = self.reduce(workers, link)
        return self.computing + (max(together - self.backward, last) if workers > 1 else 0.0)

    def share_of(self, whole, workers):
        """The same worker with its part of a batch of `whole` images; None: of as many as it has."""
        return self if whole is None else replace(self, images=whole / workers)

    def efficiency(self, workers, link, whole=None):
        """Computing as a part of a step: 1 where nobody waits."""
        mine = self.share_of(whole, workers)
        return mine.computing / mine.step(workers, link)

    def speed(self, workers, link, whole=None):
        """Images a second, of all workers."""
        mine = self.share_of(whole, workers)
        return workers * mine.images / mine.step(workers, link)

    def takes_over(self, link, whole=None):
        """The first number of workers of which more than half of a step is waiting; None up to 1,024."""
        return next((k for k in range(2, MOST + 1) if self.efficiency(k, link, whole) < 0.5), None)
