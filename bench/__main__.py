"""Run `posebench` as `python -m bench`, for launchers that need a module (`torchrun -m bench train ...`)."""

from bench.cli.app import main

if __name__ == "__main__":
    main()
