import ZooBase

/// Rows of results as they come in: one value per epoch wins, preferred spellings win over others.
package struct ResultGatherer {
    /// The most epochs of one model.
    package static let maximumRowCount = 1_000_000
    /// The most problems told one by one.
    package static let maximumProblemCount = 100

    var keys: ResultKeys
    private(set) var rows: [ResultRow] = []
    private(set) var duplicateCount = 0
    private(set) var problems: [(line: Int, reason: String)] = []
    private(set) var problemCount = 0
    private(set) var isFull = false
    /// The epoch of the row that came last, which is not the largest after a restore from an earlier checkpoint.
    private(set) var lastEpoch: Int?

    private var row = ResultRow(epoch: 0)
    private var ranks = (columns: [UInt8](repeating: .max, count: ResultColumn.allCases.count), epoch: UInt8.max)
    /// Which extra keys ever held a number.
    private var isUsed: [Bool] = []
    /// Epoch to position, kept once epochs come out of order.
    private var positions: [Int: Int]?

    init(keys: ResultKeys) { self.keys = keys }

    /// The extra keys that held numbers.
    var extraNames: [String] { zip(keys.extraNames, isUsed).filter(\.1).map(\.0) }

    mutating func beginRow() {
        row = ResultRow(epoch: 0)
        ranks.epoch = .max
        for index in ranks.columns.indices { ranks.columns[index] = .max }
    }

    /// Takes a number. Rank 0, a manifest's spelling, never loses, so a loser's spelling is in the built-in lists;
    /// `key` is asked for only where the number may end among the extras.
    mutating func take(_ value: Double, as meaning: ResultKeyMeaning, key: @autoclosure () -> String) {
        switch meaning {
        case .column(let column, let rank):
            let slot = column.rawValue
            if rank < ranks.columns[slot] {
                if let loser = row[column] {
                    row.extras.append((column.spellings[Int(ranks.columns[slot]) - 1], loser))
                }
                ranks.columns[slot] = rank
                row[column] = value
            } else {
                row.extras.append((key(), value))
            }
        case .epoch(let rank):
            if rank < ranks.epoch, let epoch = Int(exactly: value), epoch >= 0 {
                if ranks.epoch != .max {
                    row.extras.append((ResultKeys.epochs[Int(ranks.epoch) - 1], Double(row.epoch)))
                }
                ranks.epoch = rank
                row.epoch = epoch
            } else {
                row.extras.append((key(), value))
            }
        case .wallSeconds: row.wallSeconds = value
        case .extra(let index):
            row.extras.append((keys.extraNames[index], value))
            while isUsed.count <= index { isUsed.append(false) }
            isUsed[index] = true
        case .bookkeeping, .config: break
        }
    }

    /// Ends the row begun last.
    ///
    /// - Returns: whether it was kept.
    @discardableResult
    mutating func endRow(line: Int) -> Bool {
        guard ranks.epoch != .max else {
            problem(line, "no training_iteration, epoch or step that is a whole number; line not read")
            return false
        }
        if let last = rows.last, positions == nil, row.epoch <= last.epoch {
            positions = Dictionary(uniqueKeysWithValues: rows.enumerated().map { ($0.element.epoch, $0.offset) })
        }
        if let known = positions?[row.epoch] {
            rows[known] = row
            duplicateCount += 1
        } else if rows.count >= Self.maximumRowCount {
            isFull = true
            problem(line, "more than \(Self.maximumRowCount) epochs; the rest is not read")
            return false
        } else {
            positions?[row.epoch] = rows.count
            rows.append(row)
        }
        lastEpoch = row.epoch
        return true
    }

    mutating func problem(_ line: Int, _ reason: String) {
        problemCount += 1
        if problems.count < Self.maximumProblemCount { problems.append((line, reason)) }
    }

    /// The rows in order of epochs; accuracies as fractions.
    ///
    /// - Parameter unit: what the zoo's manifest says; nil decides each column by its values: a finite one past 1.5
    ///   makes the whole column percent.
    /// - Returns: the rows and the columns that were divided by 100.
    func finish(unit: AccuracyUnit?) -> (rows: [ResultRow], percent: [ResultColumn]) {
        var sorted = rows
        if positions != nil { sorted.sort { $0.epoch < $1.epoch } }
        let percent = ResultColumn.allCases.filter { column in
            guard column.isAccuracy, unit != .fraction else { return false }
            return sorted.contains { row in
                guard let value = row[column] else { return false }
                return unit == .percent || value.isFinite && value > 1.5
            }
        }
        for column in percent {
            for index in sorted.indices { sorted[index][column] = sorted[index][column].map { $0 / 100 } }
        }
        return (sorted, percent)
    }
}

/// The unit of a zoo's accuracies.
public enum AccuracyUnit: String, Sendable, CaseIterable {
    /// 0 to 1.
    case fraction
    /// 0 to 100.
    case percent
}
