"""A small Hugging Face hub on this machine: lists and serves the files of one repository."""

import hashlib
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from http_servers import running

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "someone/some-model"


class FakeHub:
    """What the server has, and which files were downloaded.

    Attributes:
        files: path in the repository → bytes.
        revisions: names of the repository's one commit.
        fetched: paths of the files whose bytes were sent, in order.
        is_gated: whether everything is refused to those without a token.
    """

    def __init__(self, files):
        self.files = files
        self.revisions = {"main", "v1.0", "refs/pr/1", COMMIT}
        self.fetched = []
        self.is_gated = False


def read_folder(folder):
    """Return the files of a folder as :class:`FakeHub` has them."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def serve(hub, monkeypatch, cache):
    """Serve a hub, and let huggingface_hub use it and an empty cache."""
    with running(_make_handler(hub)) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        yield hub


def _make_handler(hub):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self._answer(send=False)

        def do_GET(self):
            self._answer(send=True)

        def _answer(self, send):
            if hub.is_gated:
                return self._error("GatedRepo", 401)
            path = unquote(urlsplit(self.path).path).strip("/")
            api = f"api/models/{REPOSITORY}"
            if path == api or path.startswith(f"{api}/revision/"):
                revision = path.removeprefix(api).removeprefix("/revision/") or "main"
                return self._json(
                    revision,
                    {"id": REPOSITORY, "sha": COMMIT,
                     "siblings": [{"rfilename": name} for name in sorted(hub.files)]},
                )  # fmt: skip
            if path.startswith(f"{api}/tree/"):
                entries = [
                    {"type": "file", "path": name, "size": len(data), "oid": _digest(data)[:40]}
                    for name, data in sorted(hub.files.items())
                ]
                return self._json(path.removeprefix(f"{api}/tree/"), entries)
            start = f"{REPOSITORY}/resolve/{COMMIT}/"
            if path.startswith(start) and (name := path.removeprefix(start)) in hub.files:
                return self._file(name, send)
            return self._error("RepoNotFound" if REPOSITORY not in path else "EntryNotFound")

        def _json(self, revision, value):
            if revision not in hub.revisions:
                return self._error("RevisionNotFound")
            data = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            return None

        def _file(self, name, send):
            data = hub.files[name]
            self.send_response(200)
            self.send_header("ETag", f'"{_name(name, data)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if send:
                hub.fetched.append(name)
                self.wfile.write(data)

        def _error(self, code, status=404):
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    return Handler


def _name(path, data):
    """Return the name of a file's content: the SHA-256 of large files, git's SHA-1 of others."""
    if path.endswith(".safetensors"):
        return _digest(data)
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _digest(data):
    return hashlib.sha256(data).hexdigest()
