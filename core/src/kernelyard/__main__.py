"""`python -m kernelyard`: the same as the command `kernelyard`."""

from kernelyard.cli import main

if __name__ == "__main__":
    main()
