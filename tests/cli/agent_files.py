"""Files as coding agents write them: their forms were seen in runs of the real agents, and their text is made up."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

SESSION = "5cd016a2-ec3c-480d-87fa-8ef6033dff77"
OTHER = "01a23187-5f99-7191-a5c3-bcf098088215"


def claude(home: Path, output: str, command: str = "cat notes", session: str = SESSION) -> Path:
    """Write a transcript of Claude Code in which a command has printed a text."""
    path = home / ".claude" / "projects" / "-work" / f"{session}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    call = {"type": "tool_use", "id": "toolu_01", "name": "Bash", "input": {"command": command}}
    result = {"tool_use_id": "toolu_01", "type": "tool_result", "content": output}
    lines = [
        {
            "type": "assistant",
            "message": {"role": "assistant", "content": [call]},
            "timestamp": "2026-12-01T12:14:50.011Z",
            "cwd": str(home / "work"),
            "sessionId": session,
        },
        {
            "type": "user",
            "message": {"role": "user", "content": [result]},
            "timestamp": "2026-12-01T12:14:52.011Z",
            "sessionId": session,
        },
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def codex(home: Path, output: str) -> Path:
    """Write a rollout of Codex in which a command has printed a text."""
    path = home / ".codex" / "sessions" / "2026" / "12" / "01" / f"rollout-2026-12-01T12-14-45-{OTHER}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    call = {"type": "function_call", "name": "shell", "arguments": json.dumps({"command": ["cat", "notes"]})}
    result = {"type": "function_call_output", "output": json.dumps({"output": output})}
    lines = [
        {
            "timestamp": f"2026-12-01T12:14:4{number}.282Z",
            "type": "response_item",
            "payload": payload | {"call_id": "call_1"},
        }
        for number, payload in enumerate((call, result))
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def copilot(home: Path, output: str) -> Path:
    """Write the events of a session of Copilot in which a command has printed a text."""
    path = home / ".copilot" / "session-state" / SESSION / "events.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    start = {"toolCallId": "call_7", "toolName": "bash", "arguments": {"command": "cat notes"}}
    end = {"toolCallId": "call_7", "success": True, "result": {"content": output}}
    lines = [
        {"type": "tool.execution_start", "data": start, "timestamp": "2026-12-01T12:14:52.645Z"},
        {"type": "tool.execution_complete", "data": end, "timestamp": "2026-12-01T12:14:53.645Z"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def gemini(home: Path, output: str) -> Path:
    """Write a chat of Gemini CLI, a document of several lines, in which a command has printed a text."""
    path = home / ".gemini" / "tmp" / "work" / "chats" / "session-2026-12-01T12-14-5cd016a2.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    call = {"id": "c1", "name": "run_shell_command", "args": {"command": "cat notes"}, "result": [output]}
    message = {"id": "m1", "timestamp": "2026-12-01T12:14:52.645Z", "type": "gemini", "toolCalls": [call]}
    path.write_text(json.dumps({"sessionId": SESSION, "messages": [message]}, indent=2))
    return path


def opencode(home: Path, output: str) -> Path:
    """Write a database of opencode in which a command has printed a text; its log still has the last change."""
    path = home / ".local" / "share" / "opencode" / "opencode.db"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"status": "completed", "input": {"command": "cat notes"}, "output": output}
    part = {"type": "tool", "callID": "call_1", "tool": "bash", "state": state}
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = wal")
    database.execute(
        "CREATE TABLE part (id text PRIMARY KEY, message_id text, session_id text, time_created integer, data text)"
    )
    row = ("prt_1", "msg_1", "ses_dce788117ffep5kD3up0g3inlx", 1796127295038, json.dumps(part))
    database.execute("INSERT INTO part VALUES (?, ?, ?, ?, ?)", row)
    copies = {each: each.read_bytes() for each in path.parent.iterdir()}
    database.close()
    # As a client that was killed leaves them: the last connection would have removed the log.
    for each, content in copies.items():
        each.write_bytes(content)
    return path


def cursor(home: Path, output: str) -> Path:
    """Write a database of Cursor in which a command has printed a text, spread over several pages."""
    path = home / ".config" / "Cursor" / "User" / "globalStorage" / "state.vscdb"
    path.parent.mkdir(parents=True, exist_ok=True)
    call = {"name": "run_terminal_cmd", "rawArgs": json.dumps({"command": "cat notes"}), "result": output}
    bubble = {"createdAt": "2026-12-01T12:14:52.011Z", "toolFormerData": call}
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE cursorDiskKV (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)")
    database.execute(
        "INSERT INTO cursorDiskKV VALUES (?, ?)", (f"bubbleId:{SESSION}:{OTHER}", json.dumps(bubble).encode())
    )
    database.commit()
    database.close()
    return path


def vscode(home: Path, output: str) -> Path:
    """Write a chat of VS Code in which a command has printed a text."""
    path = home / ".config" / "Code" / "User" / "workspaceStorage" / "a1" / "chatSessions" / f"{SESSION}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    call = {
        "toolCallId": "c1",
        "toolId": "run_in_terminal",
        "toolInput": {"command": "cat notes"},
        "result": output,
    }
    request = {"requestId": "r1", "timestamp": 1796127292011, "response": [call]}
    path.write_text(json.dumps({"sessionId": SESSION, "requests": [request]}))
    return path


AGENTS = {
    "claude-code": claude,
    "codex": codex,
    "copilot": copilot,
    "gemini": gemini,
    "opencode": opencode,
    "cursor": cursor,
    "vscode": vscode,
}
