"""The commands, a file each: ``SUMMARY`` and ``EXAMPLE`` for its help, ``add`` declares its words, ``run`` does it and returns the exit status.

What takes time (torch, numpy, Pillow) is imported by ``run`` only after everything that can be checked without it has been checked.
"""
