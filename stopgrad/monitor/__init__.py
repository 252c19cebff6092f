"""What can be seen of a representation while it is learned without labels, and the verdict when it collapses."""

from stopgrad.monitor.journal import Journal, Listeners
from stopgrad.monitor.measures import alignment, effective_rank, output_std, told_apart, uniformity
from stopgrad.monitor.verdict import Monitor, Verdict

__all__ = ["Journal", "Listeners", "Monitor", "Verdict", "alignment", "effective_rank", "output_std", "told_apart", "uniformity"]
