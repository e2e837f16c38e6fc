"""Servers that are not there, are no Label Studio, or fail."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines import labels
from pipelines.annotation.label_studio_client import TOKEN
from schemas.errors import StoppedError, UsageError
from tests.labels_factory import make_requests

VERSION = "/api/version", 200, json.dumps({"label-studio-os-package": {}})
WHO = "/api/current-user/whoami", 200, "{}"
PROJECT = {"id": 1, "title": "", "maximum_annotations": 1}


@pytest.fixture
def answers():
    """A server that answers as it is told: (start of the path, status, body), the first that fits, or 404."""
    told = []
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked.append(f"{self.command} {self.path} {self.headers['Authorization']}")
            status, body = next(
                ((s, b) for path, s, b in told if self.path.startswith(path)), (404, "<html>")
            )
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_GET = do_POST = answer  # noqa: N815

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", told, asked
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def ask(tmp_path, monkeypatch):
    make_requests(tmp_path / "requests")
    monkeypatch.setenv(TOKEN, "0" * 40)

    def run(url):
        given = ["--requests", str(tmp_path / "requests"), "--out", str(tmp_path / "out")]
        return labels.main([*given, "--from", f"label-studio:{url}"])

    return run


def test_a_server_that_is_not_there(ask):
    with pytest.raises(UsageError, match=r"127.0.0.1:9: cannot be reached \(.*refused\); start it"):
        ask("http://127.0.0.1:9")
    with pytest.raises(UsageError, match="cannot be reached"):
        ask("http://no-such-host.invalid:8080")
    for url in ("http://", "http://[::1", "http://x:port"):
        with pytest.raises(UsageError, match="start it"):
            ask(url)


@pytest.mark.parametrize(
    ("token", "says"), [("", "is not set"), ("tök", "is not a token"), ("a\nb", "not a token")]
)
def test_a_token_that_is_none(ask, monkeypatch, token, says):
    monkeypatch.setenv(TOKEN, token)
    with pytest.raises(UsageError, match=says):
        ask("http://127.0.0.1:9")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], "404 Not Found: this is no Label Studio"),
        ([("/", 200, "<html>hello</html>")], "not JSON, so this is no Label Studio"),
        ([("/", 200, "[]")], "not what Label Studio answers"),
        ([("/", 200, "{}")], "this is no Label Studio"),
        ([("/", 401, '{"detail": "Invalid token."}')], r"401 Invalid token\.: it does not take"),
        ([("/", 403, "no")], "403 Forbidden: it does not take"),
        ([VERSION, WHO, ("/api/projects", 200, "{}")], "not what Label Studio answers"),
        (
            [VERSION, WHO, ("/api/projects/?", 200, '{"results": []}'), ("/api/projects", 201, "[]")],
            "not what",
        ),
    ],
)
def test_a_server_that_is_no_label_studio(ask, answers, told, says):
    url, answering, _ = answers
    answering.extend(told)
    with pytest.raises(UsageError, match=says):
        ask(url)


def test_a_server_that_fails(ask, answers):
    url, told, _ = answers
    told += [VERSION, WHO, ("/api/projects", 500, '{"detail": "database is locked"}')]
    with pytest.raises(StoppedError, match=r"500 database is locked.* then run again"):
        ask(url)


def test_a_personal_token_is_traded_for_one_that_passes(ask, answers, monkeypatch):
    url, told, asked = answers
    monkeypatch.setenv(TOKEN, "a.b.c")
    told += [
        ("/api/token/refresh", 200, '{"access": "short"}'),
        VERSION,
        ("/", 401, '{"detail": "Token expired"}'),
    ]
    with pytest.raises(UsageError, match="401 Token expired"):
        ask(url)
    assert [line.partition(" ")[2] for line in asked] == [
        "/api/token/refresh None",
        "/api/version Bearer short",
        "/api/current-user/whoami Bearer short",
        "/api/token/refresh None",  # once more, as it lasts five minutes
        "/api/current-user/whoami Bearer short",
    ]


def test_proxies_of_the_environment_are_not_asked(ask, answers, monkeypatch):
    url, _, asked = answers
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="404"):
        ask(url)
    assert asked
