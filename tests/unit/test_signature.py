"""``wsd verify --signature``: whose signature it is, and what it is of."""

import base64
import datetime
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from commands import exit_code
from small_sigstore import SmallSigstore
from wsd.bundle.attestations import write_attestations
from wsd.errors import BundleError, UsageError
from wsd.supply_chain.sbom import read_materials
from wsd.supply_chain.signature import Identity, Key, check_signature
from wsd.util.files import REPOSITORY

COSIGN = shutil.which("cosign")
KINDS = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}


@pytest.fixture
def copy(bundle, tmp_path):
    """Return a copy of what signatures are about: they lead to the other files by digest."""
    (tmp_path / "dist").mkdir()
    for name in ("provenance.json", "SRI.json", "index.html"):
        shutil.copyfile(bundle / name, tmp_path / "dist" / name)
    return tmp_path / "dist"


WORKFLOW = "https://github.com/o/wsd/.github/workflows/build-signed.yml@refs/tags/v1"
GITHUB = "https://token.actions.githubusercontent.com"
# The repository that the workflow built, and its tag.
SOURCE = ("https://github.com/o/wsd", "refs/tags/v1")


@pytest.fixture(scope="module")
def sigstore():
    return SmallSigstore(datetime.datetime.now(datetime.UTC))


@pytest.fixture
def root(sigstore, tmp_path):
    path = tmp_path / "trusted_root.json"
    path.write_text(sigstore.trusted_root())
    return path


def write_keys(folder, private):
    """Write a pair of keys as PEM files; returns (private, public)."""
    public = folder / "release.pub"
    public.write_bytes(
        private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    secret = folder / "release.key"
    secret.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return secret, public


def envelope(private, payload, kind="application/vnd.in-toto+json"):
    """Return a Sigstore bundle with a statement, its envelope made by securesystemslib."""
    signed = Envelope(payload, kind, {})
    signed.sign(CryptoSigner(private))
    return {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": ""}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": kind,
            "signatures": [
                {"sig": base64.b64encode(bytes.fromhex(one.signature)).decode()}
                for one in signed.signatures.values()
            ],
        },
    }


def save(tmp_path, *bundles):
    path = tmp_path / "dist.sigstore.json"
    path.write_text("\n".join(map(json.dumps, bundles)))
    return path


@pytest.fixture
def signed(copy, tmp_path):
    """Return a bundle, its provenance's signature, the private key and the public key's file."""
    private = KINDS["P-256"]()
    _, public = write_keys(tmp_path, private)
    path = save(tmp_path, envelope(private, (copy / "provenance.json").read_bytes()))
    return copy, path, private, public


def documented(of=""):
    """Return the commands of docs/security.md that sign and check, or check with cosign."""
    text = (REPOSITORY / "docs" / "security.md").read_text(encoding="utf-8")
    mark = f"<!-- test_signature: {of} -->" if of else "<!-- test_signature -->"
    (block,) = re.findall(rf"{mark}\n```sh\n(.*?)```", text, re.S)
    return block.replace("\\\n", " ").splitlines()


@pytest.mark.full
@pytest.mark.slow
def test_the_documented_commands(bundle, tmp_path, monkeypatch, capsys):
    """What docs/security.md says is what runs here, with openssl and with WSD."""
    copy = shutil.copytree(bundle, tmp_path / "dist")
    monkeypatch.chdir(tmp_path)
    commands = [line.partition("  #")[0].split() for line in documented()]
    assert [words[0] for words in commands] == ["openssl", "openssl", "openssl", "wsd"]
    for words in commands[:-1]:
        subprocess.run(words, check=True, capture_output=True)
    assert exit_code(*commands[-1][1:]) == 0
    assert capsys.readouterr().out == "dist: good, and signed by the key release.pub\n"
    # One changed byte of the provenance, of which verify alone knows nothing if all else follows.
    manifest = next((copy / "models").glob("*/manifest.json"))
    manifest.write_bytes(manifest.read_bytes().replace(b"coloured shapes", b"coloured sharks"))
    index = copy / "models" / "index.json"
    index.write_bytes(index.read_bytes().replace(b"coloured shapes", b"coloured sharks"))
    reseal(copy)
    assert exit_code("verify", "dist") == 0
    assert exit_code(*commands[-1][1:]) == 2
    assert "is not a signature by the key release.pub" in capsys.readouterr().err


def reseal(folder):
    """Make attestations that agree with altered files, as whoever altered them would."""
    from wsd.bundle.manifest import read_index, write_index
    from wsd.bundle.page_chain import link_page

    write_index(read_index(folder), folder)
    link_page(folder)
    write_attestations(folder, read_materials(folder))


@pytest.mark.parametrize("kind", ["P-256", "P-384", "Ed25519"])
def test_a_statement_signed_by_a_key(copy, tmp_path, kind):
    """Of every kind of key whose DSSE signatures securesystemslib makes as Sigstore has them."""
    private = KINDS[kind]()
    _, public = write_keys(tmp_path, private)
    good = envelope(private, (copy / "provenance.json").read_bytes())
    check_signature(copy, save(tmp_path, good), Key(public))
    _, other = write_keys(tmp_path, KINDS[kind]())
    with pytest.raises(BundleError, match="is not a signature by the key"):
        check_signature(copy, save(tmp_path, good), Key(other))


@pytest.mark.slow
@pytest.mark.parametrize("form", ["binary", "base64", "sigstore", "early cosign"])
@pytest.mark.parametrize("kind", ["P-256", "RSA"])
def test_the_file_signed_by_openssl(copy, tmp_path, kind, form):
    secret, public = write_keys(tmp_path, KINDS[kind]())
    provenance = copy / "provenance.json"
    signature = tmp_path / "provenance.sig"
    command = ["openssl", "dgst", "-sha256", "-sign", secret, "-out", signature, provenance]
    subprocess.run(command, check=True)
    raw = signature.read_bytes()
    if form == "base64":
        signature.write_bytes(base64.encodebytes(raw))
    if form == "sigstore":
        signature = save(tmp_path, {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "messageSignature": {"signature": base64.b64encode(raw).decode()},
        })  # fmt: skip
    if form == "early cosign":
        signature = save(tmp_path, {"base64Signature": base64.b64encode(raw).decode()})
    check_signature(copy, signature, Key(public))
    provenance.write_bytes(provenance.read_bytes() + b" ")
    with pytest.raises(BundleError, match="is not a signature by the key"):
        check_signature(copy, signature, Key(public))


def run_cosign(folder, *words):
    """Run cosign without Sigstore's services; returns what the command did."""
    variables = {**os.environ, "COSIGN_PASSWORD": "", "COSIGN_YES": "true"}
    return subprocess.run(
        [COSIGN, *map(str, words)],
        cwd=folder, env=variables, capture_output=True, text=True, check=False,
    )  # fmt: skip


def sign_with_cosign(folder, statement, out, command):
    """Sign a statement with cosign and a key of its own, without Sigstore's services."""

    def run(*words):
        done = run_cosign(folder, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    run("generate-key-pair")
    known = run(command, "--help")
    # Version 3 asks Sigstore which services there are, unless it is told not to.
    asks = "--use-signing-config" in known
    options = ["--tlog-upload=false", *(["--use-signing-config=false"] if asks else [])]
    if command == "attest-blob":
        if "--statement" not in known:
            pytest.skip("not run: this cosign signs no statement of somebody else")
        run(command, "--key", "cosign.key", *options, "--bundle", out, "--statement", statement)
    else:
        run(command, "--key", "cosign.key", *options, "--bundle", out, statement)
    return folder / "cosign.pub"


NEEDS_COSIGN = pytest.mark.skipif(
    COSIGN is None, reason="not run: cosign is not here; Debian 13 has it"
)


@NEEDS_COSIGN
@pytest.mark.parametrize("command", ["sign-blob", "attest-blob"])
def test_cosign_itself(copy, tmp_path, command):
    provenance, signature = copy / "provenance.json", tmp_path / "dist.sigstore.json"
    public = sign_with_cosign(tmp_path, provenance, signature, command)
    check_signature(copy, signature, Key(public))
    good = provenance.read_bytes()
    check = ("verify-blob", "--insecure-ignore-tlog", "--key", public, "--bundle", signature)
    if command == "sign-blob":
        assert run_cosign(tmp_path, *check, provenance).returncode == 0
    for changed in (good + b" ", good.replace(b"SRI.json", b"SRI.jsen")):
        provenance.write_bytes(changed)
        # A statement of the same content in other bytes is the same statement.
        if command == "attest-blob" and changed == good + b" ":
            check_signature(copy, signature, Key(public))
            continue
        with pytest.raises(BundleError, match="does not sign"):
            check_signature(copy, signature, Key(public))
        if command == "sign-blob":
            assert "invalid signature" in run_cosign(tmp_path, *check, provenance).stderr


@NEEDS_COSIGN
def test_cosign_checks_the_documented_signature(copy, tmp_path):
    """It accepts what the documents sign with openssl, and refuses a changed byte."""
    openssl = [line.split() for line in documented() if line.startswith("openssl")]
    for words in openssl:
        subprocess.run(words, check=True, capture_output=True, cwd=tmp_path)
    (command,) = documented("cosign")
    program, *words = command.split()
    assert program == "cosign"
    assert run_cosign(tmp_path, *words).returncode == 0
    good = (copy / "provenance.json").read_bytes()
    for place in (0, len(good) // 2, len(good) - 1):
        changed = bytes(byte ^ (index == place) for index, byte in enumerate(good))
        (copy / "provenance.json").write_bytes(changed)
        done = run_cosign(tmp_path, *words)
        assert done.returncode != 0
        assert "invalid signature" in done.stderr


def alter(found, key, value):
    changed = json.loads(json.dumps(found))
    changed["dsseEnvelope"][key] = value
    return changed


def test_a_changed_byte_anywhere_is_refused(signed, tmp_path):
    folder, path, _, public = signed
    good = json.loads(path.read_text())
    payload = base64.b64decode(good["dsseEnvelope"]["payload"])
    signature = base64.b64decode(good["dsseEnvelope"]["signatures"][0]["sig"])
    changed = [
        alter(good, "payload", base64.b64encode(payload.replace(b"wsd", b"wsx", 1)).decode()),
        alter(good, "payloadType", "application/vnd.in-toto+jsom"),
        alter(good, "signatures", []),
        *(
            alter(good, "signatures", [{"sig": base64.b64encode(bytes(flipped)).decode()}])
            for place in (0, 5, len(signature) // 2, len(signature) - 1)
            for flipped in [[b ^ (place == i) for i, b in enumerate(signature)]]
        ),
    ]
    for other in changed:
        with pytest.raises(BundleError, match="does not sign"):
            check_signature(folder, save(tmp_path, other), Key(public))


@pytest.mark.parametrize("name", ["SRI.json", "provenance.json"])
def test_a_true_statement_about_another_bundle_is_refused(signed, name):
    """Signatures are copied easily: what counts is that the statement is about these files."""
    folder, path, _, public = signed
    (folder / name).write_bytes((folder / name).read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(
        BundleError,
        match="its statement (does not have the digest of this SRI.json|is not provenance)",
    ):
        check_signature(folder, path, Key(public))


def test_another_tools_statement_about_the_files(signed, tmp_path):
    """GitHub attests files by digest, and writes a provenance of its own."""
    folder, _, private, public = signed

    def statement(*names):
        digests = [subprocess.check_output(["sha256sum", folder / n])[:64].decode() for n in names]
        return json.dumps({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "file", "digest": {"sha256": one}} for one in digests],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {},
        }).encode()  # fmt: skip

    both = envelope(private, statement("SRI.json", "provenance.json"))
    check_signature(folder, save(tmp_path, both), Key(public))
    for names in (["SRI.json"], ["provenance.json"], ["index.html"]):
        path = save(tmp_path, envelope(private, statement(*names)))
        with pytest.raises(BundleError, match="its statement"):
            check_signature(folder, path, Key(public))
    # Of several attestations, one on each line, one must be about the bundle.
    alone = envelope(private, statement("index.html"))
    check_signature(folder, save(tmp_path, alone, both), Key(public))
    with pytest.raises(BundleError, match="its statement"):
        check_signature(folder, save(tmp_path, alone, alone), Key(public))


def test_a_folder_signed_as_openssf_signs_models(signed, tmp_path):
    """Its statement has one subject, the folder, and lists the files in the predicate."""
    folder, _, private, public = signed

    def statement(names, kind="https://model_signing/signature/v1.0", algorithm="sha256"):
        digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names]
        return json.dumps({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "dist", "digest": {"sha256": "ab" * 32}}],
            "predicateType": kind,
            "predicate": {"resources": [
                {"algorithm": algorithm, "name": "file", "digest": one} for one in digests
            ]},
        }).encode()  # fmt: skip

    both = ["SRI.json", "provenance.json"]
    check_signature(folder, save(tmp_path, envelope(private, statement(both))), Key(public))
    for other in (
        statement(["SRI.json"]),
        statement(both, kind="https://example.org/other"),
        statement(both, algorithm="blake3"),
    ):
        path = save(tmp_path, envelope(private, other))
        with pytest.raises(BundleError, match="its statement"):
            check_signature(folder, path, Key(public))


def test_a_signed_text_that_is_no_statement(signed, tmp_path):
    folder, _, private, public = signed
    data = (folder / "provenance.json").read_bytes()
    for payload, kind, said in (
        (data, "text/plain", "not a statement of in-toto"),
        (b"[1, 2]", "application/vnd.in-toto+json", "not readable"),
        (b"{" * 10_000, "application/vnd.in-toto+json", "not readable"),
        (data.replace(b"in-toto.io/Statement/v1", b"example.org/S"), None, "of type"),
    ):
        other = envelope(private, payload, kind or "application/vnd.in-toto+json")
        with pytest.raises(BundleError, match=said):
            check_signature(folder, save(tmp_path, other), Key(public))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "is not a Sigstore bundle: not JSON"),
        (b"{}", "is not a Sigstore bundle: mediaType"),
        (b'{"mediaType": "application/json"}', "is not a Sigstore bundle: mediaType"),
        (b'{"mediaType": "application/vnd.dev.sigstore.bundle", "dsseEnvelope": 3}',
         "is not a Sigstore bundle: dsseEnvelope"),
        (b"{" * 100_000, "is not a Sigstore bundle"),
        # Each name of a test is given to the programs that it starts, which take no long ones.
        pytest.param(
            b'{"mediaType": "application/vnd.dev.sigstore.bundle", "dsseEnvelope": {"payload": "", '
            b'"payloadType": "", "signatures": [' + b"{}," * 100_000 + b"{}]}}",
            "is not a Sigstore bundle: a field sig is missing$", id="faults"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_signature(signed, tmp_path, text, said):
    folder, _, _, public = signed
    path = tmp_path / "other"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=said):
        check_signature(folder, path, Key(public))


@pytest.mark.parametrize("text", [b"", b"\x00\xff", b"aGVsbG8="])
def test_a_bare_file_that_is_no_signature(signed, tmp_path, text):
    folder, _, _, public = signed
    path = tmp_path / "other"
    path.write_bytes(text)
    with pytest.raises(BundleError, match="is not a signature by the key"):
        check_signature(folder, path, Key(public))


@pytest.mark.slow
@pytest.mark.parametrize(
    "rest",
    [
        {},
        {"messageSignature": None, "dsseEnvelope": None},
        {"messageSignature": {"signature": ""}},
        {"dsseEnvelope": {"payload": "", "payloadType": "", "signatures": []}},
        {"dsseEnvelope": {"payload": "e30=", "payloadType": "", "signatures": [{"sig": ""}]}},
    ],
)
def test_a_sigstore_bundle_that_signs_nothing(signed, sigstore, root, tmp_path, rest):
    """What is absent must not count as checked, for a key and for an identity."""
    folder, _, _, public = signed
    media = "application/vnd.dev.sigstore.bundle.v0.3+json"
    path = save(tmp_path, {"mediaType": media, **rest})
    # With a certificate and a log entry of somebody who signed something else.
    borrowed = sigstore.sign_statement(b"{}", WORKFLOW, GITHUB, SOURCE)["verificationMaterial"]
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"mediaType": media, "verificationMaterial": borrowed, **rest}))
    for named in (path, other):
        for signer in (Key(public), Identity(WORKFLOW, GITHUB, trusted_root=root)):
            with pytest.raises(BundleError, match="does not sign"):
                check_signature(folder, named, signer)


def test_no_regular_file(signed, tmp_path):
    folder, path, _, public = signed
    os.mkfifo(tmp_path / "pipe")
    for odd in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="is not a regular file"):
            check_signature(folder, odd, Key(public))
        with pytest.raises(UsageError, match="is not a regular file"):
            check_signature(folder, path, Key(odd))


@pytest.mark.slow
def test_keys_that_are_none(signed, tmp_path):
    folder, path, _, _ = signed
    with pytest.raises(UsageError, match="does not exist"):
        check_signature(folder, path, Key(tmp_path / "none.pub"))
    for text in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"):
        (tmp_path / "other.pub").write_bytes(text)
        with pytest.raises(UsageError, match="is not a public key in PEM"):
            check_signature(folder, path, Key(tmp_path / "other.pub"))
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    _, public = write_keys(tmp_path, small)
    with pytest.raises(BundleError, match="keys of this kind are not taken"):
        check_signature(folder, path, Key(public))


@pytest.mark.slow
def test_a_statement_signed_by_an_identity(copy, sigstore, root, tmp_path):
    """Certificate, both logs and the envelope are checked by sigstore itself, without a network."""
    payload = (copy / "provenance.json").read_bytes()
    good = sigstore.sign_statement(payload, WORKFLOW, GITHUB, SOURCE)
    check_signature(copy, save(tmp_path, good), Identity(WORKFLOW, GITHUB, trusted_root=root))
    for name, issuer in (
        (WORKFLOW.replace("/o/", "/p/"), GITHUB),
        (WORKFLOW, "https://accounts.example.org"),
    ):
        someone = Identity(name, issuer, trusted_root=root)
        with pytest.raises(BundleError, match="does not sign"):
            check_signature(copy, save(tmp_path, good), someone)


GITLAB = "https://gitlab.example/a/b/wsd//.gitlab-ci.yml@refs/heads/main"


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        (WORKFLOW, ("https://github.com/evil/x", "refs/tags/v1")),
        (WORKFLOW, ("https://github.com/o/wsd-evil", "refs/tags/v1")),
        (WORKFLOW, ("https://github.com/o/wsd", "refs/heads/evil")),
        (WORKFLOW, ("https://github.com/o/wsd",)),
        (WORKFLOW, ()),
        (WORKFLOW.replace("github.com", "github.example"), SOURCE),
        (WORKFLOW.replace("refs/tags/v1", "0" * 40), SOURCE),
        (GITLAB, ("https://gitlab.example/a/b", "refs/heads/main")),
        (GITLAB, ()),
    ],
)
def test_a_workflow_that_somebody_else_called(copy, sigstore, root, tmp_path, identity, source):
    """The certificate has the workflow's name, whoever calls it with sources of their own."""
    payload = (copy / "provenance.json").read_bytes()
    path = save(tmp_path, sigstore.sign_statement(payload, identity, GITHUB, source))
    with pytest.raises(BundleError, match="does not sign"):
        check_signature(copy, path, Identity(identity, GITHUB, trusted_root=root))


@pytest.mark.parametrize(
    ("identity", "source", "named"),
    [
        (GITLAB, ("https://gitlab.example/a/b/wsd", "refs/heads/main"), None),
        # A repository that builds by a workflow that many use: who checks says which one.
        (WORKFLOW, ("https://github.com/p/model", "refs/heads/main"), "https://github.com/p/model"),
        # A person is no workflow, and no repository is asked for.
        ("someone@example.org", (), None),
    ],
)
def test_whose_sources_were_built_is_as_asked(
    copy, sigstore, root, tmp_path, identity, source, named
):
    payload = (copy / "provenance.json").read_bytes()
    path = save(tmp_path, sigstore.sign_statement(payload, identity, GITHUB, source))
    check_signature(copy, path, Identity(identity, GITHUB, trusted_root=root, source=named))
    other = Identity(identity, GITHUB, trusted_root=root, source="https://github.com/q/model")
    with pytest.raises(BundleError, match="does not sign"):
        check_signature(copy, path, other)


@pytest.mark.parametrize(
    "kind",
    [
        "https://in-toto.io/attestation/test-result/v0.1",
        "https://openvex.dev/ns/v0.2.0",
        "https://slsa.dev/verification_summary/v1",
        "https://slsa.dev/provenance/v1 ",
        "",
    ],
)
def test_a_signed_statement_that_does_not_say_that_files_are_good(signed, tmp_path, kind):
    """Such as that a test of them failed: it names the same files by the same digests."""
    folder, _, private, public = signed
    digests = [
        hashlib.sha256((folder / name).read_bytes()).hexdigest()
        for name in ("SRI.json", "provenance.json")
    ]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "file", "digest": {"sha256": one}} for one in digests],
        "predicateType": kind,
        "predicate": {"result": "FAILED"},
    }
    path = save(tmp_path, envelope(private, json.dumps(statement).encode()))
    with pytest.raises(BundleError, match="its statement is of type"):
        check_signature(folder, path, Key(public))
    good = {**statement, "predicateType": "https://cyclonedx.org/bom"}
    check_signature(
        folder, save(tmp_path, envelope(private, json.dumps(good).encode())), Key(public)
    )


def test_an_identity_signs_another_bundle(copy, sigstore, root, tmp_path):
    payload = (copy / "provenance.json").read_bytes()
    path = save(tmp_path, sigstore.sign_statement(payload, WORKFLOW, GITHUB, SOURCE))
    (copy / "SRI.json").write_bytes((copy / "SRI.json").read_bytes() + b" ")
    with pytest.raises(BundleError, match="does not have the digest of this SRI.json"):
        check_signature(copy, path, Identity(WORKFLOW, GITHUB, trusted_root=root))


def test_a_part_of_an_identity_s_signature_that_is_another(copy, sigstore, root, tmp_path):
    """A byte of the payload, the signature, the certificate or the log's entry, and other keys."""
    payload = (copy / "provenance.json").read_bytes()
    good = sigstore.sign_statement(payload, WORKFLOW, GITHUB, SOURCE)
    other = sigstore.sign_statement(payload + b" ", WORKFLOW, GITHUB, SOURCE)
    someone = Identity(WORKFLOW, GITHUB, trusted_root=root)
    changed = []
    for part in ("payload", "signatures"):
        one = json.loads(json.dumps(good))
        one["dsseEnvelope"][part] = other["dsseEnvelope"][part]
        changed.append(one)
    for part in ("certificate", "tlogEntries"):
        one = json.loads(json.dumps(good))
        one["verificationMaterial"][part] = other["verificationMaterial"][part]
        changed.append(one)
    stranger = SmallSigstore(sigstore.now).sign_statement(payload, WORKFLOW, GITHUB, SOURCE)
    for one in (*changed, stranger):
        with pytest.raises(BundleError, match="does not sign"):
            check_signature(copy, save(tmp_path, one), someone)


@pytest.mark.parametrize("text", ["", "{}", '{"mediaType": "x"}', "\0" * 5000, "[" * 100_000])
def test_keys_of_a_sigstore_that_are_none(copy, sigstore, tmp_path, text):
    path = save(tmp_path, sigstore.sign_statement(b"{}", WORKFLOW, GITHUB, SOURCE))
    (tmp_path / "root.json").write_text(text)
    someone = Identity(WORKFLOW, GITHUB, trusted_root=tmp_path / "root.json")
    with pytest.raises(UsageError, match="Sigstore's keys cannot be read"):
        check_signature(copy, path, someone)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "does not exist"),
        (os.mkfifo, "is not a regular file"),
        (lambda path: path.mkdir(), "is not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file"),
        (lambda path: path.symlink_to(path), "does not exist|is not a regular file"),
        (lambda path: (path.touch(), os.truncate(path, 1 << 40)), "has more than"),
    ],
    ids=["nothing", "pipe", "folder", "device", "circle", "a terabyte of nothing"],
)
def test_keys_are_read_of_small_regular_files_alone(signed, tmp_path, make, said):
    folder, path, _, _ = signed
    odd = tmp_path / "odd.json"
    make(odd)
    with pytest.raises(UsageError, match=said):
        check_signature(folder, path, Identity(WORKFLOW, GITHUB, trusted_root=odd))
    with pytest.raises(UsageError, match=said):
        check_signature(folder, path, Key(odd))
    with pytest.raises(UsageError, match=said):
        check_signature(folder, odd, Key(odd))


def test_an_identity_needs_a_certificate(signed, tmp_path):
    """A key's signature names nobody, whoever one asks for."""
    folder, path, _, _ = signed
    someone = Identity("someone@example.org", "https://accounts.example.org", offline=True)
    with pytest.raises(BundleError, match="does not sign"):
        check_signature(folder, path, someone)
    (tmp_path / "bare").write_bytes(b"\x30\x45")
    with pytest.raises(BundleError, match="whose signer cannot be known: pass --key"):
        check_signature(folder, tmp_path / "bare", someone)


@pytest.mark.parametrize(
    ("module", "signer", "said"),
    [
        ("cryptography.hazmat.primitives.serialization", None, "cryptography, which is missing"),
        ("sigstore.verify", Identity("a@b", "https://c"), "sigstore checks identities, and is"),
    ],
)
def test_a_package_that_is_missing_is_named(signed, monkeypatch, module, signer, said):
    folder, path, _, public = signed
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=said) as caught:
        check_signature(folder, path, signer or Key(public))
    assert "pip install 'wsd[signatures]'" in caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        ["--key", "x.pub"],
        ["--offline"],
        ["--certificate-source-repository", "https://a"],
        ["--signature", "x"],
        ["--signature", "x", "--certificate-identity", "a@b"],
        ["--signature", "x", "--key", "x", "--certificate-oidc-issuer", "https://a"],
    ],
)
def test_options_that_name_no_signer_or_two(bundle, options, capsys):
    assert exit_code("verify", bundle, *options) == 2
    assert "--certificate-oidc-issuer URL" in capsys.readouterr().err
