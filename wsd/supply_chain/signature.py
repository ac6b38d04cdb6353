"""Check who signed a bundle's provenance: a key, or an identity with a certificate of Sigstore.

What is signed is ``provenance.json`` or a statement that names it and ``SRI.json`` by digest, and
both lead to every file. Three forms of signatures are read, whichever tool wrote them:

- a Sigstore bundle with a statement: ``cosign attest-blob``, GitHub's attestations, OpenSSF's
  ``model_signing`` of the bundle's folder;
- a Sigstore bundle with a signature of the file: ``cosign sign-blob``, ``sigstore sign``;
- the bare signature of the file, binary, base64, or in the JSON of cosign before version 3:
  ``openssl dgst -sign``, ``cosign sign-blob``.

https://docs.sigstore.dev/about/bundle/ and https://github.com/secure-systems-lab/dsse
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import BaseModel, ConfigDict, FailFast, Field, TypeAdapter

from wsd.errors import BundleError, UsageError
from wsd.supply_chain import provenance
from wsd.util.hashing import canonical_json, sha256_bytes, sha256_file
from wsd.util.json_reader import parse_json
from wsd.util.typed_json import validate

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
    from sigstore.verify.policy import VerificationPolicy

_INSTALL = "install what checks signatures: pip install 'wsd[signatures]'"
_REFUSED = "do not use this bundle; fetch it and its signature anew, from where it was published"
_ROOT_HINT = "pass a trusted_root.json as --trusted-root, or leave it out"
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPES = ("https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1")
_MODEL_SIGNING = "https://model_signing/signature/v1.0"
# What a signed statement may say of the bundle. Others, such as a test's result or a list of
# vulnerabilities, name files by digest too, and may say that these are bad.
_PREDICATE_TYPES = (
    provenance.PREDICATE_TYPE,
    "https://cyclonedx.org/bom",
    "https://sigstore.dev/cosign/sign/v1",
    _MODEL_SIGNING,
)
# An identity that is a file of a repository, at a branch or tag: a workflow of GitHub, or the
# configuration that GitLab runs.
_WORKFLOW = re.compile(
    r"(?P<repository>https://[^/@]+/[^@]+?)(/\.github/workflows/|//)[^@]+@(?P<ref>.+)"
)
# Signatures have a few kilobytes, a statement about a bundle up to some megabytes.
_MAX_BYTES = 64 << 20
# Characters of a value that an error shows.
_SHOWN = 80
# The most attestations in one file of which each is checked.
_MAX_BUNDLES = 100


class Signer(Protocol):
    """The key or the identity whose signature is accepted."""

    def __str__(self) -> str:
        """Return its name, as an error says it after "signed by"."""

    def check_readable(self) -> None:
        """Refuse to go on without the files and packages that checking a signature takes.

        Raises:
            UsageError: naming what is missing.
        """

    def check_file(self, signed: _Bundle | bytes, data: bytes) -> None:
        """Refuse a signature that is not the signer's of these bytes.

        Raises:
            BundleError: if it is not.
        """

    def read_statement(self, signed: _Bundle) -> bytes:
        """Return the statement that the signer signed.

        Raises:
            BundleError: if the signer did not.
        """


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class _DsseSignature(_Part):
    sig: str


class _Envelope(_Part):
    payload: str
    payload_type: str = Field(alias="payloadType")
    signatures: tuple[_DsseSignature, ...]


class _MessageSignature(_Part):
    signature: str


class _Bundle(_Part):
    """What is read of a Sigstore bundle; the package sigstore reads its other parts."""

    media_type: str = Field(alias="mediaType", pattern=f"^{_BUNDLE_TYPE}")
    envelope: _Envelope | None = Field(alias="dsseEnvelope", default=None)
    message: _MessageSignature | None = Field(alias="messageSignature", default=None)
    text: str = ""


class _EarlyBundle(_Part):
    """What cosign's option ``--bundle`` wrote before Sigstore had a form of its own for it."""

    signature: str = Field(alias="base64Signature")


class _Digest(_Part):
    sha256: str = ""


class _Subject(_Part):
    digest: _Digest


class _SignedFile(_Part):
    algorithm: str
    digest: str


class _Predicate(_Part):
    resources: Annotated[tuple[_SignedFile, ...], FailFast()] = ()


class _Statement(_Part):
    type: str = Field(alias="_type")
    subject: tuple[_Subject, ...]
    kind: str = Field(alias="predicateType", default="")
    predicate: dict[str, object] = {}

    def digests(self) -> set[str]:
        """Return the SHA-256 of every file that the statement names."""
        found = {subject.digest.sha256 for subject in self.subject}
        # OpenSSF's model signing has one subject for a folder, and lists its files.
        if self.kind == _MODEL_SIGNING:
            files = _Predicate.model_validate(self.predicate).resources
            found |= {file.digest for file in files if file.algorithm == "sha256"}
        return found


_BUNDLE = TypeAdapter(_Bundle)
_EARLY_BUNDLE = TypeAdapter(_EarlyBundle)
_STATEMENT = TypeAdapter(_Statement)


@dataclass(frozen=True)
class Key:
    """A public key in a PEM file: of elliptic curves, Ed25519 or RSA."""

    path: Path

    def __str__(self) -> str:
        """Return the name of its file."""
        return f"the key {self.path}"

    def check_readable(self) -> None:
        """Read the key."""
        _load_key(self.path)

    def check_file(self, signed: _Bundle | bytes, data: bytes) -> None:
        """Check a signature of bytes."""
        self._check([_find_signature(signed)], data)

    def read_statement(self, signed: _Bundle) -> bytes:
        """Check the envelope of a statement, by the rules of DSSE."""
        envelope = signed.envelope
        if envelope is None:
            raise _refuse("it holds no statement")
        payload = _decode(envelope.payload)
        kind = envelope.payload_type
        head = f"DSSEv1 {len(kind.encode())} {kind} {len(payload)} ".encode()
        self._check([_decode(entry.sig) for entry in envelope.signatures], head + payload)
        return payload

    def _check(self, signatures: Sequence[bytes], data: bytes) -> None:
        key = _load_key(self.path)
        if not any(_is_signed(key, signature, data) for signature in signatures):
            raise _refuse(f"it is not a signature by {self}")


@dataclass(frozen=True)
class Identity:
    """The identity in Sigstore's certificate, and the service that confirmed it.

    Attributes:
        name: the certificate's identity, such as an address of mail or of a workflow. Any
            repository can call a workflow, and its name says nothing of whose sources were built.
            So these must be of the workflow's own repository, branch and tag.
        issuer: address of the service that confirmed the identity, such as GitHub's.
        offline: whether Sigstore's own keys are those that came with its package, and none newer.
        trusted_root: a file with the keys of another Sigstore, in the form in which Sigstore
            publishes its own; None for the public one.
        source: address of the repository whose sources must have been built, if it is another one
            than the workflow's.
    """

    name: str
    issuer: str
    offline: bool = False
    trusted_root: Path | None = None
    source: str | None = None

    def __str__(self) -> str:
        """Return identity and issuer, and a repository that is not the identity's own."""
        of = f" for {self.source}" if self.source else ""
        return f"{self.name}{of} ({self.issuer})"

    def check_readable(self) -> None:
        """Look for the package, and read the trusted root."""
        if importlib.util.find_spec("sigstore") is None:
            raise UsageError("sigstore checks identities, and is missing", _INSTALL)
        if self.trusted_root is not None:
            _read(self.trusted_root, "trusted root", _ROOT_HINT)

    def check_file(self, signed: _Bundle | bytes, data: bytes) -> None:
        """Check a signature of bytes, its certificate and its entry in the transparency log."""
        if isinstance(signed, bytes):
            raise _refuse(
                "it is a bare signature, whose signer cannot be known: pass --key, or sign with "
                "cosign 3 or its option --new-bundle-format"
            )
        self._ask(signed, data)

    def read_statement(self, signed: _Bundle) -> bytes:
        """Check a statement's envelope, its certificate and its entry in the transparency log."""
        return self._ask(signed, None)

    def _ask(self, signed: _Bundle, data: bytes | None) -> bytes:
        try:
            from sigstore.errors import Error, NetworkError, TUFError
            from sigstore.models import Bundle, TrustedRoot
            from sigstore.verify import Verifier
            from sigstore.verify import policy as policies
        except ImportError as error:
            raise UsageError("sigstore checks identities, and is missing", _INSTALL) from error
        try:
            if self.trusted_root is None:
                verifier = Verifier.production(offline=self.offline)
            else:
                # Sigstore reads a file without a limit, and a device without an end.
                _read(self.trusted_root, "trusted root", _ROOT_HINT)
                verifier = Verifier(trusted_root=TrustedRoot.from_file(str(self.trusted_root)))
        except (NetworkError, TUFError) as error:
            raise UsageError(
                f"Sigstore's keys cannot be fetched: {_first_line(error)}",
                "check the network, or pass --offline to use those that sigstore came with",
            ) from error
        except (Error, ValueError, OSError) as error:
            raise UsageError(
                f"Sigstore's keys cannot be read: {_first_line(error)}", _ROOT_HINT
            ) from error
        try:
            found = Bundle.from_json(signed.text)
            policy = policies.AllOf(self._rules())
            if data is None:
                _, payload = verifier.verify_dsse(found, policy)
                return payload
            verifier.verify_artifact(data, found, policy)
        # sigstore raises ValueError for bundles whose parts do not fit together.
        except (Error, ValueError) as error:
            raise _refuse(_first_line(error)) from error
        return b""

    def _rules(self) -> list[VerificationPolicy]:
        """Return what the certificate must say."""
        from sigstore.verify import policy as policies

        rules: list[VerificationPolicy] = [
            policies.Identity(identity=self.name, issuer=self.issuer)
        ]
        found = _WORKFLOW.fullmatch(self.name)
        if self.source is not None:
            rules.append(policies.OIDCSourceRepositoryURI(self.source))
        elif found is not None:
            rules.append(policies.OIDCSourceRepositoryURI(found["repository"]))
            rules.append(policies.OIDCSourceRepositoryRef(found["ref"]))
        return rules


def choose_signer(
    signature: Path | None,
    key: Path | None,
    identity: str | None,
    issuer: str | None,
    *,
    offline: bool,
    trusted_root: Path | None = None,
    source: str | None = None,
) -> Signer | None:
    """Return the signer that the options of ``wsd verify`` name; None without ``--signature``.

    Raises:
        UsageError: if the options name no signer, or more than one.
    """
    hint = (
        "pass --signature FILE with --key FILE, or with --certificate-identity NAME and "
        "--certificate-oidc-issuer URL"
    )
    named = identity is not None or issuer is not None
    if signature is None:
        if key is not None or named or offline or trusted_root is not None or source is not None:
            raise UsageError("--signature is missing: other options say who must have signed", hint)
        return None
    if key is not None and not named:
        return Key(key)
    if identity is not None and issuer is not None and key is None:
        return Identity(identity, issuer, offline, trusted_root, source)
    raise UsageError("--signature needs exactly one signer: a key or an identity", hint)


def check_signature(bundle: Path, signature: Path, signer: Signer) -> None:
    """Refuse a bundle whose provenance the signer has not signed.

    :func:`wsd.bundle.verify.verify_bundle` compares the provenance with the files.

    Args:
        bundle: the bundle's folder.
        signature: a file of any of the forms above; one with several Sigstore bundles, a line each,
            is good if one of them is.
        signer: whose signature it must be.

    Raises:
        BundleError: if it is not.
        UsageError: if the signature or the key cannot be read, or a package is missing.
    """
    data = (bundle / provenance.FILE_NAME).read_bytes()
    refused = "it holds no signature"
    for signed in _read_signatures(signature):
        try:
            if isinstance(signed, bytes) or signed.envelope is None:
                signer.check_file(signed, data)
            else:
                _check_statement(bundle, data, signed.envelope, signer.read_statement(signed))
        except BundleError as error:
            refused = error.message
        else:
            return
    raise BundleError(f"{signature} does not sign {bundle}: {refused}", _REFUSED)


def check_readable(signature: Path, signer: Signer) -> None:
    """Refuse a signature and a signer that :func:`check_signature` cannot read.

    It is quick, and does not tell whether the bundle is signed.

    Args:
        signature: the file.
        signer: whose signature it must be.

    Raises:
        UsageError: if the signature or the key cannot be read, or a package is missing.
    """
    # What can be read and is no signature is a fault of what was published.
    with suppress(BundleError):
        deque(_read_signatures(signature), maxlen=0)
    signer.check_readable()


def _check_statement(bundle: Path, data: bytes, envelope: _Envelope, payload: bytes) -> None:
    """Refuse a signed statement that is about another bundle."""
    if envelope.payload_type != _PAYLOAD_TYPE:
        raise _refuse(f"it signs {envelope.payload_type!r}, which is not a statement of in-toto")
    try:
        value = parse_json(payload.decode())
        statement = validate(payload.decode(), _STATEMENT)
        named = statement.digests()
        own = parse_json(data.decode())
    except ValueError as error:
        raise _refuse("the statement is not readable") from error
    if statement.type not in _STATEMENT_TYPES:
        raise _refuse(f"it signs a statement of type {statement.type!r}")
    if statement.kind not in _PREDICATE_TYPES:
        raise _refuse(
            f"its statement is of type {statement.kind[:_SHOWN]!r}, which does not say that the "
            "files are good"
        )
    if sha256_file(bundle / "SRI.json") not in named:
        raise _refuse("its statement does not have the digest of this SRI.json")
    # A statement other than the provenance must have the digest of the provenance.
    if canonical_json(value) != canonical_json(own) and sha256_bytes(data) not in named:
        raise _refuse(
            f"its statement is not {provenance.FILE_NAME}, and does not have the digest of this one"
        )


def _read_signatures(path: Path) -> Iterator[_Bundle | bytes]:
    """Yield what a file holds: Sigstore bundles, or one bare signature."""
    data = _read(path, "signature", "name the file that was published with the bundle")
    if not data.lstrip().startswith(b"{"):
        yield _decode_bare(data)
        return
    for text in _split_bundles(data.decode(errors="replace"))[:_MAX_BUNDLES]:
        try:
            value = parse_json(text)
            if isinstance(value, dict) and "base64Signature" in value:
                yield _decode(validate(text, _EARLY_BUNDLE).signature)
                continue
            found = validate(text, _BUNDLE)
        except ValueError as error:
            raise _no_bundle(path, str(error)) from error
        yield found.model_copy(update={"text": text})


def _read(path: Path, what: str, hint: str) -> bytes:
    """Return the bytes of a regular file.

    Args:
        path: of the file.
        what: it is, for errors.
        hint: what to pass instead.

    Raises:
        UsageError: if there is none, or if it is much larger than such files are.
    """
    if not path.exists():
        raise UsageError(f"{what} {path} does not exist", hint)
    if not path.is_file():
        raise UsageError(f"{what} {path} is not a regular file", hint)
    with path.open("rb") as file:
        data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise UsageError(f"{what} {path} has more than {_MAX_BYTES} bytes", hint)
    return data


def _split_bundles(text: str) -> list[str]:
    """Return the JSON texts of a file: one, or one on each line."""
    lines = [line for line in text.splitlines() if line.strip()]
    is_lines = all(line.startswith("{") and line.rstrip().endswith("}") for line in lines)
    return lines if is_lines else [text]


def _no_bundle(path: Path, reason: str) -> UsageError:
    return UsageError(
        f"{path} is not a Sigstore bundle: {reason}",
        "name a file that cosign, gh or sigstore wrote, or a signature by openssl",
    )


def _find_signature(signed: _Bundle | bytes) -> bytes:
    """Return the signature of a file, bare or in a Sigstore bundle."""
    if isinstance(signed, bytes):
        return signed
    if signed.message is None:
        raise _refuse("it holds neither a statement nor a signature")
    return _decode(signed.message.signature)


def _decode_bare(data: bytes) -> bytes:
    """Return a bare signature; a file that is base64 as a whole is taken as such."""
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        return data


def _refuse(reason: str) -> BundleError:
    return BundleError(reason, _REFUSED)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refuse("a part of it is not base64") from error


def _load_key(path: Path) -> PublicKeyTypes:
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ImportError as error:
        raise UsageError("keys are read by cryptography, which is missing", _INSTALL) from error
    hint = "name a public key in PEM: cosign.pub, or what openssl pkey -pubout wrote"
    try:
        return load_pem_public_key(_read(path, "key", hint))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UsageError(f"key {path} is not a public key in PEM", hint) from error


def _is_signed(key: PublicKeyTypes, signature: bytes, data: bytes) -> bool:
    """Tell whether a signature is a key's, by the algorithm that Sigstore has for such keys."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm

    hashes: Mapping[int, HashAlgorithm] = {256: SHA256(), 384: SHA384(), 521: SHA512()}
    try:
        match key:
            case ec.EllipticCurvePublicKey() if key.curve.key_size in hashes:
                key.verify(signature, data, ec.ECDSA(hashes[key.curve.key_size]))
            case ed25519.Ed25519PublicKey():
                key.verify(signature, data)
            case rsa.RSAPublicKey() if key.key_size >= 2048:
                key.verify(signature, data, padding.PKCS1v15(), SHA256())
            case _:
                raise _refuse(
                    "keys of this kind are not taken: use P-256, Ed25519, or RSA of 2048 bits"
                )
    except InvalidSignature:
        return False
    return True
