"""Training loops, each in a process of its own: nothing of one (imports, the heap's settings, threads) touches another."""
