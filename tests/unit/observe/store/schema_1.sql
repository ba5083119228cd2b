BEGIN TRANSACTION;
CREATE TABLE attempts (
    run_id TEXT NOT NULL, call_number INTEGER NOT NULL, number INTEGER NOT NULL, model TEXT NOT NULL, provider TEXT,
    status TEXT NOT NULL, start_s REAL NOT NULL, duration_s REAL NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, total_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL, cost_usd REAL, error TEXT, more TEXT NOT NULL,
    PRIMARY KEY (run_id, call_number, number)
);
INSERT INTO "attempts" VALUES('r1',0,0,'openai/gpt-4o','openai','ok',0.0,1.0,10,5,15,0,0,0.25,NULL,'{}');
INSERT INTO "attempts" VALUES('r2',0,0,'openai/gpt-4o','openai','ok',0.0,1.0,10,5,15,0,0,0.5,NULL,'{}');
CREATE TABLE calls (
    run_id TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, parent_id TEXT, stage TEXT NOT NULL,
    role TEXT NOT NULL, name TEXT NOT NULL, model TEXT NOT NULL, provider TEXT, status TEXT NOT NULL,
    start_s REAL NOT NULL, duration_s REAL NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
    total_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL, cost_usd REAL,
    error TEXT, content TEXT, more TEXT NOT NULL, PRIMARY KEY (run_id, number)
);
INSERT INTO "calls" VALUES('r1',0,'call-1',NULL,'propose','proposer','openai/gpt-4o','openai/gpt-4o','openai','ok',0.0,1.0,10,5,15,0,0,0.25,NULL,NULL,'{}');
INSERT INTO "calls" VALUES('r2',0,'call-1',NULL,'propose','proposer','openai/gpt-4o','openai/gpt-4o','openai','ok',0.0,1.0,10,5,15,0,0,0.5,NULL,NULL,'{}');
CREATE TABLE runs (
    id TEXT PRIMARY KEY, writer_id TEXT NOT NULL, status TEXT NOT NULL, strategy TEXT NOT NULL, model TEXT NOT NULL,
    profile TEXT, started_us INTEGER NOT NULL, duration_s REAL, streamed INTEGER NOT NULL, error TEXT,
    prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
    total_tokens INTEGER NOT NULL DEFAULT 0, cached_tokens INTEGER NOT NULL DEFAULT 0,
    reasoning_tokens INTEGER NOT NULL DEFAULT 0, cost_usd REAL, known_cost_usd REAL NOT NULL DEFAULT 0,
    calls INTEGER NOT NULL DEFAULT 0, failed_calls INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    user TEXT, workflow TEXT, step TEXT, task_type TEXT, session TEXT, project TEXT, tags TEXT NOT NULL DEFAULT '[]',
    key TEXT, trace_id TEXT, question TEXT, privacy TEXT NOT NULL, more TEXT NOT NULL DEFAULT '{}'
);
INSERT INTO "runs" VALUES('r1','w','ok','moa','composite/profile/wise','wise',1793577600000000,2.0,0,NULL,10,5,15,0,0,0.25,0.25,1,0,1,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL,'metadata','{}');
INSERT INTO "runs" VALUES('r2','w','ok','moa','composite/profile/wise','wise',1793577600000001,2.0,0,NULL,10,5,15,0,0,0.5,0.5,1,0,1,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL,'metadata','{}');
INSERT INTO "runs" VALUES('r3','gone','running','moa','composite/moa/x',NULL,1793577600000005,NULL,0,NULL,0,0,0,0,0,0.0,0.0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,'[]',NULL,NULL,NULL,'metadata','{}');
CREATE TABLE writers (
    id TEXT PRIMARY KEY, host TEXT NOT NULL, pid INTEGER NOT NULL, process_started TEXT, heartbeat_us INTEGER NOT NULL
);
INSERT INTO "writers" VALUES('gone','elsewhere',1,NULL,0);
CREATE INDEX runs_by_start ON runs (started_us);
CREATE INDEX runs_by_profile ON runs (profile, started_us);
CREATE INDEX runs_by_session ON runs (session, started_us);
CREATE INDEX runs_under_way ON runs (writer_id) WHERE status = 'running';
COMMIT;
PRAGMA user_version = 1;
