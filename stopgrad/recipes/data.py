"""How the images of the papers' data sets are read. The source is given with the command."""

from stopgrad.config import Data

IMAGENET = Data(source="", channels=3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), size=224, short_side=None)
"""Mean and standard deviation as in the official code of SimSiam and MoCo."""

CIFAR10 = Data(
    source="",
    channels=3,
    mean=(0.4914, 0.4822, 0.4465),  # of the 50,000 training images
    std=(0.2470, 0.2435, 0.2616),
    size=32,
    short_side=None,
)
