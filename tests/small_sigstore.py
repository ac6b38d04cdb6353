"""A Sigstore of one process, for tests without a network: authority, two logs, and one signature.

What it issues is what Sigstore's own services do: a certificate for an identity, which a log of
certificates has promised to list, and an entry in a log of signatures with its proof. The proofs
are checked by the package ``sigstore``, with this Sigstore's keys as the root of trust.
"""

import base64
import datetime
import hashlib
import json
import struct

import rfc8785
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_ISSUER = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
# Address and branch or tag of the repository that was built.
_SOURCE = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.12")
_SOURCE_REF = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.14")
_PROMISES = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")
_HOUR = datetime.timedelta(hours=1)


def _text(data):
    return base64.b64encode(data).decode()


def _public(key):
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _sign(key, data):
    return key.sign(data, ec.ECDSA(SHA256()))


class SmallSigstore:
    """Keys of an authority, of a log of certificates and of a log of signatures."""

    def __init__(self, now):
        self.now = now.replace(microsecond=0)
        self._authority, self._certificates, self._signatures = (
            ec.generate_private_key(ec.SECP256R1()) for _ in range(3)
        )
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "small sigstore")])
        key = self._authority.public_key()
        self._root = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(name).public_key(key).serial_number(1)
            .not_valid_before(self.now - 24 * _HOUR).not_valid_after(self.now + 24 * _HOUR)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .sign(self._authority, SHA256())
        )  # fmt: skip

    def trusted_root(self):
        """Return the root of trust as JSON, as Sigstore publishes its own."""

        def log(key):
            raw = _public(key)
            return {
                "baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": _text(raw), "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": _text(hashlib.sha256(raw).digest())},
            }  # fmt: skip

        return json.dumps({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._signatures)],
            "ctlogs": [log(self._certificates)],
            "certificateAuthorities": [{
                "subject": {"organization": "example", "commonName": "small sigstore"},
                "uri": "https://authority.example",
                "certChain": {"certificates": [
                    {"rawBytes": _text(self._root.public_bytes(Encoding.DER))}
                ]},
                "validFor": {"start": "2020-01-01T00:00:00Z"},
            }],
        })  # fmt: skip

    def sign_statement(
        self, payload, identity, issuer, source=(), kind="application/vnd.in-toto+json"
    ):
        """Return a Sigstore bundle of a statement that an identity signs.

        Args:
            payload: the statement.
            identity: name of who signs.
            issuer: who confirmed it.
            source: address of the repository that was built, and its branch or tag, as far as
                the certificate says them.
            kind: the payload's type.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._issue(key, identity, issuer, source)
        head = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode()
        signature = _text(_sign(key, head + payload))
        pem = certificate.public_bytes(Encoding.PEM)
        entry = {
            "apiVersion": "0.0.1", "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": "00" * 32},
                "payloadHash": {
                    "algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest(),
                },
                "signatures": [{"signature": signature, "verifier": _text(pem)}],
            },
        }  # fmt: skip
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _text(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._record(rfc8785.dumps(entry))],
            },
            "dsseEnvelope": {
                "payload": _text(payload), "payloadType": kind,
                "signatures": [{"sig": signature}],
            },
        }  # fmt: skip

    def _issue(self, key, identity, issuer, source):
        """Return a certificate with the promise of the log of certificates."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([])).issuer_name(self._root.subject)
            .public_key(key.public_key()).serial_number(2)
            .not_valid_before(self.now - _HOUR).not_valid_after(self.now + _HOUR)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority.public_key()),
                critical=False,
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), True
            )
            .add_extension(x509.UnrecognizedExtension(_ISSUER, issuer.encode()), False)
        )  # fmt: skip
        for name, value in zip((_SOURCE, _SOURCE_REF), source, strict=False):
            # A UTF8String of DER.
            text = b"\x0c" + bytes([len(value)]) + value.encode()
            builder = builder.add_extension(x509.UnrecognizedExtension(name, text), False)
        draft = builder.sign(self._authority, SHA256()).tbs_certificate_bytes
        when = int(self.now.timestamp() * 1000)
        authority = hashlib.sha256(_public(self._authority)).digest()
        entry = authority + len(draft).to_bytes(3, "big") + draft
        signature = _sign(self._certificates, struct.pack("!BBQH", 0, 0, when, 1) + entry + b"\0\0")
        log = hashlib.sha256(_public(self._certificates)).digest()
        promise = struct.pack("!B32sQH", 0, log, when, 0) + b"\x04\x03"
        promise += struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!HH", len(promise) + 2, len(promise)) + promise
        octets = b"\x04" + bytes([len(listed)]) + listed
        return builder.add_extension(x509.UnrecognizedExtension(_PROMISES, octets), False).sign(
            self._authority, SHA256()
        )

    def _record(self, body):
        """Return an entry of the log of signatures, which has no other."""
        log = hashlib.sha256(_public(self._signatures)).digest()
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"log.example\n1\n{_text(root)}\n"
        signed = log[:4] + _sign(self._signatures, note.encode())
        when = int(self.now.timestamp())
        promised = rfc8785.dumps(
            {"body": _text(body), "integratedTime": when, "logID": log.hex(), "logIndex": 0}
        )
        return {
            "logIndex": "0", "logId": {"keyId": _text(log)},
            "kindVersion": {"kind": "dsse", "version": "0.0.1"},
            "integratedTime": str(when), "canonicalizedBody": _text(body),
            "inclusionPromise": {
                "signedEntryTimestamp": _text(_sign(self._signatures, promised)),
            },
            "inclusionProof": {
                "logIndex": "0", "rootHash": _text(root), "treeSize": "1", "hashes": [],
                "checkpoint": {"envelope": f"{note}\n— log.example {_text(signed)}\n"},
            },
        }  # fmt: skip


def _usage(*, signs_certificates):
    return x509.KeyUsage(
        digital_signature=not signs_certificates, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
