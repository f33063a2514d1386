"""Threads for linear algebra: one for small products.

NumPy's, SciPy's and scikit-learn's thread pools wait for each other actively; with many small products in turn that
costs up to ten times the time of one thread (1,000 x 784 features, two cores: 14.8 s against 1.3 s).
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import threadpool_limits

LARGE = 1e10


def threads_for(num_products: float) -> AbstractContextManager:
    """One thread inside this context, unless a single step takes more than 1e10 multiplications."""
    return nullcontext() if num_products > LARGE else threadpool_limits(limits=1)
