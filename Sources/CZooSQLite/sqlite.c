#include "CZooSQLite.h"

#include <sqlite3.h>

int zoo_sqlite_set_savepoint_memory(int bytes) { return sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, bytes); }
