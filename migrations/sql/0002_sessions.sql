-- The sessions catalogue: what was collected, and how far each file was read.
create schema sessions;

CREATE TABLE sessions.projects (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    path TEXT NOT NULL,
    name TEXT NOT NULL,
    source TEXT NOT NULL,
    encoded_dir_name TEXT,
    repo_url TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT projects_pkey PRIMARY KEY (id),
    CONSTRAINT projects_path_key UNIQUE (path)
);
CREATE TABLE sessions.sessions (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    session_id TEXT NOT NULL,
    project_id BIGINT NOT NULL,
    source TEXT NOT NULL,
    session_type TEXT DEFAULT 'main' NOT NULL,
    channel TEXT,
    cwd TEXT,
    model TEXT,
    message_count INTEGER DEFAULT 0 NOT NULL,
    last_message_at TIMESTAMP WITH TIME ZONE,
    meta JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (id),
    CONSTRAINT sessions_session_type_check CHECK (session_type IN ('main', 'subagent')),
    CONSTRAINT sessions_session_id_key UNIQUE (session_id),
    CONSTRAINT sessions_project_id_fkey FOREIGN KEY(project_id) REFERENCES sessions.projects (id)
);
CREATE INDEX sessions_project_id_idx ON sessions.sessions (project_id);
CREATE TABLE sessions.messages (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    uuid UUID NOT NULL,
    session_id BIGINT NOT NULL,
    sequence INTEGER NOT NULL,
    vector_indexed SMALLINT DEFAULT 0 NOT NULL,
    timestamp TIMESTAMP WITH TIME ZONE,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    model TEXT,
    tool_name TEXT,
    tool_call_id TEXT,
    content_text TEXT NOT NULL,
    content_full TEXT NOT NULL,
    raw TEXT,
    CONSTRAINT messages_pkey PRIMARY KEY (id),
    CONSTRAINT messages_session_id_sequence_key UNIQUE (session_id, sequence),
    CONSTRAINT messages_type_check CHECK (type IN ('user', 'assistant', 'tool', 'system')),
    CONSTRAINT messages_vector_indexed_check CHECK (vector_indexed IN (-1, 0, 1)),
    CONSTRAINT messages_uuid_key UNIQUE (uuid),
    CONSTRAINT messages_session_id_fkey FOREIGN KEY(session_id) REFERENCES sessions.sessions (id)
);
CREATE INDEX messages_pending_idx ON sessions.messages (id) WHERE vector_indexed = 0 AND type = 'assistant';
CREATE TABLE sessions.session_relations (
    parent_session_id TEXT NOT NULL,
    child_session_id TEXT NOT NULL,
    relation TEXT DEFAULT 'subagent' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT session_relations_pkey PRIMARY KEY (parent_session_id, child_session_id)
);
CREATE TABLE sessions.continuation_chains (
    session_id TEXT NOT NULL,
    continued_from TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT continuation_chains_pkey PRIMARY KEY (session_id, continued_from)
);
CREATE TABLE sessions.files (
    path TEXT NOT NULL,
    source TEXT NOT NULL,
    inode BIGINT NOT NULL,
    size BIGINT NOT NULL,
    mtime_ns BIGINT NOT NULL,
    byte_offset BIGINT NOT NULL,
    anchor TEXT DEFAULT '' NOT NULL,
    skipping BOOLEAN DEFAULT false NOT NULL,
    parser_state TEXT DEFAULT '' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT files_pkey PRIMARY KEY (path)
);
