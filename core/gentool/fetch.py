"""Get a file over https, no larger than expected, and never over anything but https."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO
from urllib.parse import urlsplit

from gentool.errors import RegistryError

TIMEOUT = 20.0  # seconds without a byte
PATIENCE = 3600.0  # seconds in all
_CHUNK = 1 << 18


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never to anything that is not https."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise RegistryError(f"{req.full_url}: redirects to {newurl[:80]}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, limit: int) -> bytes:
    """The bytes behind an https address.

    Certificates are verified against the system's, or those that ``SSL_CERT_FILE`` names.

    Args:
        url: must begin with ``https://``.
        limit: most bytes to take.

    Raises:
        RegistryError: not https, not there, larger than the limit, or too slow.
    """
    end = time.monotonic() + PATIENCE
    data = bytearray()
    try:
        if urlsplit(url).scheme != "https":
            raise RegistryError(f"{url[:200]}: only https:// addresses are fetched")
        opener = urllib.request.build_opener(_HttpsOnly)
        request = urllib.request.Request(url, headers={"User-Agent": "gentool"})  # noqa: S310
        with opener.open(request, timeout=TIMEOUT) as answer:
            while chunk := answer.read1(_CHUNK):
                data += chunk
                if len(data) > limit:
                    raise RegistryError(f"{url}: larger than the {limit:,} bytes it may have")
                if time.monotonic() > end:
                    raise RegistryError(f"{url}: too slow; gave up after {PATIENCE:.0f} seconds")
            if answer.length:  # bytes that were announced and did not come
                raise RegistryError(f"{url}: cut short, {answer.length:,} bytes are missing")
    except urllib.error.HTTPError as e:
        raise RegistryError(f"{url}: the server says {e.code} {e.reason}") from e
    except (OSError, HTTPException, ValueError) as e:
        reason = getattr(e, "reason", None) or e
        raise RegistryError(f"{url}: cannot get it: {reason}") from e
    return bytes(data)
