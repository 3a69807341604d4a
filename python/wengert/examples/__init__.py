"""Complete small programs that solve a real problem by gradient descent.

Each runs from the command line, on its own data or on a CSV file of yours::

    python -m wengert.examples.geometric_median
    python -m wengert.examples.linear_regression
    python -m wengert.examples.logistic_regression

and each checks its answer against a classical method that needs no gradient of ours.
"""
