"""Session files of AI command-line tools: collected, indexed, backed up, archived and compacted.

Claude Code, Codex, OpenCode and Gemini leave their conversations in files under the home folder. This catalogue copies
them into the Postgres schema `sessions`, their vectors into LanceDB, and keeps the files themselves as archives.
"""
