"""A rule and the record of an event -> what the rule does: a command, a webhook, notifications."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

TIMEOUT_S = 10.0  # for a command to end, and for a web server to answer


class ActionError(Exception):
    """An action failed; one line."""


def run_command(words: Sequence[str], record: Mapping[str, Any]) -> None:
    """Run a program without a shell; the record is its standard input, as a line of JSON.

    Args:
        words: Path of the program and its arguments.
        record: Of the event.

    Raises:
        ActionError: The program cannot be run, ends with another code than 0, or runs longer than TIMEOUT_S.
    """
    text = json.dumps(dict(record), ensure_ascii=False) + "\n"
    try:
        done = subprocess.run(
            list(words), input=text, text=True, timeout=TIMEOUT_S, capture_output=True, encoding="utf-8", check=False
        )
    except subprocess.TimeoutExpired:
        raise ActionError(f"{words[0]}: ended after {TIMEOUT_S:g} s") from None
    except (OSError, UnicodeError) as error:
        raise ActionError(f"{words[0]}: {getattr(error, 'strerror', None) or error}") from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise ActionError(f"{words[0]}: exit code {done.returncode}: {last}")


def post(url: str, record: Mapping[str, Any]) -> None:
    """Send a record as JSON to a web address.

    Raises:
        ActionError: The server cannot be reached, or answers with an error.
    """
    body = json.dumps(dict(record), ensure_ascii=False).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json", "User-Agent": "seld-edge"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # an http address, see RuleSettings
            answer.read(1)
    except (OSError, ValueError) as error:  # urllib.error.URLError is an OSError
        raise ActionError(f"{_without_secrets(url)}: {error}") from error


def notifier(urls: Sequence[str]) -> Any:
    """Open the services of Apprise, see https://github.com/caronc/apprise.

    Raises:
        ValueError: apprise is not installed, or an address names no service.
    """
    try:
        import apprise
    except ModuleNotFoundError:
        raise ValueError("apprise is not installed: pip install apprise") from None
    services = apprise.Apprise()
    for url in urls:
        if not services.add(url):
            raise ValueError(f"got notify {_without_secrets(url)!r}, wanted an address of a service that apprise knows")
    return services


def notify(services: Any, record: Mapping[str, Any]) -> None:
    """Send the text of an event to services.

    Raises:
        ActionError: A service refused it or could not be reached.
    """
    if not services.notify(title="seld-edge", body=text_of(record)):
        raise ActionError("notify: a service did not take the message")


def text_of(record: Mapping[str, Any]) -> str:
    """Tell an event to a person: "knock at door, azimuth 175 degrees, score 0.93"."""
    place = f" at {record['sector']}" if record["sector"] else ""
    return f"{record['class']}{place}, azimuth {record['azimuth_deg']:.0f} degrees, score {record['score']:.2f}"


def _without_secrets(url: str) -> str:
    """The kind and the host of an address; the rest often holds a token."""
    kind, _, rest = url.partition("://")
    return f"{kind}://{rest.partition('/')[0].rpartition('@')[2]}/..."
