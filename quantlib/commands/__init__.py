"""The commands for models, one module each: `add_arguments` and `run`.

They import `quantlib.model` when they run, so that ``quantlib --help`` needs no extra.
"""
