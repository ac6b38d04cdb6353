"""How the container runs: small, quick, as nobody, on a file system that it cannot write."""

import json
import time
from datetime import datetime

LARGEST = 60e6
SOONEST = 1.0


def test_it_is_small(container, dist):
    (image,) = json.loads(container.run("image", "inspect", container.image))
    bundle = sum(path.stat().st_size for path in dist.rglob("*") if path.is_file())
    print(f"image {image['Size'] / 1e6:.1f} MB, bundle {bundle / 1e6:.1f} MB")
    assert image["Size"] - bundle < LARGEST


def test_it_answers_within_a_second(container):
    # From when its process began: how long an engine takes before that depends on the machine.
    (inspected,) = json.loads(container.run("inspect", container.id))
    seconds = (
        container.answered - datetime.fromisoformat(inspected["State"]["StartedAt"]).timestamp()
    )
    print(f"first answer after {seconds:.2f} s")
    assert 0 < seconds < SOONEST


def test_it_runs_as_nobody_and_writes_nothing(container):
    (inspected,) = json.loads(container.run("inspect", container.id))
    assert inspected["Config"]["User"] == "10001:10001"
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    processes = container.run("top", container.id, "-eo", "pid,uid,comm").splitlines()[1:]
    assert processes
    assert {line.split()[1] for line in processes} == {"10001"}
    # There is no shell to run.
    assert not any(word in container.run("diff", container.id) for word in ("A ", "C "))


def test_it_is_healthy(container):
    for _ in range(60):
        (inspected,) = json.loads(container.run("inspect", container.id))
        if inspected["State"]["Health"]["Status"] == "healthy":
            return
        time.sleep(0.5)
    raise AssertionError(inspected["State"]["Health"])


def test_it_says_nothing(container):
    """Nobody's visits are recorded, and a good run has nothing to warn of."""
    assert container.run("logs", container.id) == ""
