"""Around a tool executor: who may call what, for how long, and a record of it; and MCP servers as executors."""
