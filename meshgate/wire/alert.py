"""The TLS alerts that the gateway itself can send, ready to write. Knows nothing of when to send them."""

from __future__ import annotations

from typing import Final

#: A whole record with the fatal alert ``unrecognized_name`` (112): no such server here. RFC 6066, section 3
#: names the alert; RFC 8446, sections 5.1 and 6, gives the layout: content type alert (21), record version
#: 3.3, length 2, level fatal (2), description. It answers a ClientHello, so nothing is encrypted yet.
UNRECOGNIZED_NAME: Final = bytes.fromhex("15 03 03 00 02 02 70")
