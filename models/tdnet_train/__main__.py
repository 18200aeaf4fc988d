"""`python -m tdnet_train`, as torchrun starts it: the same as the console script."""

from tdnet_train import main

main()
