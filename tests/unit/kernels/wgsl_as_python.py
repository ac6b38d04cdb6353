"""Straight-line WGSL as Python: addresses in a shader are checked without a GPU.

It knows declarations, assignments, ``if`` and ``else``, ``return`` and integer arithmetic of
values that are not negative, which is what the loads of the GEMM kernels need.
"""

import re

_REPLACEMENTS = (
    (r"\b(\d+)[ui]\b", r"\1"),
    (r"&&", " and "),
    (r"/", "//"),
    (r"\bfalse\b", "False"),
    (r"vec4<f32>\(\)", "ZEROS"),
    (r"vec4<f32>\(", "vec4("),
)


def to_python(wgsl):
    """Return Python statements of WGSL statements."""
    lines, depth, statement = [], 0, ""
    for token in re.split(r"([{};])", re.sub(r"//.*", "", wgsl)):
        if token == "{":
            lines.append("    " * depth + _expression(statement) + ":")
            depth += 1
        elif token == "}":
            depth -= 1
        elif token == ";" and (line := _statement(statement)):
            lines.append("    " * depth + line)
        statement = token
    return "\n".join(lines)


def _statement(text):
    text = re.sub(r"^(let|var|const) ", "", _expression(text))
    return "" if re.fullmatch(r"\w+ : \S+", text) else text


def _expression(text):
    text = " ".join(text.split())
    for pattern, new in _REPLACEMENTS:
        text = re.sub(pattern, new, text)
    return text


def constants(head):
    """Return the values of the integer constants that a shader's head declares."""
    return {name: int(value) for name, value in re.findall(r"const (\w+) = (\d+)[ui];", head)}
