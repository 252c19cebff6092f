"""``make golden``: write the losses of today. Review the difference, and name it with its reason in CHANGELOG.md."""

import json
import tempfile
from pathlib import Path

from tests.golden.runs import FOLDER, TOYS, golden_run, losses

if __name__ == "__main__":
    for name in TOYS:
        with tempfile.TemporaryDirectory() as folder:
            path = FOLDER / f"{name}.json"
            path.write_text(json.dumps(losses(golden_run(name), Path(folder)), indent=1) + "\n")
            print(f"wrote {path}")
