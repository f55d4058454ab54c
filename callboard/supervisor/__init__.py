"""The parent of worker processes: it replaces what dies, kills what is stuck, and renews what has grown.

=============  =================================================================================
`page`         one page of memory that a worker process writes and its supervisor reads
`workforce`    the rules: who is replaced, when, and by whom
`process`      `callboard worker` itself, a process that imports little
`callboard.notary`  writes down what became of the runs of a process that was killed
=============  =================================================================================

What each event leaves behind:

    a process dies               its siblings work on; it is back after 0.2 s (0.4 s, ... 10 s if it keeps dying); its
                                 messages are given out again when its lease ends
    a job outlives its limit     soft: `TimeLimitExceeded` is raised in its thread, by the worker itself; hard, its
                                 `time_limit` plus CALLBOARD_TIME_LIMIT_GRACE_SECONDS: its process is killed and
                                 replaced at once, the attempt ends as failed for `HardTimeLimitExceeded` (its retries
                                 apply), and the runs beside it are given back with a note that says why
    a job holds the GIL          no other thread of its process runs for the length of a lease: killed and replaced; its
                                 runs have gone elsewhere by then, as after a crash
    a process does nothing       its fetch loop has not gone round for a minute though a thread is free: killed and
                                 replaced
    a process has done enough    (CALLBOARD_WORKER_MAX_JOBS, CALLBOARD_WORKER_MAX_MEMORY_MB) its successor starts; when
                                 that one works, the old one drains; one process at a time
    SIGTERM, SIGINT              passed on once; the workers drain; what stays after their grace is killed
    the supervisor is killed     Linux kills its children at once; their messages come back when their leases end

This package imports nothing but the standard library, so that `callboard worker` stays small: keep it so.
"""
