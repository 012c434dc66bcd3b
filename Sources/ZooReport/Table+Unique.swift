extension [Table.Column] {
    /// The columns with repeated names told apart (`id`, `id_2`), as JSON objects and data frames need them.
    public var uniquelyNamed: [Table.Column] {
        var taken: Set<String> = []
        return map { column in
            var copy = column
            var number = 1
            while !taken.insert(copy.name).inserted {
                number += 1
                copy.name = "\(column.name)_\(number)"
            }
            return copy
        }
    }
}
