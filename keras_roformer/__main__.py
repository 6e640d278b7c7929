"""`python -m keras_roformer` is the command `keras-roformer`."""

from keras_roformer.cli import main

if __name__ == "__main__":
    main()
