from collections.abc import Mapping
from pathlib import Path

import pytest

from evertrain.testing.contender import Contender, Question, serving

CONSTANT = """
import http.server, sys

class Constant(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("Content-Length", "17")
        self.end_headers()
        self.wfile.write(b'{"scores": [0.5]}')

    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Constant).serve_forever()
"""


def contender(folder: Path, questions: Mapping[int, Question], source: str = CONSTANT) -> Contender:
    folder.mkdir()
    (folder / "server.py").write_text(source)
    return Contender(name="it", commands=(("python", "server.py", "{port}"),), questions=questions, files=folder)


def test_a_server_is_kept_busy_when_it_answers_rightly(tmp_path: Path) -> None:
    with serving(contender(tmp_path / "files", {1: Question("/", b"{}", 0.5)})) as it:
        rounds = [it.round(1, 2, 0.2)]
        while rounds[-1].seen.requests <= 2 and len(rounds) < 20:  # a machine that stands still asks once on each
            rounds.append(it.round(1, 2, 0.2))
    assert rounds[-1].seen.requests > 2
    assert {found.seen.failures for found in rounds} == {0}
    assert rounds[-1].cpu_us >= 0


def test_a_server_that_ends_takes_no_part(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="it does not answer"):  # noqa: SIM117
        with serving(contender(tmp_path / "files", {1: Question("/", b"{}", 0.5)}, source="raise SystemExit(3)")):
            pass


def test_a_wrong_answer_is_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"does not answer 0.7 but \{'scores': \[0.5\]\}"):  # noqa: SIM117
        with serving(contender(tmp_path / "files", {1: Question("/", b"{}", 0.7)})):
            pass
