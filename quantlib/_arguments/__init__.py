"""What an argument may be: the checks that a definition and its fast twin share.

Both layers call these functions before they compute, so both accept the same calls, raise the same
errors for the rest, and every message names the argument, what it was and what it may be.
"""
