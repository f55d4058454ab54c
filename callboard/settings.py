"""Every setting of the engine in one validated object; nothing reads the environment before `get_settings()`."""

from __future__ import annotations

import re
from base64 import b64decode
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AliasChoices, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from callboard.channel_urls import parse as parse_channels
from callboard.mail_server import MailServer

PREFIX = "CALLBOARD_"
_KEY_BYTES = 32


class LaneSetting(NamedTuple):
    """Queues with threads of their own."""

    name: str
    queues: tuple[str, ...]
    threads: int


_LANE = re.compile(r"\s*([A-Za-z_][\w-]*)\s*=\s*([1-9][0-9]{0,2})\s*:\s*([\w-]+(?:\s*,\s*[\w-]+)*)\s*")


def _lane(text: str) -> LaneSetting:
    found = _LANE.fullmatch(text)
    if found is None:
        raise ValueError(f"lane {text!r} must look like 'slow=2:reports,exports': a name, its threads, its queues.")
    return LaneSetting(found[1], tuple(queue.strip() for queue in found[3].split(",")), int(found[2]))


def _promise(queue: str, seconds: str) -> float:
    try:
        promise = float(seconds)
    except ValueError:
        promise = 0.0
    if not queue or not 0 < promise < float("inf"):
        raise ValueError(f"queue promise '{queue}={seconds}' must look like 'mail=60': a queue and seconds above 0.")
    return promise


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == _KEY_BYTES
    except ValueError:
        return False


class Settings(BaseSettings):
    """Settings of the engine, each read from `CALLBOARD_<NAME>`; durations in seconds."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, populate_by_name=True)

    home: Path = Field(Path(".callboard"), description="Folder of the embedded servers and of what the jobs keep.")
    database_url: str | None = Field(None, description="Postgres; unset: the embedded one under `home`.")
    broker_url: str | None = Field(None, description="Redis or Valkey; unset: the embedded one under `home`.")
    broker_namespace: str = Field("callboard", description="Prefix of every key in the broker.", min_length=1)
    broker_allow_volatile: bool = Field(default=False, description="Accept a broker without an append-only file.")
    message_max_bytes: int = Field(262_144, ge=1024, description="Largest message that may be sent.")
    actors: Annotated[tuple[str, ...], NoDecode] = Field(
        ("actors.memory", "actors.revenue", "actors.sessions"),
        description="Actor modules to load, comma separated; installed, or in the current folder.",
    )
    worker_processes: int = Field(2, ge=1, le=256, description="Worker processes of one `callboard worker`.")
    worker_threads: int = Field(8, ge=1, le=256, description="Threads of one worker process.")
    worker_max_jobs: int = Field(0, ge=0, description="Jobs after which a worker process is renewed; 0: never.")
    worker_max_memory_mb: int = Field(
        0, ge=0, description="Resident memory (10^6 bytes) above which a worker process is renewed; 0: never."
    )
    time_limit_grace_seconds: float = Field(
        5.0, gt=0, description="A job that outlives its time limit by so long is ended by killing its process."
    )
    lanes: Annotated[tuple[LaneSetting, ...], NoDecode] = Field(
        (), description="Threads of their own for some queues: `slow=2:reports,exports;mail=4:mail`."
    )
    queues: Annotated[tuple[str, ...], NoDecode] = Field((), description="Queues to work on; empty: all of them.")
    heartbeat_seconds: float = Field(2.0, gt=0, description="How often a worker renews its lease.")
    lease_seconds: float = Field(10.0, gt=0, description="A worker silent for so long is dead; its runs go elsewhere.")
    pending_lease_seconds: float = Field(3600.0, gt=0, description="A pending run holds its claim for so long.")
    max_crashes: int = Field(3, ge=1, description="Unfinished starts after which a message is poison.")
    unknown_job_grace_seconds: float = Field(
        600.0,
        ge=0,
        description="A message whose job the worker does not know waits so long for one that does; 0: no time.",
    )
    shutdown_grace_seconds: float = Field(6.0, gt=0, description="What a stopping worker gives its running jobs.")
    leader_poll_seconds: float = Field(2.0, gt=0, description="How often a standby scheduler tries to lead.")
    recovery_seconds: float = Field(5.0, gt=0, description="Pause between two passes of a recovery loop.")
    retention_days: int = Field(90, ge=1, description="Age at which whole months of runs are dropped.")
    audit_retention_days: int = Field(365, ge=1, description="Age at which rows of the audit log are deleted.")
    trend_retention_days: int = Field(31, ge=1, description="Age at which the minutes of the charts are deleted.")
    issue_quiet_days: int = Field(
        14, ge=0, description="An issue of failures that have not come back for so long is resolved; 0: never."
    )
    health_seconds: float = Field(
        15.0, ge=0, description="How often the scheduler checks queues, jobs and what is outside; 0: never."
    )
    health_retries_warning: int = Field(50, ge=0, description="With more runs waiting for a retry, an issue is opened.")
    health_retries_critical: int = Field(200, ge=0, description="With more than these it is a critical one.")
    health_errors_per_hour_warning: int = Field(
        10, ge=0, description="With more failures of one class of error in an hour, an issue is opened."
    )
    health_errors_per_hour_critical: int = Field(50, ge=0, description="With more than these it is a critical one.")
    health_authentication_per_hour: int = Field(
        5, ge=0, description="With more refused credentials in an hour, an issue is opened."
    )
    health_account_authentication_warning: int = Field(3, ge=0, description="The same for those of one scope.")
    health_account_authentication_critical: int = Field(
        10, ge=0, description="With more than these of one scope it is a critical one."
    )
    failure_retry_seconds: float = Field(
        0.0, ge=0, description="How often the scheduler retries failures that may have passed; 0: never."
    )
    failure_retry_limit: int = Field(20, ge=1, le=200, description="Retries of one such sweep at most.")
    failure_retry_attempts: int = Field(3, ge=1, le=10, description="Retries of one failure at most.")
    failure_retry_cooldown_seconds: float = Field(
        600.0, ge=60, le=7200, description="Pause between two retries of one failure."
    )
    exporter_host: str = Field("127.0.0.1", description="Address of the exporter; loopback unless told otherwise.")
    exporter_port: int = Field(9191, ge=0, le=65535, description="Port of the exporter; 0: any free one.")
    metrics_host: str = Field("127.0.0.1", description="Address of the metrics of workers and scheduler.")
    worker_metrics_port: int = Field(9192, ge=0, le=65535, description="Port of `callboard worker`; 0: any free one.")
    scheduler_metrics_port: int = Field(
        9193, ge=0, le=65535, description="Port of `callboard scheduler`; 0: any free one."
    )
    metrics: bool = Field(default=True, description="Count attempts and times, and serve them.")
    metrics_most_actors: int = Field(
        500, ge=1, description="Jobs with series of their own; those beyond are counted under `_other`."
    )
    revision: str = Field("", description="Revision of the code that is deployed; shown with the metrics.")
    workers_expected: int = Field(0, ge=0, description="Worker processes that there should be; 0: not said.")
    queue_max_age_seconds: float = Field(300.0, gt=0, description="A queue's promise: no message waits for longer.")
    queue_promises: Annotated[dict[str, float], NoDecode] = Field(
        {}, description="Promises of single queues, in seconds: `mail=60,reports=3600`."
    )
    canary_seconds: float = Field(60.0, ge=0, description="How often each queue's canary job is sent; 0: never.")
    console_host: str = Field("127.0.0.1", description="Address of the console and its API; loopback unless told.")
    console_port: int = Field(9190, ge=0, le=65535, description="Port of the console and its API; 0: any free one.")
    console_url: str = Field("", description="What people call the console from outside, for links in mails.")
    console_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Further names that the console answers to, comma separated; requests for others are refused."
    )
    console_token: SecretStr | None = Field(
        None, description="Secret of a link that signs in once; unset: `callboard up` makes one."
    )
    console_tls_cert: Path | None = Field(None, description="Certificate of the console, PEM; with its key: HTTPS.")
    console_tls_key: Path | None = Field(None, description="Key of that certificate, PEM.")
    console_allow_plain: bool = Field(
        default=False, description="Serve beyond loopback without TLS, as behind a proxy that has it."
    )
    console_session_hours: float = Field(12.0, gt=0, description="A sign-in ends after so long without use.")
    system_jobs_alert_email: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=AliasChoices("SYSTEM_JOBS_ALERT_EMAIL", f"{PREFIX}SYSTEM_JOBS_ALERT_EMAIL"),
        description="Mail addresses told of runs of the system's jobs; also read as `SYSTEM_JOBS_ALERT_EMAIL`.",
    )
    system_jobs_alert_on: Literal["all", "problems"] = Field(
        "all", description="What they are told: every end of a run, or only those that failed or were cancelled."
    )
    system_jobs_alert_least_interval_seconds: float = Field(
        3600.0,
        ge=0,
        description="Of a schedule that fires more often, no completion is told, and one problem in so long.",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (),
        description="Keys of 32 bytes in base64 that seal messages in the ledger and jobs' secrets; the first seals.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Where mail goes out: `smtp://user:password@host:587?tls=starttls`, or `smtps://` with port 465; "
        "`tls=none` only where nobody listens; `ca=` names a file of certificates to trust.",
    )
    mail_from: str = Field(
        "", description="Sender of mails; unset: the mail server's user if that is an address, else callboard@host."
    )
    notify_channels: Annotated[dict[str, SecretStr], NoDecode] = Field(
        {},
        description="More channels for the news of system jobs: `ops=tgram://TOKEN/CHAT;hook=https://host#whsec_KEY`, "
        "or what else Apprise can do.",
    )
    notify_channel_events: Literal["all", "problems"] = Field(
        "problems", description="What these channels are told: every end of a run, or only problems."
    )
    notify_allow_private: bool = Field(
        default=False, description="Let webhooks call private and loopback addresses, and plain HTTP."
    )
    notify_telegram_url: str = Field("https://api.telegram.org", description="Where the bots of Telegram are asked.")
    trace_url: str = Field(
        "", description="Where a trace is shown, with `{trace_id}` in it: `https://tempo.example.org/trace/{trace_id}`."
    )
    log_lines_per_attempt: int = Field(
        100, ge=0, le=1000, description="Lines of its own that the ledger keeps of an attempt; 0: none."
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="`auto`: text on a terminal, else JSON.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_correlation: bool = Field(default=False, description="Append the correlation id to text lines too.")

    @field_validator("actors", "queues", "system_jobs_alert_email", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("secret_keys", mode="before")
    @classmethod
    def _check_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = tuple(part.strip() for part in value.split(",") if part.strip())
        for number, key in enumerate(keys, 1):
            if not _is_key(key):
                raise ValueError(f"key {number} is not 32 bytes in base64; `openssl rand -base64 32` makes one.")
        return tuple(SecretStr(key) for key in keys)

    @field_validator("lanes", mode="before")
    @classmethod
    def _parse_lanes(cls, value: object) -> object:
        return tuple(_lane(part) for part in value.split(";") if part.strip()) if isinstance(value, str) else value

    @field_validator("queue_promises", mode="before")
    @classmethod
    def _parse_promises(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        return {queue.strip(): _promise(queue.strip(), seconds) for queue, _, seconds in pairs}

    @field_validator("notify_channels", mode="before")
    @classmethod
    def _parse_channels(cls, value: object) -> object:
        return parse_channels(value) if isinstance(value, str) else value

    @field_validator("smtp_url")
    @classmethod
    def _is_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            MailServer.parse(value.get_secret_value())
        return value

    @field_validator("system_jobs_alert_email")
    @classmethod
    def _are_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((address for address in value if "@" not in address), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is no mail address; write ops@example.org, and ',' between two.")
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("lease_seconds")
    @classmethod
    def _lease_outlives_heartbeat(cls, value: float, info: object) -> float:
        heartbeat = getattr(info, "data", {}).get("heartbeat_seconds", 0)
        if value < 3 * heartbeat:
            raise ValueError(
                f"lease_seconds={value} must be at least three times heartbeat_seconds={heartbeat}: "
                "one late heartbeat must not make a live worker look dead. Raise CALLBOARD_LEASE_SECONDS."
            )
        return value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read from the environment at the first call.

    Raises:
        pydantic.ValidationError: A value is out of range; it names the field and the value.
    """
    return Settings()
