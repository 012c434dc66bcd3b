#pragma once

/// Lets journals of savepoints grow to `bytes` in memory before they go to a temporary file. SQLite's own limit of
/// 64 kB makes a savepoint per model cost hundreds of small writes. Only before SQLite is first used in the process;
/// later calls change nothing and return a result code other than zero.
int zoo_sqlite_set_savepoint_memory(int bytes);
