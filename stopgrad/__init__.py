"""stopgrad: pretrain image backbones without labels, judge them, hand them over. Importing it imports no torch."""

__version__ = "0.1.0"
