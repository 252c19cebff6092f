"""``make golden``: write the losses of today. Review the difference, and name it with its reason in CHANGELOG.md."""

import json

from tests.golden.runs import FOLDER, golden_run, losses

if __name__ == "__main__":
    run = golden_run()
    path = FOLDER / f"{run.method.name}.json"
    path.write_text(json.dumps(losses(run), indent=1) + "\n")
    print(f"wrote {path}")
