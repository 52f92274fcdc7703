"""All clients that jitid sets up."""

from __future__ import annotations

from jitid.capabilities.setup import bypass, coding_agents, mcp_clients, tools
from jitid.capabilities.setup.client import ClientSetup

_HELPER = "task delegator agent scope ttl parent_file"

CLIENTS = {
    client.name: client
    for client in (
        ClientSetup(
            "claude-code",
            "Claude Code",
            ("claude",),
            f"gateway audience mcp tools name project {_HELPER}",
            coding_agents.claude_files,
            bypass.claude_code,
            coding_agents.claude_notes,
        ),
        ClientSetup(
            "codex",
            "Codex",
            ("codex",),
            f"gateway audience mcp tools name project {_HELPER}",
            coding_agents.codex_files,
            bypass.codex,
            coding_agents.codex_notes,
        ),
        ClientSetup(
            "opencode",
            "opencode",
            ("opencode",),
            "gateway audience mcp tools name project",
            coding_agents.opencode_files,
            bypass.opencode,
            coding_agents.opencode_notes,
        ),
        ClientSetup(
            "gemini",
            "Gemini CLI",
            ("gemini",),
            f"mcp name project {_HELPER}",
            mcp_clients.gemini_files,
            bypass.gemini,
            mcp_clients.start_notes("Gemini CLI", "gemini", sessions=True),
        ),
        ClientSetup(
            "copilot",
            "Copilot CLI",
            ("copilot",),
            f"gateway audience mcp name project {_HELPER}",
            mcp_clients.copilot_files,
            bypass.copilot,
            mcp_clients.copilot_notes,
        ),
        ClientSetup(
            "cursor",
            "Cursor",
            ("cursor", "cursor-agent"),
            "mcp name project",
            mcp_clients.cursor_files,
            bypass.cursor,
            mcp_clients.start_notes("Cursor", "cursor"),
        ),
        ClientSetup(
            "vscode",
            "VS Code",
            ("code",),
            "mcp name project",
            mcp_clients.vscode_files,
            bypass.vscode,
            mcp_clients.start_notes("VS Code", "code"),
        ),
        ClientSetup(
            "mcp",
            "MCP servers of a project",
            (),
            f"mcp name {_HELPER}",
            mcp_clients.mcp_files,
            bypass.mcp,
            mcp_clients.mcp_notes,
        ),
        ClientSetup(
            "git",
            "git",
            ("git",),
            f"host audience project {_HELPER}",
            tools.git_files,
            bypass.git,
            tools.git_notes,
        ),
        ClientSetup("gh", "gh", ("gh",), "", tools.gh_files, bypass.gh, tools.gh_notes),
        ClientSetup(
            "aws",
            "AWS's tools",
            ("aws",),
            f"template name {_HELPER}",
            tools.aws_files,
            bypass.aws,
            tools.aws_notes,
        ),
        ClientSetup(
            "kube",
            "kubectl",
            ("kubectl",),
            f"name audience {_HELPER}",
            tools.kube_files,
            bypass.kube,
            tools.kube_notes,
        ),
    )
}
"""The clients by their names."""
