# %% [markdown]
# # Sample
# The energy and its gradient.

# %%
import numpy
from assignments.a9_sample.energy import energy, gradient

x = numpy.array([1.0, 2.0])
print(energy(x), gradient(x))
