"""`python -m fewtune`, which torchrun starts."""

from fewtune.cli.main import run

if __name__ == "__main__":
    run()
