"""``stopgrad bench``: where the time of a run's step goes on this machine, how near each stage is to what the machine can do, what to choose."""
