"""Send prompts to one model of a server, in the form that it accepts."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import closing

import msgspec

from app import tracing
from app.infra.http.client import HTTPClient
from app.infra.http.errors import BadResponse, ConnectTimeout
from app.infra.http.response import Response
from app.services.models.failures import rejection, to_failure
from app.services.models.prompt import Message
from app.services.models.refused_parameters import REFUSING, describe_change, without_refused
from app.services.models.request import (
    ModelConfig,
    RequestForm,
    ServerConfig,
    endpoint_of,
    request_body,
)
from app.services.models.server_error import ERROR_LIMIT, ServerError, parse_error

log = logging.getLogger(__name__)

# Seconds for the body of an error response to arrive.
ERROR_TIMEOUT = 5.0


class ServedModel:
    """One model of a server; remembers which optional parts of a request it refuses."""

    def __init__(
        self, http: HTTPClient, config: ModelConfig, server: ServerConfig, model: str
    ) -> None:
        self.name = model
        self.endpoint = endpoint_of(server)
        self._http, self._config, self._server = http, config, server
        self._form = RequestForm(config.rules_role)

    def __str__(self) -> str:
        return f"{self.name} at {self.endpoint.host}"

    async def ask(
        self, messages: Sequence[Message], until: float, *, short: bool = False
    ) -> Response:
        """Send messages, and return a response that may contain the answer, a `short` one or not.

        The caller must close it. `until` is the deadline for its head, in the time of the running
        event loop. If the model refuses an optional part of the request, the request is repeated
        immediately without it. Raises ModelAttemptFailed.
        """
        start = form = self._form
        while True:
            body = request_body(self._server, self._config, self.name, messages, form, short)
            response = await self._post(msgspec.json.encode(body), until)
            # The body may be an answer whatever its media type says: its reader finds out.
            if response.status in (200, 201):
                if form != start:
                    self._remember(form)
                return response
            with closing(response):
                error = await _read_error(response, until)
                failure = rejection(response, error, self._server.settings)
            accepted = None
            if response.status in REFUSING and failure.kind == "other":
                accepted = without_refused(form, body, self._server.extra_body.keys(), error)
            if accepted is None:
                raise failure
            form = accepted

    def _remember(self, form: RequestForm) -> None:
        before, self._form = self._form, form
        # Another request may have found out the same in the meantime.
        if form != before:
            change = describe_change(before, form, self._server.settings, self._config.max_tokens)
            log.warning("model %s %s", self, change)

    async def _post(self, body: bytes, until: float) -> Response:
        try:
            return await self._http.post(
                self.endpoint,
                body,
                connect_timeout=self._config.connect_timeout,
                until=until,
                headers=tracing.outgoing_headers(),
            )
        except BadResponse as error:
            raise to_failure(error, "sent an invalid response") from None
        except TimeoutError as error:
            if not isinstance(error, ConnectTimeout):
                error = TimeoutError("no response (LLM_FIRST_TOKEN_TIMEOUT)")
            raise to_failure(error) from None
        except OSError as error:
            raise to_failure(error, "cannot be reached") from None


async def _read_error(response: Response, until: float) -> ServerError:
    """Return the error in a response, an empty one if it cannot be read."""
    until = min(until, asyncio.get_running_loop().time() + ERROR_TIMEOUT)
    try:
        return parse_error(await response.read(until, ERROR_LIMIT))
    except (BadResponse, OSError):
        return ServerError()
