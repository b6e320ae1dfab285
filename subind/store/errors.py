"""The meaning of a remote file system's error: retry, or report it in one line with the remedy.

The file systems are optional packages, so that their errors are known by name and code and not by class. A line holds
neither credentials nor the query of a URL.
"""

import errno
import os
import re
from collections.abc import Iterator
from typing import Any, Literal, assert_never

Meaning = Literal["absent", "present", "busy", "credentials", "denied", "bucket", "region", "empty", "other"]

_NETWORK = frozenset(
    {
        "HTTPClientError", "ClientPayloadError", "ClientConnectionError", "ServerDisconnectedError", "IncompleteRead",
        "IncompleteReadError", "ResponseStreamingError", "ResponseParserError", "ConnectionError", "TimeoutError",
        "FSTimeoutError", "ReadTimeout", "ChunkedEncodingError", "ProxyError", "ChecksumError", "TransportError",
    }
)  # fmt: skip
"""Classes of errors, their bases among them, of a connection that was cut, refused or silent."""

_MEANINGS: dict[str, Meaning] = {
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), "bucket"),
    **dict.fromkeys(("PreconditionFailed", "412"), "present"),
    **dict.fromkeys(("InvalidRange", "416"), "empty"),
    **dict.fromkeys(("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"), "credentials"),
    **dict.fromkeys(("ProfileNotFound", "DefaultCredentialsError", "TokenRetrievalError"), "credentials"),
    **dict.fromkeys(("NoRegionError", "InvalidRegionError", "PermanentRedirect", "301"), "region"),
    **dict.fromkeys(("AuthorizationHeaderMalformed", "IllegalLocationConstraintException"), "region"),
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"), "denied"),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "RequestTimeTooSkewed", "Forbidden"), "denied"),
    **dict.fromkeys(("401", "403", "PermissionError"), "denied"),
    **dict.fromkeys(("SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling"), "busy"),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted", "IncompleteBody", "BadDigest"), "busy"),
    **dict.fromkeys(("408", "409", "429", "500", "502", "503", "504"), "busy"),
    **dict.fromkeys(_NETWORK, "busy"),
}
"""What codes of S3 and GCS, HTTP statuses and names of classes mean."""

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")


class StoreError(OSError):
    """A store that cannot be used: one line with the reason and the remedy."""


class DamagedError(OSError, ValueError):
    """A file of a store that is not what it should be: one line that names it and says what to do.

    It is an OSError, as all errors of files are, and a ValueError, because asking again is no use.
    """


def is_full(error: BaseException) -> bool:
    """Whether the error says that a disk is full, which passes when somebody frees space."""
    return isinstance(error, OSError) and (
        error.errno in (errno.ENOSPC, errno.EDQUOT) or any(text in str(error) for text in _FULL)
    )


_FULL = ("No space left on device", "Disk quota exceeded")


def meaning(error: BaseException) -> Meaning:
    """What the error of a file system means, by the first of its causes that says it."""
    for each in _causes(error):
        for code in _codes(each):
            if found := _MEANINGS.get(code):
                return found
    match error:
        case FileNotFoundError():
            return "absent"
        case FileExistsError():
            return "present"
        case _:
            return "other"


def told(error: BaseException, url: str) -> StoreError:
    """The error as one line for the user of the store at the URL."""
    causes = [each for each in _causes(error) if str(each)]
    reason = shown(" ".join(str(causes[-1] if causes else error).split())[:300] or type(error).__name__)
    return StoreError(f"the store {shown(url)} {_remedy(meaning(error), reason)}")


def shown(text: str) -> str:
    """The text without credentials, and its URLs without what a query or a user's name could tell."""
    for name in _SECRETS:
        if secret := os.environ.get(name, ""):
            text = text.replace(secret, "***")
    text = re.sub(r"(?<=://)[^/\s'\"@]*@", "***@", text)
    return re.sub(r"(://[^\s'\"?]*)\?[^\s'\"]*", r"\1", text)


def _remedy(kind: Meaning, reason: str) -> str:
    match kind:
        case "credentials":
            return f"wants credentials, and none are usable ({reason}): {_CREDENTIALS}"
        case "denied":
            return f"refuses access ({reason}): {_CREDENTIALS}, with the right to list, read, write and delete there"
        case "bucket":
            return f"is in a bucket that does not exist ({reason}): make the bucket, or choose another --store"
        case "region":
            return f"is in another region than was asked ({reason}): set AWS_DEFAULT_REGION to that of the bucket"
        case "busy":
            return f"does not answer ({reason}): see to the network and to its endpoint, then give the command again"
        case "absent" | "present" | "empty" | "other":
            return f"refuses what was asked ({reason}): see to its settings, or choose another --store"
        case _:
            assert_never(kind)


_CREDENTIALS = (
    "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or for gs:// GOOGLE_APPLICATION_CREDENTIALS, "
    "or give this machine a role"
)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the outermost first."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _codes(error: BaseException) -> Iterator[str]:
    """What a service calls the error, its HTTP status, and the names of its classes."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        yield str(response.get("Error", {}).get("Code", ""))
        yield str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    yield str(getattr(error, "code", ""))
    yield from (cls.__name__ for cls in type(error).__mro__)
    if type(error) is OSError and str(error).startswith("Forbidden: "):
        yield "Forbidden"
