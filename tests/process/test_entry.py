import json
import signal
import subprocess
import sys

import pytest

WORK = """
import sys
from evertrain.errors import UserError
from evertrain.process.entry import run

def wait(stopping):
    print("ready", flush=True)
    while not stopping.wait(0.00001):  # almost always about to wait: a handler that sets the event would meet its lock
        pass

def fail(stopping):
    raise UserError("The cupboard is bare.", "Fill it.")

sys.exit(run("larder", {"wait": wait, "fail": fail}[sys.argv[1]]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT] * 4)
def test_a_signal_ends_a_process_wherever_it_is(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", WORK, "wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        try:
            assert process.wait(120) == 0
        finally:
            process.kill()


def test_a_fault_is_one_line_with_its_remedy_and_code_1() -> None:
    done = subprocess.run([sys.executable, "-c", WORK, "fail"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    line = json.loads(done.stderr)
    assert (line["level"], line["process"]) == ("error", "larder")
    assert line["says"] == "The cupboard is bare. Fill it."
