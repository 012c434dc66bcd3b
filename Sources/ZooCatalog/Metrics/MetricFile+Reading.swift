import ZooBase

extension MetricFile {
    /// Reads a file.
    ///
    /// - Throws: `corrupt` naming the line; `unsupported` for another version; `limit`.
    public init(reading path: String) throws {
        let bytes = try Bytes(mapping: path)
        zoo = ""
        var number = 0, hasHeader = false
        try bytes.withUnsafeBytes { raw in
            var start = 0
            while start < raw.count {
                var end = start
                while end < raw.count, raw[end] != 0x0A { end += 1 }
                number += 1
                if end > start {
                    let line = UnsafeRawBufferPointer(rebasing: raw[start..<end])
                    try ZooError.locate("\(path): line \(number)") {
                        if hasHeader { try read(line) } else { try readHeader(line) }
                    }
                    hasHeader = true
                }
                start = end + 1
                if number & 0xFFF == 0 { try Cancellation.check() }
            }
        }
        guard hasHeader else { throw ZooError(.corrupt, "\(path): empty; expected lines of metrics") }
    }

    private static func object(_ line: UnsafeRawBufferPointer) throws -> JSONObject {
        guard line.count <= maximumLineBytes else {
            throw ZooError(.limit, "\(line.count) bytes; a line of metrics has at most \(maximumLineBytes)")
        }
        guard let text = String(validating: line, as: UTF8.self) else { throw ZooError(.corrupt, "not UTF-8") }
        guard let object = try JSONParser.parse(text).object else {
            throw ZooError(.corrupt, "expected a JSON object")
        }
        return object
    }

    private mutating func readHeader(_ line: UnsafeRawBufferPointer) throws {
        let object = try Self.object(line)
        guard object["format"]?.string == "zoo-metrics" else {
            throw ZooError(.corrupt, "no metrics: expected {\"format\": \"zoo-metrics\", …}")
        }
        guard let version = object["version"]?.int, version == 1 else {
            throw ZooError(
                .unsupported, "version \(object["version"]?.text() ?? "missing"); this program reads version 1")
        }
        zoo = object["zoo"]?.string ?? ""
    }

    private mutating func read(_ line: UnsafeRawBufferPointer) throws {
        let object = try Self.object(line)
        if object.contains("metric") {
            try readValue(object)
        } else if object.contains("checkpoint") {
            try readCheckpoint(object)
        } else if object.contains("run") {
            try readRun(object)
        } else {
            throw ZooError(.corrupt, "expected 'metric', 'checkpoint' or 'run'")
        }
    }

    private func place(_ object: JSONObject, _ key: String, below count: Int) throws -> Int {
        guard let number = object[key]?.int, (1...max(1, count)).contains(number), count > 0 else {
            throw ZooError(
                .corrupt, "'\(key)' is \(object[key]?.text() ?? "missing"); \(count) of them come before this line")
        }
        return number - 1
    }

    private func text(_ object: JSONObject, _ key: String) throws -> String {
        guard let text = object[key]?.string, !text.isEmpty else { throw ZooError(.corrupt, "'\(key)' is no text") }
        return text
    }

    private mutating func readRun(_ object: JSONObject) throws {
        guard object["run"]?.int == runs.count + 1 else {
            throw ZooError(.corrupt, "run \(object["run"]?.text() ?? ""), expected \(runs.count + 1)")
        }
        runs.append(
            RunRecord(
                command: try text(object, "command"), seed: object["seed"]?.int, dataset: object["dataset"]?.string,
                toolVersion: object["tool_version"]?.string ?? "?", started: object["started"]?.string ?? "?",
                seconds: object["seconds"]?.double, machine: object["machine"]?.string,
                settings: object["settings"]?.string))
    }

    private mutating func readCheckpoint(_ object: JSONObject) throws {
        guard object["checkpoint"]?.int == checkpoints.count + 1 else {
            throw ZooError(
                .corrupt, "checkpoint \(object["checkpoint"]?.text() ?? ""), expected \(checkpoints.count + 1)")
        }
        checkpoints.append(
            Checkpoint(
                model: try text(object, "model"), path: object["path"]?.string ?? "", epoch: object["epoch"]?.int,
                digest: object["digest"]?.string))
    }

    private mutating func readValue(_ object: JSONObject) throws {
        guard values.count < Self.maximumValues else {
            throw ZooError(.limit, "more than \(Self.maximumValues) values")
        }
        let value = object["value"] ?? .null
        guard value == .null || value.double != nil else { throw ZooError(.corrupt, "'value' is no number") }
        values.append(
            Value(
                name: try text(object, "metric"), checkpoint: try place(object, "checkpoint", below: checkpoints.count),
                other: try object.contains("other") ? place(object, "other", below: checkpoints.count) : nil,
                value: value.double ?? .nan, error: object["error"]?.double,
                run: try object.contains("run") ? place(object, "run", below: runs.count) : nil,
                note: object["note"]?.string))
    }
}
