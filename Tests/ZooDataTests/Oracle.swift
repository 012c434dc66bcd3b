import Testing
import ZooBase
import ZooTestSupport

/// What `make_fixtures.py` wrote and what readers must find in it.
enum Oracle {
    static let folder = Repository.path("Tests/ZooDataTests/Fixtures")

    static func path(_ name: String) -> String { "\(folder)/\(name)" }

    static func bytes(_ name: String) throws -> Bytes { try Bytes(mapping: path(name)) }

    static let values: Result<JSONValue, any Error> = Result {
        try JSONParser.parse(Bytes(mapping: path("oracle.json")))
    }

    /// The splits of a fixture: name and expectations.
    static func splits(_ name: String) throws -> [(key: String, value: JSONValue)] {
        try #require(try values.get()[name]?.object?.members)
    }
}

/// The message of an error that must be thrown, on one line.
func failure(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch {
        return (error as? ZooError)?.description ?? "not a ZooError: \(error)"
    }
}
