"""Install and remove plugins: what is to be installed is checked first, without running it.

Nothing in this package loads a plugin, so a broken one can always be removed.
"""
