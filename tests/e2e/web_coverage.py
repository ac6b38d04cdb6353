"""Which lines of the page's TypeScript ran, as V8 counts them (``web/lint/coverage.mjs``)."""

import itertools
import json
import re
import uuid
from pathlib import Path
from typing import Any

from playwright.sync_api import Error, Page

_START = (
    ("Profiler.enable", {}),
    ("Profiler.startPreciseCoverage", {"callCount": True, "detailed": True}),
)
_TAKE = "Profiler.takePreciseCoverage"
_PAUSE_MS = 20
_MOST_PAUSES = 500
# Addresses of the scripts of the page and of its driver, which carry their source maps
# (``WSD_COVERAGE``).
_SCRIPTS = re.compile(r"/(assets|driver)/[^/]+\.[0-9A-Z]{8}\.js$")


class WebCoverage:
    """Counts what runs of a page and of its workers, from their first line on."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._session = page.context.new_cdp_session(page)
        self._workers: set[str] = set()
        self._answers: dict[str, Any] = {}
        self._ids = itertools.count(1)
        self._session.on("Target.attachedToTarget", self._begin)
        self._session.on("Target.detachedFromTarget", self._end)
        self._session.on("Target.receivedMessageFromTarget", self._receive)
        for method, parameters in _START:
            self._session.send(method, parameters)
        attach = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": False}
        self._session.send("Target.setAutoAttach", attach)

    def _begin(self, event: dict[str, Any]) -> None:
        worker = event["sessionId"]
        self._workers.add(worker)
        for method, parameters in (*_START, ("Runtime.runIfWaitingForDebugger", {})):
            self._tell(worker, method, parameters)

    def _end(self, event: dict[str, Any]) -> None:
        self._workers.discard(event["sessionId"])

    def _receive(self, event: dict[str, Any]) -> None:
        answer = json.loads(event["message"])
        if "result" in answer.get("result", {}):
            self._answers[event["sessionId"]] = answer["result"]["result"]

    def _tell(self, worker: str, method: str, parameters: dict[str, Any]) -> None:
        message = json.dumps({"id": next(self._ids), "method": method, "params": parameters})
        try:
            self._session.send(
                "Target.sendMessageToTarget", {"sessionId": worker, "message": message}
            )
        except Error:
            # The worker ended before it could be asked, and before its end was reported.
            self._workers.discard(worker)

    def write(self, folder: Path) -> None:
        """Write a file of what was counted, scripts' texts included. The page is still open."""
        counted = list(self._session.send(_TAKE)["result"])
        workers = set(self._workers)
        for worker in workers:
            self._tell(worker, _TAKE, {})
        for _ in range(_MOST_PAUSES):
            if self._workers & workers <= self._answers.keys():
                break
            self._page.wait_for_timeout(_PAUSE_MS)
        for answer in self._answers.values():
            counted += answer
        scripts = [entry for entry in counted if _SCRIPTS.search(entry["url"])]
        try:
            for entry in scripts:
                entry["source"] = self._page.request.get(entry["url"]).text()
        except Error:
            return  # the test has ended its server: what ran is not known any more
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{uuid.uuid4().hex}.json").write_text(json.dumps(scripts))
