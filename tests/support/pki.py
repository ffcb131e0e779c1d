# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate authority for tests, and certificates from it, as files in PEM."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def name_of(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Authority:
    """It signs certificates; as OVN's, they name no host."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = folder / f"{name}-cert.pem"
        self._write(self.certificate, name, self._key, ca=True)

    def issue(self, name: str, password: bytes = b"") -> tuple[Path, Path]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._folder / f"{self._name}-{name}-cert.pem"
        place = self._folder / f"{self._name}-{name}-key.pem"
        self._write(certificate, name, key, ca=False)
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
        place.write_bytes(key.private_bytes(*form, locked))
        return certificate, place

    def _write(self, place: Path, name: str, key: ec.EllipticCurvePrivateKey, ca: bool) -> None:
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name_of(name))
            .issuer_name(name_of(self._name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        place.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
