"""How often flushes failed on the files and block devices of this machine: what they lost stays known.

One file per device in the state folder, written when the first flush on it fails: {"failed_flushes": 1}.
"""

import json

from dsttool.engine.config import durable, paths
from dsttool.engine.vocabulary.errors import DsttoolError


class FailedFlushes:
    """See node.file.FailedFlushes."""

    def count(self, identity: bytes) -> int:
        """What was recorded last; 0 if nothing was. DsttoolError if the record cannot be read."""
        path = paths.device_state_file(identity)
        try:
            found = json.loads(path.read_bytes())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise DsttoolError(
                f"What is recorded of failed flushes cannot be read: {path}: {error}.",
                "Restore it; or remove it, after all arrays that use this device were stopped cleanly.",
            ) from error
        count = found.get("failed_flushes") if isinstance(found, dict) else None
        if not isinstance(count, int) or count < 0:
            raise DsttoolError(
                f"{path} does not say how many flushes failed.",
                "Restore it; or remove it, after all arrays that use this device were stopped cleanly.",
            )
        return count

    def record(self, identity: bytes, count: int) -> None:
        """Durable when it returns. OSError if it is not."""
        content = json.dumps({"failed_flushes": count}).encode() + b"\n"
        durable.write(paths.device_state_file(identity), content, replace=True)
