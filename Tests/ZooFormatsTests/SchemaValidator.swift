import ZooBase

/// The part of JSON Schema 2020-12 that `manifests/schema.json` uses; any other keyword is reported as a problem.
struct SchemaValidator {
    private let root: JSONValue

    init(_ bytes: Bytes) throws { root = try JSONParser.parse(bytes) }

    func definition(_ name: String) -> JSONValue? { root["$defs"]?[name] }

    /// What is wrong with a value; empty when it is valid.
    func problems(_ value: JSONValue, definition name: String) -> [String] {
        guard let schema = definition(name) else { return ["no definition \(name)"] }
        return check(value, schema, "$")
    }

    private func check(_ value: JSONValue, _ schema: JSONValue, _ path: String) -> [String] {
        if let isAllowed = schema.bool { return isAllowed ? [] : ["\(path): not allowed"] }
        guard let members = schema.object else { return ["\(path): the schema is no object"] }
        return members.members.flatMap { keyword($0.key, $0.value, members, value, path) }
    }

    private func keyword(
        _ key: String, _ rule: JSONValue, _ schema: JSONObject, _ value: JSONValue, _ path: String
    ) -> [String] {
        func expect(_ condition: Bool) -> [String] { condition ? [] : ["\(path): \(key) \(rule.text())"] }
        switch key {
        case "description", "then", "else": return []
        case "$ref":
            let name = rule.string.map { String($0.dropFirst("#/$defs/".count)) } ?? ""
            return definition(name).map { check(value, $0, path) } ?? ["\(path): no \(name)"]
        case "type": return expect((rule.array ?? [rule]).contains { isType(value, $0.string ?? "") })
        case "enum": return expect(rule.array?.contains(value) == true)
        case "const": return expect(value == rule)
        case "pattern":
            guard let text = value.string, let regex = try? Regex(rule.string ?? "") else { return [] }
            return expect(text.contains(regex))
        case "minLength": return expect((value.string?.unicodeScalars.count ?? .max) >= rule.int ?? 0)
        case "minimum": return expect((value.double ?? .infinity) >= rule.double ?? 0)
        case "minItems": return expect((value.array?.count ?? .max) >= rule.int ?? 0)
        case "minProperties": return expect((value.object?.count ?? .max) >= rule.int ?? 0)
        case "required":
            return expect((rule.array ?? []).allSatisfy { value.object?.contains($0.string ?? "") ?? true })
        case "anyOf": return expect((rule.array ?? []).contains { check(value, $0, path).isEmpty })
        case "items": return (value.array ?? []).enumerated().flatMap { check($1, rule, "\(path)[\($0)]") }
        case "if":
            return (schema[check(value, rule, path).isEmpty ? "then" : "else"]).map { check(value, $0, path) } ?? []
        case "properties":
            return (rule.object?.members ?? []).flatMap { name, inner in
                value[name].map { check($0, inner, "\(path).\(name)") } ?? []
            }
        case "additionalProperties":
            let others = (value.object?.members ?? []).filter { schema["properties"]?.object?.contains($0.key) != true }
            return others.flatMap { check($0.value, rule, "\(path).\($0.key)") }
        default: return ["\(path): keyword \(key) is not implemented"]
        }
    }

    private func isType(_ value: JSONValue, _ name: String) -> Bool {
        switch (name, value) {
        case ("object", .object), ("array", .array), ("string", .string), ("boolean", .bool), ("null", .null): true
        case ("number", .int), ("number", .double), ("integer", .int): true
        default: false
        }
    }
}
