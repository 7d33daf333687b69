"""What must hold of the declaration before it is merged. Run with pytest in the folder of service.py."""

import json
import subprocess


def test_the_declaration_is_accepted_and_can_be_trained() -> None:
    words = ["evertrain", "plan", "service.py", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [service] = json.loads(done.stdout)["services"]
    assert service["inputs"] == 2, "an input came or went: is that what you want?"
    assert service["gate"]["obstacle"] == "", "nothing could pass this gate"
    assert service["history"]["training"] >= service["history"]["fewest"]
    assert [source["aside"] for source in service["sources"]] == [0], "rows of the sample do not fit"
