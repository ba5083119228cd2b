"""`python -m composite_llm`: the command `composite`."""

from composite_llm.cli import main

if __name__ == "__main__":
    main()
