"""Every numeric tolerance of the tests, as keyword arguments of numpy.testing.assert_allclose."""

# The same float32 arithmetic in another order (other framework, fused kernel, compiled or eager).
FLOAT32 = dict(rtol=1e-5, atol=1e-5)

# Gradients of such a computation: sums over batch and positions, so more rounding.
FLOAT32_GRADIENT = dict(rtol=1e-4, atol=1e-5)

# A float32 sum of a thousand products of numbers of order 1, and of such sums.
LONG_SUM = dict(rtol=1e-4, atol=1e-3)

# Losses after a few optimiser steps on different backends (issue 3).
TRAINED_LOSS = dict(rtol=1e-4, atol=1e-4)

# 8 bits of mantissa, three layers deep.
BFLOAT16 = dict(rtol=5e-2, atol=5e-2)

# A float32 derivative against a central difference of step 1e-2.
FINITE_DIFFERENCE = dict(rtol=1e-2, atol=5e-3)

# 11 bits of mantissa.
FLOAT16 = dict(rtol=1e-2, atol=1e-2)
