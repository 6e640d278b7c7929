"""Private API of Keras that this package uses (written for Keras 3.15)."""
