"""Session files of AI command-line tools: collected, indexed, backed up, archived and compacted.

Claude Code, Codex, OpenCode and Gemini leave their conversations in files under the home folder. This catalogue copies
them into the Postgres schema `sessions`, their vectors into LanceDB, and keeps the files themselves as archives.

    collect_all            every 30 s   what is new in the files goes into Postgres
    index_pending          every 60 s   answers get vectors
    check_and_archive_all  hourly       quiet files go into verified archives, which are merged as they age
    backup                 daily        the schema as one SQLite file, the newest are kept
    compact                daily        both stores are tidied up
"""
