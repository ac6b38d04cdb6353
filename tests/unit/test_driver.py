"""The driver in the page: its program is current, and arrays survive the way there and back."""

import json
import subprocess

import numpy as np
import pytest

from wsd.bundle.npm import install_packages, source_folder
from wsd.errors import RenderError, UsageError
from wsd.runtime.array_codec import decode_arrays, encode_arrays
from wsd.runtime.automation import PROGRAM, Automation
from wsd.util.process import find_program, run


@pytest.mark.slow
def test_the_program_is_built_from_its_source(tmp_path):
    """`npm run automation` in web/ writes it anew."""
    web = source_folder("web")
    install_packages(web)
    run([find_program("node", ""), "automation.mjs", "--out", tmp_path / "built.js"], cwd=web)
    assert PROGRAM.read_text() == (tmp_path / "built.js").read_text()


def test_arrays_survive():
    value = {
        "floats": np.array([1.5, -0.0, 3e-38, np.nan], np.float32),
        "list": [np.array([-1, 2**31 - 1], np.int32), (1, "ä", None, True)],
        "bytes": np.arange(255, dtype=np.uint8)[::-1],
    }
    again = decode_arrays(json.loads(json.dumps(encode_arrays(value))))
    np.testing.assert_array_equal(again["floats"], value["floats"])
    assert again["floats"].dtype == np.float32
    np.testing.assert_array_equal(again["list"][0], value["list"][0])
    assert again["list"][1] == [1, "ä", None, True]
    np.testing.assert_array_equal(again["bytes"], value["bytes"])


def test_long_integers_keep_their_digits():
    value = {"seed": 2**64 - 1, "more": [-(2**63), 2**53, 2**53 - 1, -1, True]}
    encoded = encode_arrays(value)
    # 2**53 - 1 is the largest integer that a JavaScript number tells from its neighbours.
    assert encoded["more"][1:4] == [{"bigint": "9007199254740992"}, 2**53 - 1, -1]
    assert decode_arrays(json.loads(json.dumps(encoded))) == value


def test_an_array_that_no_page_takes_is_refused():
    with pytest.raises(TypeError, match="arrays of float64"):
        encode_arrays([np.zeros(2)])


class NodePage:
    """Evaluates expressions in a new Node.js process each, with the driver's program in it."""

    program = ""

    def expose_function(self, _name, _callback):
        raise AssertionError("not used here")

    def evaluate(self, expression, argument):
        if argument is None:
            self.program = f"({expression})();"
            return None
        script = f"""
            globalThis.ImageData = class {{}};
            globalThis.document = {{ baseURI: "http://localhost/" }};
            {self.program}
            ({expression})({json.dumps(argument)}).then((value) =>
              console.log(JSON.stringify(value)));
        """
        node = [find_program("node", ""), "--input-type=module", "--eval", script]
        done = subprocess.run(node, check=True, capture_output=True, text=True)
        return json.loads(done.stdout)


@pytest.mark.slow
def test_calls_return_values_and_raise_errors():
    page = Automation(NodePage())
    assert page.call("isNode") is True
    with pytest.raises(RenderError, match="TypeError: ") as caught:
        page.call("usage")  # nothing is loaded
    assert "report this" in caught.value.hint


def test_errors_of_options_are_the_callers():
    class Refusing(NodePage):
        def evaluate(self, _expression, argument):
            error = {"name": "OptionError", "message": "seed is -1", "hint": "0 or more"}
            return argument and {"error": error}

    with pytest.raises(UsageError, match="OptionError: seed is -1") as caught:
        Automation(Refusing()).call("generate", "x", {"seed": -1})
    assert caught.value.hint == "0 or more"
