"""Say on one line what a person has to do, or nothing; exits with 1 when it is urgent. Run it each minute."""

import json
import subprocess
import sys

told = subprocess.run(["evertrain", "status", "--json"], capture_output=True, text=True, check=False)
if not told.stdout:
    sys.exit(f"URGENT evertrain status failed: {told.stderr.strip()}")
found = json.loads(told.stdout)
for one in found["advice"]:
    print("URGENT" if one["urgent"] else "notice", one["what"], "To do:", one["remedy"])
for alert in found["alerts"]:
    print(alert["severity"], alert["name"], alert["reason"], alert["owner"])
sys.exit(any(one["urgent"] for one in found["advice"]))
