"""``python -m stopgrad``."""

from stopgrad.cli import main

raise SystemExit(main())
