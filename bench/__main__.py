"""`python -m bench` is `posebench`: for launchers that want a module (`torchrun -m bench train ...`)."""

from bench.cli.app import main

if __name__ == "__main__":
    main()
