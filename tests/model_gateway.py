"""A gateway to language models on loopback: a small part of Anthropic's Messages API and OpenAI's Responses API.

Its model reads commands in the last prompt: `SPAWN NAME PROMPT` starts a subagent of that type, `BASH COMMAND` runs a
command, `HOLD` waits until the test calls `release`, and `WAIT` does so when the tools have answered; each on a
separate line. To all else, and when its tools are done, it says `done`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

_SPAWNING = ("Agent", "Task", "spawn_agent")
_RUNNING = ("Bash", "shell", "shell_command", "exec_command")
_COMMAND = re.compile(r"^[ \t]*(?:SPAWN ([A-Za-z0-9_-]+) (.+)|BASH (.+)|(HOLD|WAIT))$", re.MULTILINE)


class Call(NamedTuple):
    """A request that the gateway received."""

    path: str
    token: str | None
    """The bearer token of the request, or its API key."""
    prompt: str
    """The text of the last message of the user."""
    headers: dict[str, str]
    """All headers, by their names in lower case."""
    status: int


class _Spawn(NamedTuple):
    kind: str
    prompt: str


class _Run(NamedTuple):
    line: str


class Gateway:
    """A running gateway."""

    def __init__(self, address: str, accepts: Callable[[str], bool]) -> None:
        self.address = address
        self.calls: list[Call] = []
        self.held = threading.Semaphore(0)
        """Counts the requests that wait for `release`."""
        self.accepts = accepts
        """Whether the gateway accepts a token; otherwise it answers 401."""
        self._released = threading.Event()

    def release(self) -> None:
        """Let all requests that wait, and all later ones, go on."""
        self._released.set()

    def hold(self) -> None:
        """Wait until `release`; a test that failed must not leave the client waiting."""
        self.held.release()
        self._released.wait(60)

    def tokens(self) -> list[str]:
        """Return the different tokens that were shown to it, in order."""
        return list(dict.fromkeys(call.token for call in self.calls if call.token))


@contextmanager
def model_gateway(accepts: Callable[[str], bool] = lambda _: True) -> Iterator[Gateway]:
    """Serve the model on loopback; `accepts` judges each token."""

    class Visitor(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(200, "text/plain", b"")

        def do_GET(self) -> None:
            if self.path.partition("?")[0].endswith("/models"):
                self._json(
                    200, {"object": "list", "data": [{"id": "test-model", "object": "model"}], "models": []}
                )
            else:
                self._json(404, {"error": {"type": "not_found_error", "message": "no such path"}})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            try:
                request = json.loads(body)
            except ValueError:
                request = {}
            messages = path.endswith("/messages")
            if not (messages or path.endswith("/responses")):
                self._json(200 if path.endswith("/count_tokens") else 404, {"input_tokens": 1})
                return
            token = _token(self.headers.get("Authorization"), self.headers.get("X-Api-Key"))
            accepted = token is not None and gateway.accepts(token)
            items = request.get("messages" if messages else "input", [])
            prompt, answered = _anthropic_prompt(items) if messages else _openai_prompt(items)
            gateway.calls.append(
                Call(
                    path,
                    token,
                    prompt,
                    {name.lower(): value for name, value in self.headers.items()},
                    200 if accepted else 401,
                )
            )
            if not accepted:
                self._json(
                    401,
                    {"type": "error", "error": {"type": "authentication_error", "message": "invalid token"}},
                )
                return
            tools = _tools(request.get("tools") or [])
            actions: list[_Spawn | _Run] = []
            for kind, subprompt, line, wait in _COMMAND.findall(prompt):
                if wait:
                    if answered == (wait == "WAIT"):
                        gateway.hold()
                elif answered:
                    continue
                elif line:
                    actions.append(_Run(line))
                else:
                    actions.append(_Spawn(kind, subprompt.replace("\\n", "\n")))
            if messages:
                self._stream(_anthropic(request, actions, tools), streamed=request.get("stream", False))
            else:
                self._stream(_openai(request, actions, tools), streamed=True)

        def _stream(self, events: list[dict[str, Any]], *, streamed: bool) -> None:
            if not streamed:
                self._json(200, _whole(events))
                return
            text = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
            self._answer(200, "text/event-stream", text.encode())

        def _json(self, status: int, value: Any) -> None:
            self._answer(status, "application/json", json.dumps(value).encode())

        def _answer(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Visitor)
    listening.daemon_threads = True
    gateway = Gateway(f"http://127.0.0.1:{listening.server_address[1]}", accepts)
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield gateway
    finally:
        gateway.release()
        listening.shutdown()
        thread.join()
        listening.server_close()


def _token(authorization: str | None, key: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token if scheme.lower() == "bearer" and token else key


def _tools(tools: list[dict[str, Any]]) -> dict[str, str | None]:
    """Return the names of tools, each with its namespace if it has one."""
    names: dict[str, str | None] = {str(tool.get("name") or tool.get("type")): None for tool in tools}
    for tool in tools:
        if tool.get("type") == "namespace":
            names |= dict.fromkeys((each["name"] for each in tool["tools"]), tool["name"])
    return names


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [part["text"] for part in content if isinstance(part.get("text"), str)]


def _anthropic_prompt(messages: list[dict[str, Any]]) -> tuple[str, bool]:
    """Return the last text of the user, and whether tools have answered since."""
    answered = False
    for message in reversed(messages):
        if message.get("role") != "user":
            continue
        content = message.get("content") or ""
        if not isinstance(content, str) and any(part.get("type") == "tool_result" for part in content):
            answered = True
            continue
        # The client adds its own reminders in blocks before the prompt.
        return "\n".join(_texts(content)), answered
    return "", answered


def _openai_prompt(items: Any) -> tuple[str, bool]:
    if isinstance(items, str):
        return items, False
    answered = False
    for item in reversed(items):
        if str(item.get("type", "")).endswith("_output"):
            answered = True
        elif item.get("role") == "user":
            return "\n".join(_texts(item.get("content") or "")), answered
    return "", answered


def _first(names: tuple[str, ...], tools: dict[str, str | None]) -> str:
    return next((name for name in names if name in tools), names[0])


def _anthropic(
    request: dict[str, Any], actions: list[_Spawn | _Run], tools: dict[str, str | None]
) -> list[dict[str, Any]]:
    """Return the events of one answer (Messages API, streaming)."""
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for number, action in enumerate(actions):
        if isinstance(action, _Spawn):
            given = {"description": "subtask", "prompt": action.prompt, "subagent_type": action.kind}
            name = _first(_SPAWNING, tools)
        else:
            given = {"command": action.line, "description": "command"}
            name = _first(_RUNNING, tools)
        block = {"type": "tool_use", "id": f"toolu_{id(request):x}{number:04}", "name": name, "input": {}}
        blocks.append((block, {"type": "input_json_delta", "partial_json": json.dumps(given)}))
    if not blocks:
        blocks.append(({"type": "text", "text": ""}, {"type": "text_delta", "text": "done"}))
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {
        "id": f"msg_{id(request):x}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model", "test-model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    events: list[dict[str, Any]] = [{"type": "message_start", "message": message}]
    for index, (block, delta) in enumerate(blocks):
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_delta", "index": index, "delta": delta},
            {"type": "content_block_stop", "index": index},
        ]
    reason = "tool_use" if actions else "end_turn"
    events += [
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]
    return events


def _whole(events: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the message that the events of a stream add up to."""
    message: dict[str, Any] = dict(events[0]["message"])
    content = []
    for event in events:
        if event["type"] == "content_block_start":
            content.append(dict(event["content_block"]))
        elif event["type"] == "content_block_delta":
            delta = event["delta"]
            if delta["type"] == "text_delta":
                content[-1]["text"] = delta["text"]
            else:
                content[-1]["input"] = json.loads(delta["partial_json"])
    return {**message, "content": content, "stop_reason": events[-2]["delta"]["stop_reason"]}


def _openai(
    request: dict[str, Any], actions: list[_Spawn | _Run], tools: dict[str, str | None]
) -> list[dict[str, Any]]:
    """Return the events of one answer (Responses API, streaming)."""
    items: list[dict[str, Any]] = []
    for number, action in enumerate(actions):
        if isinstance(action, _Spawn):
            name = _first(_SPAWNING, tools)
            given: dict[str, Any] = {
                "message": action.prompt,
                "agent_type": action.kind,
            }
        else:
            name = _first(_RUNNING[1:], tools)
            words: Any = ["sh", "-c", action.line] if name == "shell" else action.line
            given = {"cmd" if name == "exec_command" else "command": words}
        items.append(
            {
                "type": "function_call",
                "id": f"fc_{id(request):x}{number}",
                "call_id": f"call_{id(request):x}{number}",
                "name": name,
                "arguments": json.dumps(given),
                "status": "completed",
                **({"namespace": tools[name]} if tools.get(name) else {}),
            }
        )
    said = {"type": "output_text", "text": "done", "annotations": []}
    if not items:
        items.append(
            {
                "type": "message",
                "id": f"msg_{id(request):x}",
                "role": "assistant",
                "status": "completed",
                "content": [said],
            }
        )
    response: dict[str, Any] = {
        "id": f"resp_{id(request):x}",
        "object": "response",
        "created_at": 0,
        "status": "in_progress",
        "model": request.get("model", "test-model"),
        "output": [],
    }
    events: list[dict[str, Any]] = [{"type": "response.created", "response": response}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        empty: dict[str, Any] = {"content": []} if "content" in item else {"arguments": ""}
        begun = {**item, "status": "in_progress", **empty}
        events.append({"type": "response.output_item.added", "output_index": index, "item": begun})
        if "content" in item:
            part = {**place, "content_index": 0}
            events += [
                {"type": "response.content_part.added", **part, "part": {**said, "text": ""}},
                {"type": "response.output_text.delta", **part, "delta": "done"},
                {"type": "response.output_text.done", **part, "text": "done"},
                {"type": "response.content_part.done", **part, "part": said},
            ]
        else:
            events += [
                {"type": "response.function_call_arguments.delta", **place, "delta": item["arguments"]},
                {"type": "response.function_call_arguments.done", **place, "arguments": item["arguments"]},
            ]
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    usage = {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 1,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 2,
    }
    done = {**response, "status": "completed", "output": items, "usage": usage}
    events.append({"type": "response.completed", "response": done})
    for number, event in enumerate(events):
        event["sequence_number"] = number
    return events
