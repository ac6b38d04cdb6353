"""What tests of the page share: ways to come between a server and a browser."""

import json


def flip(route):
    """Answer with a byte of the body changed."""
    response = route.fetch()
    data = bytearray(response.body())
    data[len(data) // 2] ^= 1
    route.fulfill(response=response, body=bytes(data))


def change_manifest(page, pattern, change):
    """Have a page see manifests that ``change`` has altered."""

    def answer(route):
        response = route.fetch()
        manifest = response.json()
        change(manifest)
        route.fulfill(response=response, body=json.dumps(manifest))

    page.route(pattern, answer)


def before_worker(page, code):
    """Run code in a page's worker before the worker's own."""

    def prepend(route):
        response = route.fetch()
        route.fulfill(response=response, body=code + response.text())

    page.route("**/worker.*.js", prepend)
