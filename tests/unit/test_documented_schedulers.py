"""The table of schedulers in docs/drawing.md says what wsd/models/schedulers.py says."""

from scheduling import DISCRETE
from wsd.models.schedulers import SCHEDULERS
from wsd.util.files import REPOSITORY

PAGE = (REPOSITORY / "docs" / "drawing.md").read_text()
PROGRAMS = ("A1111", "ComfyUI", "InvokeAI")
LEVELS = ("karras", "exponential", "beta", "lu", "flow", "trailing")


def read_table():
    """Return scheduler → its other cells, as the page has them."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| `")]
    cells = [[cell.strip().strip("`") for cell in row] for row in rows]
    return {name: rest for name, *rest in cells if len(rest) == 3 + len(PROGRAMS)}


def list_levels():
    """Return scheduler → names of the noise levels that it has schedulers for."""
    levels = {}
    for name in SCHEDULERS:
        base, _, suffix = name.rpartition("_")
        if base in SCHEDULERS and suffix in LEVELS:
            levels[base].append(suffix)
        else:
            levels[name] = []
    return levels


def test_every_scheduler_is_in_the_table():
    table = read_table()
    assert list(table) == list(list_levels())
    for name, levels in list_levels().items():
        _, class_name, written, *programs = table[name]
        assert class_name == SCHEDULERS[name].class_name
        assert written == ", ".join(levels), name
        for program, cell in zip(PROGRAMS, programs, strict=True):
            known = [sampler for owner, sampler, _ in SCHEDULERS[name].samplers if owner == program]
            assert cell == ", ".join(dict.fromkeys(known)), (name, program)


def test_the_table_says_which_schedulers_need_models_of_other_predictions():
    without = {name for name, known in DISCRETE.items() if "sample" not in known.predictions}
    assert {name for name in without if name in list_levels()} == {"euler_a", "pndm", "dpmpp_sde"}
    assert "not for `euler_a`, `pndm` and `dpmpp_sde`" in PAGE


def test_what_is_not_offered_is_what_the_page_says():
    hidden = {name for name in list_levels() if not SCHEDULERS[name].offered}
    assert hidden == {"dpm_2m", "dpm_2m_sde"}
    for name, levels in list_levels().items():
        for level in levels:
            offered = SCHEDULERS[f"{name}_{level}"].offered
            common = level in ("karras", "trailing") and name in DISCRETE
            assert offered == (common and SCHEDULERS[name].offered)
