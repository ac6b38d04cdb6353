"""What `wsd verify` and `wsd join` refuse: changed bundles, with attestations made to fit."""

import json
import os
import re
import shutil
import socket
from contextlib import suppress

import pytest

from commands import exit_code
from marks import some_of
from mutations import MOST_SECONDS_OF_LARGE
from reattested import INDEX, MANIFEST, MODEL, attest, chain, change
from timing import at_most
from wsd import __version__
from wsd.bundle import layout
from wsd.bundle.attestations import build_attestations, write_attestations
from wsd.bundle.earlier_attestations import describe_limits
from wsd.bundle.layout import Snapshot, read_snapshot
from wsd.bundle.merge import join_bundles
from wsd.bundle.page_chain import link_page
from wsd.bundle.page_markup import read_page
from wsd.bundle.tree import scan_tree
from wsd.bundle.verify import verify_bundle
from wsd.errors import BundleError
from wsd.spec.paths import MAX_NAME, check_folder, check_name, check_path
from wsd.supply_chain.sbom import read_materials
from wsd.util.hashing import canonical_json, digest_bytes, sha256_bytes, sha256_file


@pytest.fixture
def copy(small, tmp_path):
    return shutil.copytree(small, tmp_path / "copy")


def change_manifest(copy, edit):
    change(copy, MANIFEST, edit)
    chain(copy)
    attest(copy)


def change_page(copy, old, new, name="index.html"):
    """Change the page, which the service worker keeps by its digest."""
    text = (copy / name).read_text()
    changed = re.sub(old, new, text, count=1)
    assert changed != text
    (copy / name).write_text(changed)
    worker = (copy / "sw.js").read_text()
    digests = [digest_bytes(page.encode()).integrity for page in (text, changed)]
    (copy / "sw.js").write_text(worker.replace(*digests))
    attest(copy)


def faults_of(copy):
    """Return the faults, of which there may be one that nothing can be read behind."""
    try:
        return list(verify_bundle(copy))
    except BundleError as error:
        return [error.message]


def refuse_to_join(copy):
    out = copy.parent / "joined"
    with pytest.raises(BundleError):
        join_bundles([copy], out)
    assert not out.exists()


@pytest.mark.slow
def test_what_nobody_changed_is_good(copy):
    before = {name: (copy / name).read_bytes() for name in layout.ATTESTATIONS}
    chain(copy)
    attest(copy)
    assert {name: (copy / name).read_bytes() for name in layout.ATTESTATIONS} == before
    assert faults_of(copy) == []


# Pages.

PAGES = [
    (r' integrity="[^"]*"', "", "loaded without integrity"),
    (r'integrity="sha384-....', 'integrity="sha384-AAAA', "integrity mismatch"),
    (r"<script", "<script>alert(1)</script><script", "has an inline script"),
    (r"<body", '<body onload="alert(1)"', "an element <body> has the attribute onload"),
    (r"<link", '<base href="https://example.org/" /><link', "has an element <base>"),
    (r"<script", '<script src="https://example.org/x.js" integrity="sha384-x"></script><script',
     "loads what is not in the bundle"),
    (r"<script", '<script src="../x.js"></script><script', "loads what is not in the bundle"),
    (r"<script", '<script src="assets/x.js"></script><script', "assets/x.js, which is missing"),
    (r"<main", '<iframe src="//example.org"></iframe><main', "has an element <iframe>"),
    (r"<main", '<img src="//example.org/x.png"><main', "has an element <img> in <body>"),
    (r"<main", '<svg><image xlink:href="https://a.b/x"/></svg><main', "has an element <image>"),
    (r"<main", '<video poster="https://a.b/x"></video><main', "has an element <video>"),
    (r"<main", '<form action="https://a.b/"></form><main', "<form> has the attribute action"),
    (r"<main", '<a href="//a.b/">x</a><main', "<a> has the attribute href"),
    (r"<main", '<a href="javascript:alert(1)">x</a><main', "<a> has the attribute href"),
    (r"<main", "<style>@import '//a.b/x.css'</style><main", "has an element <style>"),
    (r"<main", "<!--><script src=//a.b/x.js></script>--><main", "has a comment"),
    (r"<main", "<svg><![CDATA[<script>]]></svg><main", "has a comment"),
    # What browsers and Python's parser, or two versions of it, read in two ways.
    (r"</script>", '</script/><script src="//a.b/x.js"></script>', "not written as WSD writes"),
    (r"</script>", "</script ><script>1</script>", "not written as WSD writes"),
    (r"<main", '<textarea><a title="</textarea><script src=//a.b>"></a></textarea><main',
     "not written as WSD writes pages"),
    (r"<title>", "<title><p></title><script src=//a.b></script><title>", "not written as|<p> in"),
    (r"<noscript>", '<noscript><p title="</noscript><script src=//a.b></script>">', "not written"),
    (r"<noscript>", "<noscript><textarea>", "has an element <textarea> in <noscript>"),
    (r"<script", "<svg><script", "has an element <svg> in <head>"),
    (r"<main", '<svg><script src="x.js"></script></svg><main', "has an element <script> in <svg>"),
    (r"<main", "<math><mtext></mtext></math><main", "has an element <math>"),
    (r"<main", "<template><p></p></template><main", "has an element <template>"),
    (r"<main", "<xmp></xmp><main", "has an element <xmp>"),
    (r"<main", "<plaintext><main", "has an element <plaintext>"),
    (r"<main", "<div/><main", "has <div/>, which browsers do not take as closed"),
    (r"<main", "<p><div></p></div><main", "ends an element <p> that is not the last one open"),
    (r"<main", "<p class='a'></p><main", "not written as WSD writes pages"),
    (r"<main", '<p a="<script>"></p><main', "not written as WSD writes pages"),
    (r"<main", "<\x00p></p><main", "has the control character"),
    (r"<main", "\x1b$B<main", "has the control character"),
    (r"<!doctype html>", "", "does not begin with <!doctype html>"),
    (r"</html>", "</html><p></p>", "has an element <p>"),
    (r"</html>", "</html><html><head></head><body></body></html>", "is not one <html>"),
    (r"></script>", ">import('//a.b/x.js')</script>", "has an inline script"),
    # The head ends for browsers where something begins that does not belong there.
    (r"<title", "<p></p><title", "has an element <p> in <head>"),
    (r"<title", "x<title", "has text where only elements belong"),
    (r"<meta charset", '<meta name="author" content="x" /><meta charset', "that it is in UTF-8"),
    (r'charset="utf-8"', 'charset="iso-2022-jp"', "<meta> has the attribute charset"),
    (r"<html", f'<html class="{"x" * 2000}"', "that it is in UTF-8"),
    # What loads something by its value.
    (r"<main", '<p style="background:url(//a.b/p)"></p><main', "<p> has the attribute style"),
    (r"<main", '<svg filter="url(//a.b#x)"></svg><main', "<svg> has the attribute filter"),
    (r"<main", '<svg><g clip-path="url(//a.b#x)"></g></svg><main', "attribute clip-path"),
    (r"<main", '<svg><rect fill="u\\\\72l(//a.b#x)" /></svg><main', "the attribute fill"),
    (r"<main", '<svg><animate attributeName="href" to="//a.b" /></svg><main', "<animate> in <svg>"),
    (r"<main", '<svg><use href="x.svg#a" /></svg><main', "has an element <use> in <svg>"),
    (r"<main", '<svg><g onfocus="alert(1)"></g></svg><main', "<g> has the attribute onfocus"),
    (r"<main", '<button popovertarget="x" formaction="//a.b">x</button><main', "popovertarget"),
    (r"<main", '<input type="image" /><main', "<input> has the attribute type"),
    (r"<main", '<a href="jav&#x61;script:alert(1)">x</a><main', "<a> has the attribute href"),
    (r"<main", '<a href="./" target="_blank" ping="//a.b">x</a><main', "has the attribute target"),
    (r"<main", '<p is="x-evil"></p><main', "<p> has the attribute is"),
    (r"<link", '<link rel="preconnect" href="//a.b" /><link', "<link> has the attribute rel"),
    (r"<link", '<link rel="icon" href="//a.b/x.svg" /><link', "loads what is not in the bundle"),
    (r"<link", '<link rel="icon" href="data:text/html,x" /><link', "loads what is not in"),
    (r'type="module"', 'type="speculationrules"', "<script> has the attribute type"),
    (r"<link", '<meta name="referrer" content="unsafe-url" /><link', "attribute name"),
    # Scripts that a script imports are checked by the page.
    (r'<link rel="modulepreload"[^>]*>', "", "without integrity: a script imports it"),
    # The page's script takes the first element of this name, whatever a pattern would find.
    (r"(<meta name=.models)", r'<meta  name="models-integrity" content="sha384-AAAA" />\1',
     "models/index.json is missing or wrong"),
    (r'(<meta name="models-integrity"[^>]*>)', r"\1<meta  name='x'>", "not written as"),
    (r'(<meta) (name="models-integrity"[^>]*>)', r"\1 \2\1  \2", "models/index.json twice"),
    (r"<title", '<meta http-equiv=" Refresh" content="0;url=//a.b"><title',
     "<meta> has the attribute http-equiv"),
    (r'src="', 'src="assets/other.js" src="', "has the attribute src twice"),
    (r"integrity=", 'integrity="" integrity=', "has the attribute integrity twice"),
    (r'content="sha384-[^"]*"', 'content="sha384-AAAA"', "models/index.json is missing or wrong"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("old", "new", "said"), some_of(PAGES, 5))
def test_a_page_that_loads_what_it_does_not_check(copy, old, new, said):
    change_page(copy, old, new)
    assert any(
        line.startswith("index.html: ") and re.search(said, line) for line in faults_of(copy)
    )


@pytest.mark.timed
@pytest.mark.parametrize(
    "text", ["<p>" * 80_000, "<p" + " a" * 100_000, '<p a="' + "x" * 200_000, "<p></p>" * 30_000,
             "<p z></p>" * 20_000, "<svg><g>" * 30_000, "&<" * 100_000]
)  # fmt: skip
def test_a_page_that_is_made_to_break_its_reader(text):
    head = '<!doctype html><html><head><meta charset="utf-8" /></head><body>'
    with at_most(MOST_SECONDS_OF_LARGE):
        page = read_page(f"{head}{text}")
    assert page.faults


@pytest.mark.slow
def test_a_page_that_is_larger_than_pages_are(copy):
    change_page(copy, r"</html>", "</html>" + " " * (1 << 18))
    assert any("index.html" in line and "bytes" in line for line in faults_of(copy))


@pytest.mark.slow
def test_the_self_test_page_is_held_to_the_same(copy):
    change_page(copy, r"</head>", "<script>1</script></head>", "selftest.html")
    assert "selftest.html: has an inline script" in faults_of(copy)


@pytest.mark.slow
def test_a_page_without_scripts(copy):
    change_page(copy, r"(?s)<link rel=.stylesheet.*</script>", "")
    assert "index.html: loads no script" in faults_of(copy)


@pytest.mark.slow
def test_no_page(copy):
    (copy / "index.html").unlink()
    attest(copy)
    assert faults_of(copy) == ["index.html: missing"]


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(["selftest.html", "client.js", "sw.js"], 3))
def test_a_page_that_lacks_a_file(copy, name):
    (copy / name).unlink()
    attest(copy)
    assert any(line.startswith(f"{name}: ") for line in faults_of(copy))


@pytest.mark.slow
def test_a_page_that_lacks_what_its_scripts_import(copy):
    pages = "".join(path.read_text() for path in copy.glob("*.html"))
    scripts = [path for path in (copy / "assets").glob("*.js") if path.name not in pages]
    scripts[0].unlink()
    attest(copy)
    assert f"assets/{scripts[0].name}: missing" in faults_of(copy)


@pytest.mark.slow
def test_a_page_without_the_chain(copy):
    """Someone makes the page look like one of before there was a chain."""
    change(copy, INDEX, lambda index: index[0].pop("integrity") and None)
    for name in ("index.html", "selftest.html"):
        change_page(copy, '<meta name="models-integrity"[^>]*>', "", name)
    assert faults_of(copy) == [f"{INDEX}: the integrity of tiny-sd15/manifest.json is missing"]


POLICIES = [
    "",
    r"\1\1",
    '<meta http-equiv="Content-Security-Policy" content="" />',
    '<meta http-equiv="Content-Security-Policy" content="script-src *" />',
    r'<meta http-equiv="Content-Security-Policy" content="\2; report-uri //a.b" />',
]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["index.html", "selftest.html"])
@pytest.mark.parametrize("policy", some_of(POLICIES, 5))
def test_a_page_without_its_policy(copy, name, policy):
    change_page(copy, r'(<meta http-equiv[^>]* content="([^"]*)"[^>]*>)', policy, name)
    assert faults_of(copy) == [f"{name}: its Content-Security-Policy is missing or another one"]


@pytest.mark.slow
def test_a_policy_after_what_it_is_about(copy):
    change_page(copy, r"(?s)(<meta http-equiv[^>]*>)(.*?)(</head>)", r"\2\1\3")
    assert faults_of(copy) == ["index.html: has its Content-Security-Policy after what it loads"]


# Files.

STRANGERS = ["robots.txt", "evil.js", "models/notes.txt", f"{MODEL}/extra.bin", "licenses/x.txt",
             "models/ghost/weights.bin", "LICENSE", "assets.js", "assets/evil.js",
             "evil.html", "driver/evil.html", "assets/evil.html", "driver/evil.js",
             "assets/sub/main.ABCDEFGH.js", "assets/evil.ABCDEFGH.js", "driver/evil.ABCDEFGH.js",
             "driver/main.ABCDEFGH.css", "assets/evil.ABCDEFGH.svg", "assets/x.LEGAL.txt",
             "assets/main.ABCDEFGH.js.LEGAL.txt", "assets/main.ABCDEFGH.xhtml",
             "licenses/evil.html", "driver/index.html", "selftest.htm"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", some_of(STRANGERS, 4))
def test_a_file_that_nothing_names(copy, name):
    (copy / name).parent.mkdir(exist_ok=True, parents=True)
    (copy / name).write_text("x")
    attest(copy)
    (fault,) = faults_of(copy)
    assert re.fullmatch(
        rf"{name}: (does not belong to (a bundle|the page).*|.* has nothing .* notice .*)", fault
    )


def keep(copy, name):
    """Let the service worker keep a file, by its digest."""
    worker = (copy / "sw.js").read_text()
    (kept,) = re.findall(r'\{url:"client\.js",[^}]*\}', worker)
    integrity = digest_bytes((copy / name).read_bytes()).integrity
    entry = re.sub(r'integrity:"[^"]*"', f'integrity:"{integrity}"', kept).replace(
        "client.js", name
    )
    (copy / "sw.js").write_text(worker.replace(kept, f"{kept},{entry}"))


@pytest.mark.slow
def test_a_script_that_is_kept_and_that_nothing_leads_to(copy):
    name = "assets/evil.ABCDEFGH.js"
    (copy / name).write_text("alert(1)")
    keep(copy, name)
    attest(copy)
    assert faults_of(copy) == [f"{name}: does not belong to the page: nothing of it leads there"]


@pytest.mark.slow
def test_a_service_worker_without_a_list(copy):
    worker = (copy / "sw.js").read_text()
    (copy / "sw.js").write_text(worker.replace("url:", "file:"))
    attest(copy)
    assert "sw.js: has no list of the page's files" in faults_of(copy)


CLIENTS = ["alert(1)", '{}import "//a.b/x.js";\n', 'export * from "https://a.b/client.js";\n']


@pytest.mark.slow
@pytest.mark.parametrize("name", ["client.js", "driver/client.js"])
@pytest.mark.parametrize("text", some_of(CLIENTS, 3))
def test_a_name_of_the_client_that_is_more(copy, name, text):
    if name.startswith("driver/"):
        # Bundles of earlier versions have it.
        (copy / name).write_text('export * from "./client.ABCDEFGH.js";\n')
    former = (copy / name).read_text()
    (copy / name).write_text(text.format(former) if "{}" in text else text)
    worker = (copy / "sw.js").read_text()
    digests = [digest_bytes(t.encode()).integrity for t in (former, (copy / name).read_text())]
    (copy / "sw.js").write_text(worker.replace(*digests))
    attest(copy)
    assert f"{name}: is not a name of the client" in faults_of(copy)


@pytest.mark.slow
@pytest.mark.parametrize("ending", some_of(["html", "js", "svg", "xhtml", "css", "json.html"], 3))
def test_a_file_of_a_model_that_would_be_a_page(copy, ending):
    """A manifest names its files, and servers say by the ending what a file is."""

    def rename(table):
        former = table["library"]["file"]
        table["library"]["file"] = former.replace("wasm", ending)
        (copy / MODEL / former).rename(copy / MODEL / table["library"]["file"])

    change_manifest(copy, rename)
    (fault,) = faults_of(copy)
    assert re.search(rf"\.{ending}: a model has no such files", fault)


@pytest.mark.parametrize("name", [".htaccess", "assets/.git", "con.js", "assets/a b.js", "C:x.js",
                                  "assets/a\x1b[31m.js", "assets/a\n.js", "models/é.json", "-rf",
                                  "a\\b.js", "x.", "assets/\u202esj.exe"])  # fmt: skip
def test_a_name_that_not_every_system_takes(copy, name):
    (copy / name).write_text("x")
    (fault,) = faults_of(copy)
    assert repr(name.rpartition("/")[2])[1:-1] in fault


def test_names_that_differ_in_capital_letters(copy):
    page = next((copy / "assets").glob("*.js"))
    shutil.copy(page, page.with_name(page.name.swapcase()))
    assert "on systems that ignore capital letters" in faults_of(copy)[0]


def link_file(copy, outside):
    (copy / "client.js").unlink()
    (copy / "client.js").symlink_to(outside / "secret")


def link_folder(copy, outside):
    shutil.move(copy / "assets", outside / "assets")
    (copy / "assets").symlink_to(outside / "assets")


def link_model(copy, outside):
    shutil.move(copy / MODEL, outside / "model")
    (copy / MODEL).symlink_to(outside / "model")


def link_inside(copy, _outside):
    (copy / "assets/link.js").symlink_to("../client.js")


def dangle(copy, outside):
    (copy / "assets/link.js").symlink_to(outside / "none")


def hard_link(copy, outside):
    (copy / "client.js").rename(outside / "client.js")
    (copy / "client.js").hardlink_to(outside / "client.js")


def pipe(copy, _outside):
    (copy / "index.html").unlink()
    os.mkfifo(copy / "index.html")


def listen(copy, _outside):
    os.chdir(copy)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("sock.js")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (link_file, "client.js: symbolic link"),
        (link_folder, "assets: symbolic link"),
        (link_model, "holds no models|symbolic link"),
        (link_inside, "assets/link.js: symbolic link"),
        (dangle, "assets/link.js: symbolic link"),
        (hard_link, "client.js: hard link to a file outside of the bundle"),
        (pipe, "index.html: named pipe"),
        (listen, "sock.js: socket"),
    ],
)
def test_what_is_no_plain_file(copy, tmp_path, monkeypatch, make, said):
    monkeypatch.chdir(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    make(copy, outside)
    faults = faults_of(copy)
    assert re.search(said, faults[0])
    refuse_to_join(copy)
    with pytest.raises(BundleError):
        write_attestations(copy, [])


def test_hard_links_inside_a_bundle_are_no_fault(tmp_path):
    (tmp_path / "a").write_text("x")
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert scan_tree(tmp_path).faults == ()


@pytest.mark.slow
def test_a_bundle_may_be_reached_through_a_link(bundle, tmp_path):
    (tmp_path / "link").symlink_to(bundle)
    assert list(verify_bundle(tmp_path / "link")) == []


# Manifests.


def no_components(table):
    table["components"] = {}


def a_file_twice(table):
    unet, vae = table["components"]["unet"]["shards"], table["components"]["vae"]["shards"]
    unet.append({**vae[0], "sha256": "0" * 64})


def another_offset(table):
    table["components"]["vae"]["records"][1]["offset"] += 4


def another_shape(table):
    table["components"]["vae"]["records"][0]["shape"] = [1 << 20]


def a_lost_shard(table):
    table["components"]["unet"]["shards"] = []


def no_decoder(table):
    table["entry_points"] = [
        entry for entry in table["entry_points"] if entry["role"] != "vae_decoder"
    ]


def an_idle_component(table):
    table["components"]["more"] = table["components"]["vae"]


def no_tokenizer_for_it(table):
    table["tokenizers"] = {"unet": table["tokenizers"]["text_encoder"]}


def a_size_that_nobody_planned(table):
    table["defaults"]["size"] = [64, 64]


def a_file_elsewhere(table):
    table["library"]["file"] = "../../index.html"


def a_file_with_a_folder(table):
    table["library"]["file"] = "a/b.wasm"


def a_device(table):
    table["library"]["file"] = "aux.wasm"


def a_component_elsewhere(table):
    table["components"]["../x"] = table["components"]["vae"]


def no_constants_for_it(table):
    del table["schedulers"]["constants"][table["schedulers"]["default"]]


CONTRADICTIONS = [
    (no_components, "components"),
    (a_file_twice, "listed twice, with different sizes or digests|sha256 mismatch"),
    (another_offset, "components: vae: .* is at "),
    (another_shape, "components: vae: .* bytes, expected 4194304"),
    (a_lost_shard, "components: unet: its shards have 0 bytes"),
    (no_decoder, "entry_points: none has the role vae_decoder"),
    (an_idle_component, "components: no entry point takes more"),
    (no_tokenizer_for_it, "tokenizers: none for text_encoder"),
    (a_size_that_nobody_planned, "peak_bytes: nothing is planned for 64x64"),
    (no_constants_for_it, "schedulers: constants: not one file for each"),
    (a_file_elsewhere, "library/file: "),
    (a_file_with_a_folder, "library/file: "),
    (a_device, "library/file: .* means a device on Windows"),
    (a_component_elsewhere, "components: .*is not a plain name"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "said"), some_of(CONTRADICTIONS, 3))
def test_a_manifest_that_contradicts_itself(copy, edit, said):
    with suppress(BundleError):  # some cannot even be described
        change_manifest(copy, edit)
    faults = "\n".join(faults_of(copy))
    assert re.search(said, faults)
    assert MANIFEST in faults


@pytest.mark.slow
def test_constants_of_a_scheduler_that_differ_from_the_manifest(copy):
    """The page draws with the file, and clients of earlier versions with the manifest."""

    def halve(table):
        table["noise_schedule"]["alphas_cumprod"][0] /= 2

    change_manifest(copy, halve)
    assert any(
        re.search(r"/scheduler-ddim\.\w+\.json: constants of ddim differ from the manifest", fault)
        for fault in faults_of(copy)
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("tokenizer", b"{}\n", "not a tokenizer of the type BPE or Unigram"),
        ("tokenizer", b'{"model":{"type":"WordPiece"}}\n', "not a tokenizer of the type BPE or"),
        ("self-test", b'{"stages":[{}]}\n', "stages/0/entry_point: Field required"),
        ("self-test", b"[" * 500 + b"]" * 500, "0/0/0/0: nested deeper than"),
    ],
)
def test_files_of_a_model_are_read_by_their_types(copy, kind, content, said):
    name = f"{kind}.{sha256_bytes(content)}.json"
    entry = {"file": name, "bytes": len(content), "sha256": sha256_bytes(content)}
    for former in (copy / MODEL).glob(f"{kind}.*.json"):
        former.unlink()
    (copy / MODEL / name).write_bytes(content)

    def edit(table):
        for place in (
            [*table["tokenizers"].values()] if kind == "tokenizer" else [table["self_test"]]
        ):
            place.update(entry)

    change_manifest(copy, edit)
    (fault,) = faults_of(copy)
    assert fault.startswith(f"{MODEL}/{name}: {said}")


# The list of models.


PLACES = [
    ("manifest", "../", "not a plain name"),
    ("manifest", "/etc/", "not a plain name"),
    ("manifest", "tiny-sd15/../../", "not a plain name"),
    ("manifest", "C:/", "not a plain name"),
    ("manifest", "tiny-sd15", "does not end with a slash"),
    ("manifest", "https://example.org/", "not a plain name"),
    ("manifest", "other/", "models/other/manifest.json: missing"),
    ("name", "../x", "String should match pattern"),
    ("name", "lpt1", "means a device"),
    ("name", "twin", "name of models/tiny-sd15 is 'twin'"),
    ("title", "Another", "title of models/tiny-sd15 is 'Another'"),
    ("dtype", "f16", "dtype of models/tiny-sd15 is 'f16'"),
    ("integrity", None, "integrity of tiny-sd15/manifest.json"),
    ("safety_checker", True, "to be checked, but its manifest has no safety checker"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value", "said"), some_of(PLACES, 3))
def test_a_list_that_leads_elsewhere(copy, key, value, said):
    change(copy, INDEX, lambda index: index[0].update({key: value}))
    with suppress(BundleError):  # some cannot even be read
        link_page(copy)
        attest(copy)
    assert any(said in line for line in faults_of(copy))
    refuse_to_join(copy)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda index: [*index, {**index[0], "dtype": "f16"}], "a model is listed twice"),
        (lambda _index: [], "models/index.json does not list it"),
        (lambda index: {"models": index}, "index.json: "),
    ],
)
def test_a_list_of_other_models(copy, edit, said):
    change(copy, INDEX, edit)
    with suppress(BundleError):
        link_page(copy)
        attest(copy)
    assert any(said in line for line in faults_of(copy))


# Attestations.


def resign(copy):
    """Let SRI.json and provenance agree with an SBOM that was changed."""
    sbom = (copy / "sbom.cdx.json").read_bytes()
    change(copy, "SRI.json", lambda t: t.update({"sbom.cdx.json": digest_bytes(sbom).integrity}))
    digests = {name: sha256_file(copy / name) for name in ("SRI.json", "sbom.cdx.json")}

    def edit(statement):
        for subject in statement["subject"]:
            if subject["name"] in digests:
                subject["digest"]["sha256"] = digests[subject["name"]]

    change(copy, "provenance.json", edit)


def definition(statement):
    return statement["predicate"]["buildDefinition"]


def model_parameters(statement):
    return definition(statement)["externalParameters"]["models"][0]


def builder(statement):
    return statement["predicate"]["runDetails"]["builder"]


# What says that the attestations are of another version, which would then not be made again.
FOREIGN = [
    *(
        (lambda s, version=version: builder(s)["version"].update(wsd=version), said)
        for version, said in [
            ("99", "newer than this one: update WSD"),
            ("0.1.1.dev1", "newer than this one: update WSD"),
            (f"{__version__}+x", "newer than this one: update WSD"),
            ("", "'' is not a version of WSD"),
            ("x", "'x' is not a version of WSD"),
            ("1" * 10_000 + "x", "is not a version of WSD"),
        ]
    ),
    (lambda s: builder(s)["version"].clear(), "'' is not a version of WSD"),
    (lambda s: definition(s).update(buildType="urn:wsd:build:3"), "its buildType is 'urn:wsd:bu"),
    (lambda s: definition(s).update(buildType="urn:wsd:build:2 "), "its buildType is"),
    (lambda s: definition(s).update(buildType="https://slsa.dev/x"), "its buildType is"),
]
PROVENANCE = [
    *FOREIGN,
    (lambda s: s["predicate"]["runDetails"]["builder"].update(id="urn:x"), "builder/id"),
    (lambda s: model_parameters(s).update(source="stabilityai/x@1"), "models/0/source"),
    (lambda s: definition(s)["resolvedDependencies"].pop(), "resolvedDependencies"),
    (lambda s: definition(s)["resolvedDependencies"].append({"uri": "pkg:pypi/x@1"}),
     "resolvedDependencies"),
    (lambda s: s["subject"].pop(0), "subject"),
    (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "subject/0/digest/sha256"),
    (lambda s: s.update(more=1), "more does not belong there"),
    (lambda s: s["predicate"]["runDetails"]["metadata"].update(invocationId="1"), "invocationId"),
    (lambda s: s.update(_type="https://in-toto.io/Statement/v2"), "_type"),
    (lambda s: s.pop("predicate"), "predicate: Field required"),
    (lambda s: s.update(subject=[*s["subject"], {"name": "../x", "digest": {"sha256": "0" * 64}}]),
     "is not a plain name"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "said"), some_of(PROVENANCE, 4))
def test_a_forged_provenance(copy, edit, said):
    change(copy, "provenance.json", lambda table: edit(table) and None)
    (fault,) = faults_of(copy)
    assert "provenance.json: " in fault
    assert said in fault


@pytest.mark.slow
@pytest.mark.parametrize("version", some_of(["0.0.1", "0.1.0rc1"], 2))
def test_attestations_of_today_s_type_are_made_again_whoever_wrote_them(copy, version):
    """Another version in the provenance must not mean that less is compared."""
    materials = read_materials(copy)
    for name, value in build_attestations(read_snapshot(copy), materials, version).items():
        (copy / name).write_bytes(canonical_json(value))
    assert faults_of(copy) == []
    assert describe_limits(copy) == ""
    change(copy, "sbom.cdx.json", lambda b: component(b, "torch").update(description="x"))
    resign(copy)
    assert any("description does not belong there" in line for line in faults_of(copy))
    (copy / "THIRD_PARTY_NOTICES.txt").write_text("nothing")
    for name, value in build_attestations(read_snapshot(copy), materials, version).items():
        (copy / name).write_bytes(canonical_json(value))
    (fault,) = faults_of(copy)
    assert fault.startswith("THIRD_PARTY_NOTICES.txt: not the notice")


def test_no_provenance(copy):
    (copy / "provenance.json").unlink()
    (fault,) = faults_of(copy)
    assert "provenance.json does not exist" in fault


def component(sbom, name):
    return next(entry for entry in sbom["components"] if entry["name"] == name)


SBOMS = [
    (lambda b: component(b, "index.html")["hashes"].pop(), "hashes"),
    (lambda b: component(b, "tiny-sd15").update(version="f16"), "version"),
    (lambda b: b["components"].append({**component(b, "sw.js"), "name": "x.js"}), "x.js: missing"),
    (lambda b: b["components"].append(dict(component(b, "index.html"))), "components"),
    (lambda b: b["components"].remove(component(b, "tiny-sd15")), "components"),
    (lambda b: component(b, "torch").update(description="x"), "description does not belong there"),
    (lambda b: b["dependencies"].pop(), "dependencies"),
    (lambda b: b.update(serialNumber="urn:uuid:" + "0" * 8 + "-0000-4000-8000-" + "0" * 12),
     "serialNumber"),
    (lambda b: b["metadata"]["component"].update(name="x"), "metadata/component/name"),
    (lambda b: b.update(specVersion="1.5"), "specVersion"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "said"), some_of(SBOMS, 3))
def test_an_sbom_that_does_not_match(copy, edit, said):
    change(copy, "sbom.cdx.json", lambda table: edit(table) and None)
    resign(copy)
    assert any(said in line for line in faults_of(copy))


@pytest.mark.slow
def test_licences_that_are_missing_or_changed(copy):
    text = next((copy / "licenses").iterdir())
    content = text.read_bytes()
    text.write_bytes(content + b"And more.\n")
    assert any(text.name in line or "licen" in line for line in faults_of(copy))
    text.unlink()
    assert any(text.name in line for line in faults_of(copy))
    text.write_bytes(content)
    (copy / "THIRD_PARTY_NOTICES.txt").write_text("There is nothing to say.\n")
    attest(copy)
    assert faults_of(copy) == [
        "THIRD_PARTY_NOTICES.txt: not the notice that sbom.cdx.json and the manifests ask for"
    ]


@pytest.mark.slow
def test_attestations_in_other_words(copy):
    """The values are the same, but not the bytes, which the same build must give."""
    (copy / "provenance.json").write_text(
        json.dumps(json.loads((copy / "provenance.json").read_text()), indent=1)
    )
    (fault,) = faults_of(copy)
    assert "not written as WSD writes it" in fault


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "assets/../x", "a//b", "con", "a\tb"])
def test_a_table_of_digests_with_odd_paths(copy, name):
    change(copy, "SRI.json", lambda table: table.update({name: table["index.html"]}))
    (fault,) = faults_of(copy)
    assert "SRI.json: " in fault
    assert "is not a plain name" in fault or "means a device" in fault


@pytest.mark.parametrize("name", ["SRI.json", "sbom.cdx.json", "provenance.json", INDEX, MANIFEST])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":1,"a":2}', "1" * 5000, "\ufeff{}", "\0"])
def test_json_that_is_made_to_break_its_reader(copy, name, text):
    (copy / name).write_text(text, encoding="utf-8")
    fault, *_ = faults_of(copy)
    assert name.rpartition("/")[2] in fault or text == "\ufeff{}"
    assert len(fault) < 1000


# Bundles of before.


def make_early(copy):
    """Make a bundle what it was before there were notices, a chain and subjects for it."""
    change(copy, INDEX, lambda index: index[0].pop("integrity") and None)
    for name in ("index.html", "selftest.html"):
        change_page(copy, '<meta name="models-integrity"[^>]*>', "", name)
    shutil.rmtree(copy / "licenses")
    (copy / "THIRD_PARTY_NOTICES.txt").unlink()
    change(copy, "sbom.cdx.json", early_sbom)
    snapshot = read_snapshot(copy)
    for name, value in build_attestations(snapshot, read_materials(copy)).items():
        (copy / name).write_bytes(canonical_json(value))
    change(copy, "sbom.cdx.json", early_sbom)
    change(copy, "provenance.json", early_provenance)
    names = [*snapshot.files, "sbom.cdx.json", "provenance.json"]
    table = {name: digest_bytes((copy / name).read_bytes()).integrity for name in names}
    (copy / "SRI.json").write_bytes(canonical_json(table))


def early_sbom(sbom):
    for entry in sbom["components"]:
        for key in ("externalReferences", "properties", "supplier"):
            entry.pop(key, None)


def early_provenance(statement):
    definition(statement)["buildType"] = "urn:wsd:build:1"
    # Files of checkpoints were not among them.
    named = definition(statement)["resolvedDependencies"]
    definition(statement)["resolvedDependencies"] = [d for d in named if "name" not in d]
    subjects = statement["subject"]
    statement["subject"] = [s for s in subjects if s["name"] not in layout.ATTESTATIONS]


@pytest.mark.slow
def test_a_bundle_of_an_earlier_version_is_good(copy):
    make_early(copy)
    assert faults_of(copy) == []
    assert "as far as this version can tell" in describe_limits(copy)


@pytest.mark.slow
def test_an_earlier_type_is_said_and_not_taken_for_today_s(copy, capsys):
    """Whoever names the earlier type gets less compared, and no plain "good"."""
    assert exit_code("verify", copy) == 0
    assert capsys.readouterr().out == f"{copy}: good\n"
    make_early(copy)
    assert exit_code("verify", copy) == 0
    assert "good, as far as this version can tell: its attestations are of the earlier type " in (
        capsys.readouterr().out
    )
    assert exit_code("join", copy, "--out", copy.parent / "joined") == 2
    assert f"hint: join it with WSD {__version__}, or build it again" in capsys.readouterr().err
    refuse_to_join(copy)


@pytest.mark.slow
def test_an_earlier_type_with_notices_that_nothing_compares(copy):
    make_early(copy)
    (copy / "THIRD_PARTY_NOTICES.txt").write_text("nothing")
    attest(copy)
    change(copy, "provenance.json", early_provenance)
    assert any("has no notices, but THIRD_PARTY_NOTICES" in line for line in faults_of(copy))


EARLIER = [
        (lambda s: s["subject"].pop(0), "subject"),
        (lambda s: s["subject"][0]["digest"].update(sha256="0" * 64), "has another sha256"),
        (lambda s: s["subject"].append(s["subject"][0]), "a subject is there twice"),
        (lambda s: model_parameters(s).update(dtype="f16"), "are not the models of the manifests"),
        (lambda s: definition(s)["resolvedDependencies"].clear(), "resolvedDependencies lack"),
        (lambda s: definition(s)["resolvedDependencies"].append({"uri": "pkg:pypi/evil@1"}),
         "resolvedDependencies have 'pkg:pypi/evil@1'"),
        (lambda s: definition(s)["resolvedDependencies"].append(
            definition(s)["resolvedDependencies"][0]), "a resolved dependency is there twice"),
        (lambda s: definition(s)["resolvedDependencies"][0].update(digest={"sha256": "0" * 64}),
         "has another digest"),
        (lambda s: builder(s).update(id="https://github.com/trusted/builder"), "builder is not"),
        (lambda s: builder(s)["version"].update(github="1"), "builder is not"),
        *FOREIGN,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "said"), some_of(EARLIER, 5))
def test_what_an_earlier_version_says_is_compared_too(copy, edit, said):
    make_early(copy)
    change(copy, "provenance.json", lambda table: edit(table) and None)
    provenance = digest_bytes((copy / "provenance.json").read_bytes())
    change(copy, "SRI.json", lambda t: t.update({"provenance.json": provenance.integrity}))
    (fault,) = faults_of(copy)
    assert "provenance.json: " in fault
    assert said in fault


# Writing attestations.


def test_no_attestations_of_what_would_not_verify(copy):
    materials = read_materials(copy)
    (copy / "models" / "more.txt").write_text("x")
    with pytest.raises(BundleError, match=r"models/more\.txt: does not belong to a bundle"):
        write_attestations(copy, materials)


# Names and paths by themselves.


@pytest.mark.parametrize("name", ["a", "A.b", "@scope", "_x", "a-b+c", "x" * MAX_NAME, "console"])
def test_good_names(name):
    assert check_name(name) == name
    assert check_path(f"{name}/b") == f"{name}/b"
    assert check_folder(f"{name}/") == f"{name}/"


BAD_NAMES = ["", ".", "..", ".a", "-a", "a.", "a b", "a/b", "a\\b", "a:b", "a\n", "a\0", "é", "NUL",
             "Com7.tar.gz", "a%2e", "a?b", "a*", "x" * (MAX_NAME + 1), "\u202eabc",
             "\udcff"]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_names(name):
    with pytest.raises(ValueError, match=re.compile("name|device", re.DOTALL)):
        check_name(name)
    if "/" not in name:
        with pytest.raises(ValueError, match="path"):
            check_path(f"a/{name}")
    with pytest.raises(ValueError, match=r"name|device|slash"):
        check_folder(f"{name}/")


@pytest.mark.slow
def test_a_snapshot_names_the_files_of_every_model(bundle):
    snapshot: Snapshot = read_snapshot(bundle)
    assert {name for name, _ in snapshot.entries()} <= snapshot.files.keys()
