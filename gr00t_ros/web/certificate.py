"""The TLS context of the page's server: from given files, or self-signed."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Final

from gr00t_ros.errors import SettingsError

_DAYS: Final = 397  # browsers refuse certificates that are valid for longer
_RENEW_S: Final = 7 * 24 * 3600
_LIMIT_S: Final = 30.0


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The server's side of TLS 1.2 or later; raises SettingsError for files that do not fit."""
    found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    found.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # the empty password: without one, OpenSSL would ask for it on the terminal
        found.load_cert_chain(certificate, key, password="")
    except (OSError, ssl.SSLError) as error:
        what = error.strerror or error
        raise SettingsError(
            f"certificate {certificate}, key {key}: got {what}; expected a PEM certificate and "
            "its PEM key without a password"
        ) from error
    return found


def fingerprint(certificate: Path) -> str:
    """The SHA-256 of the first certificate in the file, as browsers show it."""
    text = certificate.read_text()
    end = "-----END CERTIFICATE-----"
    first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(end) + len(end)]
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest().upper()
    return ":".join(digest[i : i + 2] for i in range(0, len(digest), 2))


def own_folder() -> Path:
    """Where the self-signed certificate is kept, so that browsers meet the same one again."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "gr00t_ros" / "web"


def self_signed(folder: Path, host: str) -> tuple[Path, Path]:
    """Certificate and key in `folder`, made by openssl if they are missing or end soon.

    host: the address to listen on, which the certificate names beside this machine's names.
    """
    program = shutil.which("openssl")
    if program is None:
        raise SettingsError(
            "a self-signed certificate: got no program openssl, expected one: apt-get install "
            "openssl, or give your own certificate: --certificate FILE --key FILE"
        )
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = _names(host)
    kept = folder / "names.txt"
    same = kept.is_file() and kept.read_text() == names
    if key.is_file() and same and _lasts(program, certificate):
        return certificate, key
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
        key.chmod(0o600)
    except OSError as error:
        raise SettingsError(
            f"{folder}: got {error.strerror}, expected a folder to write"
        ) from error
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", str(_DAYS), "-subj", "/CN=gr00t web", "-addext", f"subjectAltName={names}"]
    words += ["-addext", "extendedKeyUsage=serverAuth", "-keyout", str(key)]
    done = _run([program, *words, "-out", str(certificate)])
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason"])[-1]
        raise SettingsError(
            f"openssl req: got {last!r}, expected a certificate; give your own: --certificate "
            "FILE --key FILE"
        )
    kept.write_text(names)
    return certificate, key


def _names(host: str) -> str:
    """The subjectAltName: names of this machine, loopback, and the address to listen on."""
    names = dict.fromkeys(["localhost", socket.gethostname(), socket.getfqdn()])
    addresses = ["127.0.0.1", "::1"]
    try:
        given = ipaddress.ip_address(host.strip("[]"))
        addresses += [] if given.is_unspecified else [str(given)]
    except ValueError:
        names[host] = None
    parts = [f"DNS:{name}" for name in names]
    return ",".join([*parts, *(f"IP:{one}" for one in dict.fromkeys(addresses))])


def _lasts(program: str, certificate: Path) -> bool:
    words = [program, "x509", "-in", str(certificate), "-noout", "-checkend", str(_RENEW_S)]
    return certificate.is_file() and _run(words).returncode == 0


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_LIMIT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"openssl: got {error}, expected an answer") from error
