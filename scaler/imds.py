"""What EC2 tells a machine of itself: version 2 of its metadata service, as far as an agent's machine needs it."""

from __future__ import annotations

import contextlib
import http.client
import os
from typing import Final, Literal
from urllib.parse import urlsplit

Notice = Literal["interruption", "rebalance"]
"""The machine is taken away within two minutes; or it may be some time soon."""
_ADDRESS: Final = "http://169.254.169.254"
_TTL_SECONDS: Final = 21600
_TIMEOUT_SECONDS: Final = 2.0
_TOKEN: Final = "X-aws-ec2-metadata-token"  # noqa: S105  a header's name
_NOTICES: Final[tuple[tuple[Notice, str], ...]] = (
    ("interruption", "spot/instance-action"),
    ("rebalance", "events/recommendations/rebalance"),
)


class Imds:
    """The metadata service. Each answer that does not come is None."""

    def __init__(self, address: str = "") -> None:
        self._host = urlsplit(address or os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS).netloc
        self._token = ""

    def get(self, path: str) -> str | None:
        """The text at `/latest/meta-data/PATH`."""
        status, text = self._ask(path)
        if status == http.HTTPStatus.UNAUTHORIZED:
            self._token = self._new_token()
            status, text = self._ask(path)
        return text if status == http.HTTPStatus.OK else None

    def notice(self) -> Notice | None:
        """What EC2 has in mind with the machine."""
        return next((kind for kind, path in _NOTICES if self.get(path) is not None), None)

    def _ask(self, path: str) -> tuple[int, str]:
        return self._request("GET", f"/latest/meta-data/{path}", {_TOKEN: self._token})

    def _new_token(self) -> str:
        return self._request("PUT", "/latest/api/token", {f"{_TOKEN}-ttl-seconds": str(_TTL_SECONDS)})[1]

    def _request(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        with contextlib.closing(http.client.HTTPConnection(self._host, timeout=_TIMEOUT_SECONDS)) as connection:
            try:
                connection.request(method, path, headers=headers)
                answer = connection.getresponse()
                return answer.status, answer.read().decode()
            except (OSError, http.client.HTTPException, UnicodeDecodeError):
                return 0, ""
