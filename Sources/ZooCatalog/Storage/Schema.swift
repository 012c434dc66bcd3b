import GRDB

/// The tables of a catalog, as migrations that are only ever added to.
///
/// The file is meant to be read without this program: `sqlite3 catalog.sqlite 'SELECT * FROM checkpoints LIMIT 5'`.
/// Two deliberate repetitions buy speed: a `checkpoint` carries the results of its epoch, so that searching 2.6 million
/// rows never joins, and `model_summary` holds the extremes over each model's checkpoints, by which most models are
/// skipped unread. Both are derived from `result` and written by the same transaction.
package enum Schema {
    /// Marks the file as a catalog (`PRAGMA application_id`): "Zooc".
    package static let applicationID: Int32 = 0x5A6F_6F63

    /// The migrations in order.
    package static let migrations: [(name: String, sql: String)] = [
        ("v1", [tables, summaryIndexes, indexes, views].joined()),
        // What a run's values depend on, so that they are not computed again; why a value is missing or doubtful.
        (
            "v2",
            "ALTER TABLE run ADD COLUMN settings TEXT; ALTER TABLE metric ADD COLUMN note TEXT;"
        ),
    ]

    /// A migrator for GRDB.
    package static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        for migration in migrations {
            migrator.registerMigration(migration.name) { try $0.execute(sql: migration.sql) }
        }
        return migrator
    }

    private static let tables = """
        CREATE TABLE source (
            id INTEGER PRIMARY KEY,
            path TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL,                -- zip, tar, tar.gz, 7z, folder, file
            byte_count INTEGER,
            modified INTEGER,                  -- nanoseconds since 1970
            digest TEXT,
            manifest TEXT,
            state TEXT NOT NULL CHECK (state IN ('indexing', 'indexed', 'failed')),
            generation INTEGER NOT NULL DEFAULT 1,  -- grows when the file has changed since it was indexed
            message TEXT,
            started TEXT,
            finished TEXT
        );
        CREATE TABLE skipped_member (
            source_id INTEGER NOT NULL REFERENCES source(id) ON DELETE CASCADE,
            path TEXT NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (source_id, path)
        ) WITHOUT ROWID;
        CREATE TABLE deferred_index (          -- indexes to be built when a large load ends
            name TEXT PRIMARY KEY,
            sql TEXT NOT NULL
        ) WITHOUT ROWID;
        CREATE TABLE zoo (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            architecture TEXT,
            dataset TEXT,
            licence TEXT,
            citation TEXT
        );
        CREATE TABLE model (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            zoo_id INTEGER NOT NULL REFERENCES zoo(id),
            source_id INTEGER NOT NULL REFERENCES source(id) ON DELETE CASCADE,
            generation INTEGER NOT NULL,
            name TEXT NOT NULL,
            path TEXT NOT NULL,                -- the model's folder inside the source
            architecture TEXT,
            incomplete INTEGER NOT NULL DEFAULT 0,
            failed INTEGER NOT NULL DEFAULT 0,
            diverged INTEGER NOT NULL DEFAULT 0,
            duplicate INTEGER NOT NULL DEFAULT 0,
            no_result INTEGER NOT NULL DEFAULT 0,
            no_checkpoint INTEGER NOT NULL DEFAULT 0,
            config TEXT,                       -- JSON, as the source has it
            bookkeeping TEXT,                  -- JSON: trial id, date, host
            UNIQUE (source_id, path, name)
        );
        CREATE TABLE layout (
            id INTEGER PRIMARY KEY,
            signature TEXT NOT NULL UNIQUE,    -- digest over names, dtypes, shapes, offsets
            structure TEXT NOT NULL,           -- digest over the shapes in order
            tensor_count INTEGER NOT NULL,
            parameter_count INTEGER NOT NULL,
            byte_count INTEGER NOT NULL
        );
        CREATE TABLE layout_tensor (
            layout_id INTEGER NOT NULL REFERENCES layout(id) ON DELETE CASCADE,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            dtype TEXT NOT NULL,
            shape TEXT NOT NULL,               -- JSON list
            offset INTEGER,                    -- in the checkpoint's bytes; NULL when not one row-major run
            PRIMARY KEY (layout_id, position)
        ) WITHOUT ROWID;
        -- nan_mask: bit 0 train_loss, 1 train_accuracy, 2 val_loss, 3 val_accuracy, 4 test_loss, 5 test_accuracy,
        -- 6 wall_seconds is NaN in the source; NULL without its bit is missing.
        CREATE TABLE checkpoint (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            model_id INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
            epoch INTEGER,
            source_id INTEGER NOT NULL REFERENCES source(id) ON DELETE CASCADE,
            layout_id INTEGER REFERENCES layout(id),
            health TEXT,                       -- ok, nan, infinite, unreadable; NULL: not checked
            train_loss REAL, train_accuracy REAL, val_loss REAL, val_accuracy REAL,
            test_loss REAL, test_accuracy REAL, wall_seconds REAL,
            nan_mask INTEGER NOT NULL DEFAULT 0,
            is_last INTEGER NOT NULL DEFAULT 0,
            is_best INTEGER NOT NULL DEFAULT 0,
            path TEXT NOT NULL,                -- relative to the model's folder
            offset INTEGER,                    -- of the first stored byte in the source; NULL: not addressable
            stored_bytes INTEGER,
            encoding TEXT NOT NULL CHECK (encoding IN ('stored', 'deflate', 'none')),
            byte_count INTEGER NOT NULL,       -- unpacked
            format TEXT NOT NULL,
            digest TEXT                        -- first 16 bytes of SHA-256, hexadecimal
        );
        CREATE TABLE result (
            model_id INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
            epoch INTEGER NOT NULL,
            train_loss REAL, train_accuracy REAL, val_loss REAL, val_accuracy REAL,
            test_loss REAL, test_accuracy REAL, wall_seconds REAL,
            nan_mask INTEGER NOT NULL DEFAULT 0,
            PRIMARY KEY (model_id, epoch)
        ) WITHOUT ROWID;
        CREATE TABLE result_key (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE result_value (            -- numbers beyond the named columns; value NULL: NaN
            model_id INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
            epoch INTEGER NOT NULL,
            key_id INTEGER NOT NULL REFERENCES result_key(id),
            value REAL,
            PRIMARY KEY (model_id, epoch, key_id)
        ) WITHOUT ROWID;
        CREATE TABLE model_summary (           -- over the checkpoints of a model; last_… are of its last result
            model_id INTEGER PRIMARY KEY REFERENCES model(id) ON DELETE CASCADE,
            checkpoint_count INTEGER NOT NULL,
            result_count INTEGER NOT NULL,
            first_epoch INTEGER, last_epoch INTEGER, best_epoch INTEGER,
            last_checkpoint_id INTEGER, best_checkpoint_id INTEGER,
            layout_id INTEGER, parameter_count INTEGER,
            last_result_epoch INTEGER,
            train_loss REAL, train_accuracy REAL, val_loss REAL, val_accuracy REAL,
            test_loss REAL, test_accuracy REAL, wall_seconds REAL,
            nan_mask INTEGER NOT NULL DEFAULT 0,
            min_train_loss REAL, max_train_loss REAL, min_train_accuracy REAL, max_train_accuracy REAL,
            min_val_loss REAL, max_val_loss REAL, min_val_accuracy REAL, max_val_accuracy REAL,
            min_test_loss REAL, max_test_loss REAL, min_test_accuracy REAL, max_test_accuracy REAL,
            min_wall_seconds REAL, max_wall_seconds REAL, min_ggap REAL, max_ggap REAL
        );
        CREATE TABLE config_key (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,         -- optim::lr
            bare TEXT NOT NULL,                -- lr
            kinds INTEGER NOT NULL DEFAULT 0,  -- bits seen: 1 number, 2 text, 4 true/false, 8 null, 16 list
            is_ambiguous INTEGER NOT NULL DEFAULT 0  -- some model has two keys of this bare name
        );
        CREATE TABLE config_value (            -- true and false are 1 and 0; lists are JSON text
            key_id INTEGER NOT NULL REFERENCES config_key(id),
            model_id INTEGER NOT NULL REFERENCES model(id) ON DELETE CASCADE,
            value,
            PRIMARY KEY (key_id, model_id)
        ) WITHOUT ROWID;
        CREATE TABLE dataset (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE,
            path TEXT, digest TEXT,
            splits TEXT,                       -- JSON
            shapes TEXT                        -- JSON
        );
        CREATE TABLE run (
            id INTEGER PRIMARY KEY,
            command TEXT NOT NULL,
            seed INTEGER,
            dataset_id INTEGER REFERENCES dataset(id),
            tool_version TEXT NOT NULL,
            started TEXT NOT NULL,
            seconds REAL,
            machine TEXT
        );
        CREATE TABLE metric_name (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
        CREATE TABLE metric (
            id INTEGER PRIMARY KEY,
            name_id INTEGER NOT NULL REFERENCES metric_name(id),
            checkpoint_id INTEGER NOT NULL REFERENCES checkpoint(id) ON DELETE CASCADE,
            other_id INTEGER REFERENCES checkpoint(id) ON DELETE CASCADE,  -- the second of a pair
            value REAL,                        -- NULL: NaN
            error REAL,
            run_id INTEGER REFERENCES run(id)
        );
        CREATE TABLE lineage (
            child_id INTEGER NOT NULL REFERENCES checkpoint(id) ON DELETE CASCADE,
            parent_id INTEGER NOT NULL REFERENCES checkpoint(id) ON DELETE CASCADE,
            role TEXT NOT NULL,
            coefficient REAL,
            run_id INTEGER REFERENCES run(id),
            PRIMARY KEY (child_id, parent_id, role)
        ) WITHOUT ROWID;

        """

    /// Indexes over model_summary, one for each end of each range: small, and the reason why a sorted query reads few
    /// models.
    private static var summaryIndexes: String {
        let ranges = ZonedColumn.allCases.flatMap { [$0.lowest, $0.highest] }
        let last = EpochValues.columns + ["parameter_count"]
        return (ranges + last).map { "CREATE INDEX summary_\($0) ON model_summary(\($0));\n" }.joined()
    }

    private static let indexes = """
        CREATE INDEX model_name ON model(name);
        CREATE INDEX model_zoo ON model(zoo_id);
        CREATE INDEX model_architecture ON model(architecture);
        CREATE INDEX config_key_bare ON config_key(bare);
        CREATE INDEX config_by_value ON config_value(key_id, value, model_id);
        CREATE INDEX config_by_model ON config_value(model_id);
        -- All that is searched, model by model: the checkpoints of a model are filtered without their wide rows. Rows
        -- come in this order when they are indexed, so keeping it costs little.
        CREATE INDEX checkpoint_model ON checkpoint(model_id, epoch, train_loss, train_accuracy, val_loss,
            val_accuracy, test_loss, test_accuracy, wall_seconds, nan_mask);
        CREATE INDEX checkpoint_epoch ON checkpoint(epoch, test_accuracy, model_id);
        CREATE INDEX checkpoint_accuracy ON checkpoint(test_accuracy, model_id);
        CREATE INDEX checkpoint_last ON checkpoint(test_accuracy, model_id) WHERE is_last = 1;
        CREATE INDEX checkpoint_best ON checkpoint(test_accuracy, model_id) WHERE is_best = 1;
        CREATE INDEX checkpoint_unhealthy ON checkpoint(health) WHERE health <> 'ok';
        CREATE INDEX checkpoint_nan ON checkpoint(nan_mask) WHERE nan_mask <> 0;
        CREATE UNIQUE INDEX metric_of_checkpoint ON metric(checkpoint_id, name_id, ifnull(other_id, 0));
        CREATE INDEX metric_by_value ON metric(name_id, value, checkpoint_id);
        CREATE INDEX metric_other ON metric(other_id) WHERE other_id IS NOT NULL;
        CREATE INDEX lineage_parent ON lineage(parent_id);

        """

    private static let views = """
        CREATE VIEW models AS
            SELECT m.id, z.name AS zoo, m.name, m.architecture, z.dataset, s.checkpoint_count AS checkpoints,
                s.last_epoch, s.best_epoch, s.train_loss, s.train_accuracy, s.val_loss, s.val_accuracy,
                s.test_loss, s.test_accuracy, s.max_test_accuracy AS best_test_accuracy, s.wall_seconds,
                s.parameter_count AS parameters, m.incomplete, m.failed, m.diverged, m.duplicate, m.no_result,
                m.no_checkpoint, o.path AS source, m.path, m.config
            FROM model m JOIN zoo z ON z.id = m.zoo_id JOIN source o ON o.id = m.source_id
                JOIN model_summary s ON s.model_id = m.id;
        CREATE VIEW checkpoints AS
            SELECT c.id, z.name AS zoo, m.name AS model, m.architecture, c.epoch, c.train_loss, c.train_accuracy,
                c.val_loss, c.val_accuracy, c.test_loss, c.test_accuracy, c.wall_seconds, c.nan_mask, c.is_last,
                c.is_best, c.health, c.format, c.layout_id, l.parameter_count AS parameters, o.path AS source,
                CASE WHEN m.path = '' THEN c.path ELSE m.path || '/' || c.path END AS member, c.offset,
                c.stored_bytes, c.encoding, c.byte_count, c.digest, c.model_id
            FROM checkpoint c JOIN model m ON m.id = c.model_id JOIN zoo z ON z.id = m.zoo_id
                JOIN source o ON o.id = c.source_id LEFT JOIN layout l ON l.id = c.layout_id;
        CREATE VIEW results AS
            SELECT z.name AS zoo, m.name AS model, r.* FROM result r JOIN model m ON m.id = r.model_id
                JOIN zoo z ON z.id = m.zoo_id;
        CREATE VIEW config AS
            SELECT v.model_id, m.name AS model, k.name AS key, k.bare, v.value FROM config_value v
                JOIN config_key k ON k.id = v.key_id JOIN model m ON m.id = v.model_id;
        CREATE VIEW metrics AS
            SELECT x.id, n.name AS metric, x.value, x.error, x.checkpoint_id, m.name AS model, c.epoch, x.other_id,
                x.run_id FROM metric x JOIN metric_name n ON n.id = x.name_id
                JOIN checkpoint c ON c.id = x.checkpoint_id JOIN model m ON m.id = c.model_id;
        CREATE VIEW tensors AS
            SELECT t.*, l.parameter_count FROM layout_tensor t JOIN layout l ON l.id = t.layout_id;
        """
}
