"""`python -m keras_roformer.cli`."""

from keras_roformer.cli import main

main()
