"""What the workflow that signs refuses: callers of other repositories, and inputs of more lines."""

import base64
import json
import runpy
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.error import HTTPError

import pytest
import yaml

from wsd.util.files import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "build-signed.yml"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
OWN = "o/wsd/.github/workflows/build-signed.yml@refs/tags/v1"


def first_step():
    job = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]["build"]
    return job["steps"][0]


class GitHub(BaseHTTPRequestHandler):
    """Gives the token of a job, as GitHub does to whoever has the job's secret."""

    claims: dict[str, str]

    def do_GET(self):
        right = (
            self.path == "/token?x=1&audience=wsd" and self.headers["Authorization"] == "bearer s"
        )
        self.send_response(200 if right else 401)
        self.end_headers()
        # Tokens are base64 without padding, whatever their length is.
        payload = base64.urlsafe_b64encode(json.dumps(self.claims).encode()).rstrip(b"=").decode()
        self.wfile.write(json.dumps({"value": f"e30.{payload}.c2ln"}).encode())

    def log_message(self, *_):
        """Write nothing."""


@pytest.fixture
def run_step(tmp_path, monkeypatch):
    """Return a function that runs the workflow's first step in a job, and returns its complaint."""
    script = tmp_path / "step.py"
    script.write_text(first_step()["run"], encoding="utf-8")
    with HTTPServer(("127.0.0.1", 0), GitHub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        variables = {
            "ACTIONS_ID_TOKEN_REQUEST_URL": f"http://127.0.0.1:{server.server_port}/token?x=1",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "s", "GITHUB_REPOSITORY": "o/wsd",
            "GITHUB_SHA": COMMIT, "GITHUB_REF": "refs/tags/v1",
            "MODELS": "tiny-sd15,tiny-sdxl", "DTYPE": "", "no_proxy": "*",
        }  # fmt: skip

        def run(ref=OWN, sha=COMMIT, **others):
            GitHub.claims = {"job_workflow_ref": ref, "job_workflow_sha": sha, "sub": "é?>" * 3}
            for name, value in {**variables, **others}.items():
                monkeypatch.setenv(name, value)
            try:
                runpy.run_path(str(script))
            except SystemExit as error:
                return str(error.code)
            return ""

        yield run
        server.shutdown()
        thread.join()


def test_nothing_comes_before_it():
    step = first_step()
    assert step["shell"] == "python3 -I {0}"
    # What callers give is never a part of the script.
    assert "${{" not in step["run"]
    assert step["env"] == {"MODELS": "${{ inputs.models }}", "DTYPE": "${{ inputs.dtype }}"}


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"DTYPE": "f32,f16"},
        {"MODELS": f"a:sd15=stabilityai/sd-turbo@{COMMIT},tiny_x-2.1:sdxl=o.w/n_a.b@{COMMIT}"},
        {"ref": OWN.replace("tags/v1", "heads/a/b"), "GITHUB_REF": "refs/heads/a/b"},
    ],
)
def test_the_repository_itself_is_built(run_step, variables):
    assert run_step(**variables) == ""


@pytest.mark.parametrize(
    "variables",
    [
        {"GITHUB_REPOSITORY": "evil/x"},
        {"GITHUB_REPOSITORY": "o/wsd2"},
        {"GITHUB_SHA": "f" * 40},
        {"sha": "f" * 40},
        {"GITHUB_REF": "refs/heads/evil"},
        {"ref": OWN.replace("build-signed", "other")},
        {"ref": f"evil/{OWN}"},
        {"ref": OWN.replace("o/wsd", "o/wsd/x")},
        {"ref": ""},
    ],
)
def test_somebody_else_is_refused(run_step, variables):
    assert "hint: call the workflow of your own repository" in run_step(**variables)


def test_a_token_that_is_not_given(run_step):
    with pytest.raises(HTTPError, match="401"):
        run_step(ACTIONS_ID_TOKEN_REQUEST_TOKEN="t")


@pytest.mark.parametrize("name", ["MODELS", "DTYPE"])
@pytest.mark.parametrize(
    "text", ["tiny-sd15\nBASE=evil/debian", "x\n", "a\rb", 'a"b', "a b", "$(id)", "a\u2028b", "ä"]
)
def test_inputs_of_more_than_names(run_step, name, text):
    assert f"input {name.lower()} has characters" in run_step(**{name: text})
