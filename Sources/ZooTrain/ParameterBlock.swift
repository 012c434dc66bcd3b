import ZooBase
import ZooNN
import ZooTensor

/// All floating-point tensors of a trial in one aligned block: parameters, running statistics and the optimiser's
/// moments. Used by one thread at a time.
package final class ParameterBlock {
    /// A tensor's place in the block.
    struct Slot {
        var info: TensorInfo
        var start: Int
        var count: Int { info.shape.elementCount }
    }

    private(set) var slots: [String: Slot] = [:]
    /// Names in the order of the checkpoint; counters are among them and not in the block.
    let infos: [TensorInfo]
    private let names: [String]
    private let momentNames: [String]
    private let stride: Int
    private let total: Int
    private let memory: UnsafeMutablePointer<Float>
    /// What `num_batches_tracked` says.
    var batchesTracked: Int64 = 0
    /// Optimiser steps taken.
    var step = 0

    /// A block of zeros.
    init(_ tensors: [TensorInfo], momentNames: [String]) {
        infos = tensors
        self.momentNames = momentNames
        var next = 0
        for info in tensors where info.dtype.isFloatingPoint {
            slots[info.name] = Slot(info: info, start: next)
            next += (info.shape.elementCount + 15) / 16 * 16
        }
        names = tensors.filter { $0.dtype.isFloatingPoint }.map(\.name)
        stride = next
        total = max(next * (1 + momentNames.count), 1)
        memory = UnsafeMutableRawPointer.allocate(byteCount: total * 4, alignment: 64)
            .bindMemory(to: Float.self, capacity: total)
        memory.initialize(repeating: 0, count: total)
    }

    deinit { memory.deallocate() }

    func pointer(_ slot: Slot) -> UnsafeMutablePointer<Float> { memory + slot.start }

    func moments(_ slot: Slot) -> [UnsafeMutablePointer<Float>] {
        momentNames.indices.map { memory + (1 + $0) * stride + slot.start }
    }

    func pointer(_ name: String) throws -> UnsafeMutablePointer<Float> {
        guard let slot = slots[name] else { throw ZooError(.internal, "no parameter '\(name)'") }
        return pointer(slot)
    }

    /// Fills a tensor.
    func set(_ name: String, _ values: [Float]) throws {
        guard let slot = slots[name], slot.count == values.count else {
            throw ZooError(.mismatch, "tensor '\(name)' has another size than the architecture expects")
        }
        pointer(slot).update(from: values, count: values.count)
    }

    /// The first tensor with a NaN or an infinity in it, moments left out; nil when all are finite.
    var nonFiniteName: String? {
        names.first { name in
            guard let slot = slots[name] else { return false }
            let values = UnsafeBufferPointer<Float>(start: memory + slot.start, count: slot.count)
            return values.contains { !$0.isFinite }
        }
    }

    /// Everything as it is now.
    func snapshot() -> BlockSnapshot {
        BlockSnapshot(
            values: Array(UnsafeBufferPointer(start: memory, count: total)), batchesTracked: batchesTracked, step: step)
    }

    /// Puts back what `snapshot` took.
    func restore(_ snapshot: BlockSnapshot) {
        memory.update(from: snapshot.values, count: total)
        batchesTracked = snapshot.batchesTracked
        step = snapshot.step
    }

    /// The network as a checkpoint has it.
    package func stateDict() -> StateDict {
        var state = StateDict()
        for info in infos {
            if let slot = slots[info.name] {
                state[info.name] = tensor(memory + slot.start, info.shape)
            } else {
                let count = info.shape.elementCount
                state[info.name] = Tensor([Int64](repeating: batchesTracked, count: count), shape: info.shape)
            }
        }
        return state
    }

    /// Weights and moments, for a state file: moments as `moment.parameter`.
    func fullState() -> StateDict {
        var state = stateDict()
        for (index, moment) in momentNames.enumerated() {
            for name in names {
                guard let slot = slots[name] else { continue }
                state["\(moment)/\(name)"] = tensor(memory + (1 + index) * stride + slot.start, slot.info.shape)
            }
        }
        return state
    }

    /// Reads what `fullState` gave.
    func load(full source: any TensorSource) throws {
        for name in names { try set(name, source.tensor(named: name).floats()) }
        for (index, moment) in momentNames.enumerated() {
            for name in names {
                guard let slot = slots[name] else { continue }
                let values = try source.tensor(named: "\(moment)/\(name)").floats()
                guard values.count == slot.count else {
                    throw ZooError(.mismatch, "'\(moment)/\(name)' has another size")
                }
                (memory + (1 + index) * stride + slot.start).update(from: values, count: values.count)
            }
        }
    }

    private func tensor(_ start: UnsafeMutablePointer<Float>, _ shape: Shape) -> Tensor {
        Tensor(Array(UnsafeBufferPointer(start: start, count: shape.elementCount)), shape: shape)
    }
}

/// A copy of a block.
struct BlockSnapshot {
    var values: [Float]
    var batchesTracked: Int64
    var step: Int
}
