"""`python -m amodal` is `amodal`."""

if __name__ == "__main__":
    from amodal.cli import main

    main()
