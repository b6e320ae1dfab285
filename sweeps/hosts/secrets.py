"""Texts without the secrets that URLs and the environment hold."""

import os
import re
from urllib.parse import unquote, urlsplit


def redacted(text: str, uri: str) -> str:
    """The text without the credentials of the URI and of MLflow's environment."""
    user_info = urlsplit(uri).netloc.rpartition("@")[0]
    secrets = {user_info, *user_info.split(":", 1)[1:]}
    secrets |= {os.environ.get(f"MLFLOW_TRACKING_{kind}", "") for kind in ("PASSWORD", "TOKEN")}
    for secret in sorted({*secrets, *map(unquote, secrets)} - {""}, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = re.sub(r"(?<=://)[^/\s'\"]*@", "***@", text)
    return re.sub(r"(?i)\b(password|passwd|pwd|token|secret|sig|\w*key)=[^&\s'\"]+", r"\1=***", text)
