"""The routes of one ComfyUI worker, and the only place where httpx's errors are translated.

Facts measured on ComfyUI 0.3.64. No Origin header is ever sent: the server answers 403 to a foreign one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from json import JSONDecodeError
from typing import Any
from urllib.parse import quote

import httpx

from assetline.backends.comfyui.answers import HistoryEntry, ImageFile, Queue, Remnant, read_remnants
from assetline.errors import BackendUnavailable, JobFailed, JobLost, OptionError

_GATEWAY = {408, 502, 503, 504, *range(520, 528)}  # a proxy's answers (520 to 527: Cloudflare's): the worker gave none
_TOO_LARGE = 413
_ERROR_TEXT_SHOWN = 300
_NEWEST_LOOKED_AT = 500  # of the history, for what a killed run left: 0.5 MB (368 kB for 385 small graphs)


class AnswerLost(BackendUnavailable):
    """The request may have arrived, but there was no whole answer: what came of it must be looked up."""


class Refused(Exception):
    """A status that is no success; it never leaves this package. `answer` is the body where that is a JSON object."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.text = response.text.strip()[:_ERROR_TEXT_SHOWN]
        self.answer = _json_object(response) or {}
        super().__init__(f"HTTP {self.status}: {self.text}")


class ComfyUIClient:
    """HTTP to one worker. Every call has a time limit and raises BackendUnavailable where nothing answers.

    `url` is the worker's name too: credentials in it (`http://user:word@gpu1:8188`) are used, never shown.
    """

    def __init__(self, url: str, timeout: httpx.Timeout, http: httpx.AsyncClient | None = None) -> None:
        address = _address(url)
        self.url = str(address.copy_with(userinfo=b"", query=None, fragment=None)).rstrip("/")
        self._auth = (
            httpx.BasicAuth(address.username, address.password) if address.userinfo else httpx.USE_CLIENT_DEFAULT
        )
        self._timeout = timeout
        # Plain http needs no CA certificates, and loading them costs 30 ms a worker.
        self._http = http or httpx.AsyncClient(verify=address.scheme == "https")
        self._owned = http is None

    @property
    def socket_address(self) -> str:
        """Where the worker's websocket is, without credentials."""
        return f"{self.url.replace('http', 'ws', 1)}/ws"

    @property
    def socket_headers(self) -> dict[str, str]:
        """What to send along there: the credentials, if the address has any."""
        if not isinstance(self._auth, httpx.BasicAuth):
            return {}
        request = httpx.Request("GET", self.url)
        return {"Authorization": next(self._auth.auth_flow(request)).headers["Authorization"]}

    async def close(self) -> None:
        """Close the connections, unless they were lent."""
        if self._owned:
            await self._http.aclose()

    async def system_stats(self) -> dict[str, Any]:
        """GET /system_stats: versions, memory. It answers even when the thread that runs prompts is dead."""
        return await self._get("/system_stats")

    async def object_info(self) -> dict[str, Any]:
        """GET /object_info: every node class with its inputs and their choices (382 classes, 323 kB, 0.1 s)."""
        return await self._get("/object_info")

    async def queue(self) -> Queue:
        """GET /queue: what runs and what waits (0.7 ms; 826 kB with 1,000 prompts of other clients)."""
        answer = await self._get("/queue")
        try:
            return Queue.read(answer)
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            raise self._strange("/queue") from exc

    async def node_class(self, name: str) -> dict[str, Any]:
        """GET /object_info/{name}: the inputs of one node class (2 ms); empty for a class that the worker lacks."""
        try:
            answer = _json_object(await self._ask("GET", f"/object_info/{quote(name, safe='')}"))
        except Refused:
            return {}
        found = (answer or {}).get(name)
        return found if isinstance(found, dict) else {}

    async def remnants(self) -> list[Remnant]:
        """What assetline has handed in and not yet taken away: GET /queue, then the newest of GET /history."""
        queue = await self._get("/queue")
        try:
            return read_remnants(queue, await self._get(f"/history?max_items={_NEWEST_LOOKED_AT}"))
        except (KeyError, IndexError, TypeError, AttributeError) as exc:
            raise self._strange("/queue") from exc

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """GET /history/{id}; None while it waits or runs, and for what is unknown, deleted or lost alike."""
        answer = await self._get(f"/history/{quote(prompt_id, safe='')}")
        try:
            return HistoryEntry.read(answer[prompt_id]) if prompt_id in answer else None
        except (KeyError, IndexError, TypeError, AttributeError) as exc:
            raise self._strange("/history") from exc

    async def submit(self, body: dict[str, Any]) -> dict[str, Any]:
        """POST /prompt, once. Raises Refused, BackendUnavailable (not sent), AnswerLost (perhaps accepted)."""
        response = await self._ask("POST", "/prompt", json=body)
        answer = _json_object(response)
        if answer is None or "prompt_id" not in answer:
            raise AnswerLost(str(self._strange("/prompt")), lane=self.url)
        return answer

    async def delete_pending(self, prompt_id: str) -> None:
        """Take a waiting prompt out of the queue; one that runs is not touched. 200 whatever happened."""
        await self._served("POST", "/queue", json={"delete": [prompt_id]})

    async def interrupt(self, prompt_id: str) -> None:
        """Stop this prompt. To be sent only while it runs: servers of before mid-2025 stop whatever runs instead."""
        await self._served("POST", "/interrupt", json={"prompt_id": prompt_id})

    async def forget(self, prompt_ids: Sequence[str]) -> None:
        """Take finished prompts out of the history, which keeps 10,000 whole graphs in memory otherwise."""
        await self._served("POST", "/history", json={"delete": list(prompt_ids)})

    async def upload(self, name: str, data: bytes) -> str:
        """POST /upload/image into the input folder; return the name for LoadImage, which may be another one.

        The same name with the same bytes is kept, with other bytes it gets a new name. Raises JobFailed.
        """
        try:
            response = await self._ask(
                "POST", "/upload/image", files={"image": (name, data)}, data={"subfolder": "assetline"}
            )
        except Refused as exc:
            raise JobFailed(
                f"{self.url} does not take the reference image ({len(data)} bytes): {_why(exc)}.", lane=self.url
            ) from exc
        answer = _json_object(response) or {}
        if "name" not in answer:
            raise self._strange("/upload/image")
        return "/".join(part for part in (str(answer.get("subfolder", "")), str(answer["name"])) if part)

    async def view(self, file: ImageFile) -> bytes:
        """GET /view: the file as it is. Raises JobLost (404: the file is gone), AnswerLost (cut off)."""
        try:
            response = await self._ask("GET", "/view", params=asdict(file))
        except Refused as exc:
            raise JobLost(
                f"{self.url} no longer has the picture {file.subfolder}/{file.filename} ({_why(exc)}).", lane=self.url
            ) from exc
        length = response.headers.get("Content-Length")
        if "Content-Encoding" not in response.headers and length is not None and int(length) != len(response.content):
            raise AnswerLost(
                f"{self.url} sent {len(response.content)} of {length} bytes of {file.filename}.", lane=self.url
            )
        return response.content

    async def _get(self, path: str) -> dict[str, Any]:
        answer = _json_object(await self._served("GET", path))
        if answer is None:
            raise self._strange(path)
        return answer

    async def _served(self, method: str, path: str, **content: Any) -> httpx.Response:
        """For routes that a ComfyUI never refuses: a refusal comes from something else, or a guard before it."""
        try:
            return await self._ask(method, path, **content)
        except Refused as exc:
            raise self.closed(path, exc) from exc

    def closed(self, path: str, refused: Refused) -> BackendUnavailable:
        """The error for a route that is not there, or not for us."""
        return BackendUnavailable(
            f"{self.url}{path} answers {_why(refused)}. Is it a ComfyUI, and may this machine use it?", lane=self.url
        )

    async def _ask(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = await self._http.request(
                method, self.url + path, timeout=self._timeout, auth=self._auth, **content
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as exc:
            raise BackendUnavailable(
                f"{self.url} cannot be reached ({_kind(exc)}). Start ComfyUI there with --listen, "
                f"or take {self.url} out of --lane.",
                lane=self.url,
            ) from exc
        except httpx.RequestError as exc:
            raise AnswerLost(
                f"{self.url} gave no whole answer to {method} {path} ({_kind(exc)}). Look at its log; "
                "it may be overloaded or have ended.",
                lane=self.url,
            ) from exc
        if response.status_code in _GATEWAY:
            raise AnswerLost(f"{self.url} is not reached by its proxy (HTTP {response.status_code}).", lane=self.url)
        if not response.is_success:
            raise Refused(response)
        return response

    def _strange(self, path: str) -> BackendUnavailable:
        return BackendUnavailable(
            f"{self.url}{path} does not answer like a ComfyUI. Is the address right, with its port (8188)?",
            lane=self.url,
        )


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url.strip())
    except httpx.InvalidURL as exc:
        raise OptionError(f"The lane {url!r} is no address ({exc}); write it as http://gpu1:8188.") from exc
    if address.scheme not in {"http", "https"} or not address.host:
        raise OptionError(f"The lane {url!r} is no ComfyUI address; write it as http://gpu1:8188.")
    return address


def _json_object(response: httpx.Response) -> dict[str, Any] | None:
    try:
        answer = response.json()
    except (JSONDecodeError, UnicodeDecodeError):
        return None
    return answer if isinstance(answer, dict) else None


def _kind(exc: httpx.RequestError) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _why(exc: Refused) -> str:
    if exc.status == _TOO_LARGE:
        return f"it is above the worker's limit: {exc.text} Raise --max-upload-size there"
    return f"HTTP {exc.status}" + (f": {exc.text.splitlines()[0]}" if exc.text else "")
