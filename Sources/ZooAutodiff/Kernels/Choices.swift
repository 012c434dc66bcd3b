import ZooTensor

extension Kernels {
    static func argmax(_ axis: Int, _ site: Site) -> Kernel {
        let (outer, extent, inner) = site.operandShapes[0].split(axis)
        let (operand, output) = (site.operands[0], site.output)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<Int32> = buffers.output(output)
            for block in 0..<outer {
                for column in 0..<inner {
                    let x = x + block * extent * inner + column
                    var best = 0
                    for index in 1..<max(1, extent) where beats(x[index * inner], x[best * inner]) { best = index }
                    y[block * inner + column] = Int32(best)
                }
            }
        }
    }

    /// Whether a later element takes the place of an earlier one: larger, or the first NaN.
    @inline(__always)
    static func beats(_ later: S, _ earlier: S) -> Bool { later > earlier || (later.isNaN && !earlier.isNaN) }

    static func take(_ axis: Int, _ site: Site, adding: Bool) -> Kernel {
        let wide = (adding ? site.shape : site.operandShapes[0]).split(axis)
        let chosen = (adding ? site.operandShapes[0] : site.shape)[axis]
        let (operand, places, output) = (site.operands[0], site.operands[1], site.output)
        let (outer, extent, inner) = wide
        let count = site.shape.elementCount
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let index: UnsafePointer<Int32> = buffers.reals(places)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            if adding { y.update(repeating: 0, count: count) }
            var place = 0
            for block in 0..<outer {
                for _ in 0..<chosen {
                    for column in 0..<inner {
                        let there = (block * extent + Int(index[place])) * inner + column
                        if adding { y[there] += x[place] } else { y[place] = x[there] }
                        place += 1
                    }
                }
            }
        }
    }

    static func rows(_ site: Site, adding: Bool) -> Kernel {
        let table = adding ? site.shape : site.operandShapes[0]
        let width = table.dimensions.dropFirst().reduce(1, *)
        let count = site.operandShapes[1].elementCount
        let size = site.shape.elementCount
        let (operand, places, output) = (site.operands[0], site.operands[1], site.output)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let index: UnsafePointer<Int32> = buffers.reals(places)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            if adding { y.update(repeating: 0, count: size) }
            for row in 0..<count {
                let there = Int(index[row]) * width
                if adding {
                    for column in 0..<width { y[there + column] += x[row * width + column] }
                } else {
                    (y + row * width).update(from: x + there, count: width)
                }
            }
        }
    }

    static func agree(_ site: Site) -> Kernel {
        let (left, right, output, count) = (site.operands[0], site.operands[1], site.output, site.shape.elementCount)
        return { buffers, _ in
            let a: UnsafePointer<Int32> = buffers.reals(left)
            let b: UnsafePointer<Int32> = buffers.reals(right)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            for index in 0..<count { y[index] = a[index] == b[index] ? 1 : 0 }
        }
    }

    // MARK: Windows

    /// Calls `body` with the plane's start and the number of each output, for all planes, outputs and columns inside.
    @inline(__always)
    private static func forEachWindow(
        _ windows: Windows, _ plane: Shape,
        _ body: (_ start: Int, _ rows: Range<Int>, _ columns: Range<Int>, _ output: Int) -> Void
    ) {
        let outer = plane.dimensions[..<windows.axis].reduce(1, *)
        let inner = plane.dimensions[(windows.axis + 2)...].reduce(1, *)
        let size = plane[windows.axis] * plane[windows.axis + 1]
        var output = 0
        for block in 0..<outer {
            for rows in windows.rows {
                for columns in windows.columns {
                    for lane in 0..<inner {
                        body(block * size * inner + lane, rows, columns, output)
                        output += 1
                    }
                }
            }
        }
    }

    static func windowSum(_ windows: Windows, _ site: Site, spreading: Bool) -> Kernel {
        let plane = spreading ? site.shape : site.operandShapes[0]
        let width = plane[windows.axis + 1], inner = plane.dimensions[(windows.axis + 2)...].reduce(1, *)
        let (operand, output, count) = (site.operands[0], site.output, site.shape.elementCount)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            if spreading { y.update(repeating: 0, count: count) }
            forEachWindow(windows, plane) { start, rows, columns, place in
                var total: S = 0
                for row in rows {
                    for column in columns {
                        let there = start + (row * width + column) * inner
                        if spreading { y[there] += x[place] } else { total += x[there] }
                    }
                }
                if !spreading { y[place] = total }
            }
        }
    }

    static func windowArgmax(_ windows: Windows, _ site: Site) -> Kernel {
        let plane = site.operandShapes[0]
        let width = plane[windows.axis + 1], inner = plane.dimensions[(windows.axis + 2)...].reduce(1, *)
        let (operand, output) = (site.operands[0], site.output)
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let y: UnsafeMutablePointer<Int32> = buffers.output(output)
            forEachWindow(windows, plane) { start, rows, columns, place in
                var best = rows.lowerBound * width + columns.lowerBound
                for row in rows {
                    for column in columns
                    where beats(x[start + (row * width + column) * inner], x[start + best * inner]) {
                        best = row * width + column
                    }
                }
                y[place] = Int32(best)
            }
        }
    }

    static func windowTake(_ windows: Windows, _ site: Site, adding: Bool) -> Kernel {
        let plane = adding ? site.shape : site.operandShapes[0]
        let inner = plane.dimensions[(windows.axis + 2)...].reduce(1, *)
        let (operand, places, output, count) = (
            site.operands[0], site.operands[1], site.output, site.shape.elementCount
        )
        return { buffers, _ in
            let x: UnsafePointer<S> = buffers.reals(operand)
            let index: UnsafePointer<Int32> = buffers.reals(places)
            let y: UnsafeMutablePointer<S> = buffers.output(output)
            if adding { y.update(repeating: 0, count: count) }
            forEachWindow(windows, plane) { start, _, _, place in
                let there = start + Int(index[place]) * inner
                if adding { y[there] += x[place] } else { y[place] = x[there] }
            }
        }
    }
}
