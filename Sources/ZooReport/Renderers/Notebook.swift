import ZooBase

/// A Jupyter notebook, nbformat 4.5: words, Python cells, and pictures as the output of cells that show them.
///
/// Equal notebooks give equal bytes: nothing in the file says when or where it was made.
public struct Notebook: Sendable, Hashable {
    /// One cell.
    public struct Cell: Sendable, Hashable {
        /// What a cell is.
        public enum Kind: Sendable, Hashable {
            /// Markdown.
            case words
            /// Python; `png` is the picture that running it shows.
            case python(png: [UInt8]?)
        }

        /// Unique in the notebook: letters, digits, `-` and `_`, at most 64.
        public var id: String
        /// What it is.
        public var kind: Kind
        /// Its text.
        public var source: String

        /// Creates a cell.
        public init(_ id: String, _ kind: Kind, _ source: String) {
            self.id = id
            self.kind = kind
            self.source = source
        }
    }

    /// The cells in order.
    public var cells: [Cell]

    /// Creates a notebook.
    public init(_ cells: [Cell] = []) { self.cells = cells }

    /// The `.ipynb` file's text.
    public var text: String {
        let document: JSONValue = [
            "cells": .array(cells.map(Self.json)),
            "metadata": [
                "kernelspec": ["display_name": "Python 3", "language": "python", "name": "python3"],
                "language_info": ["file_extension": ".py", "mimetype": "text/x-python", "name": "python"],
            ],
            "nbformat": 4, "nbformat_minor": 5,
        ]
        return document.text(indent: 1) + "\n"
    }

    /// nbformat keeps texts as lists of lines, ends included.
    private static func lines(_ text: String) -> JSONValue {
        let parts = text.split(separator: "\n", omittingEmptySubsequences: false)
        return .array(
            parts.enumerated().map { place, line in .string(place + 1 < parts.count ? line + "\n" : String(line)) }
                .filter { $0 != .string("") })
    }

    private static func json(_ cell: Cell) -> JSONValue {
        switch cell.kind {
        case .words:
            return ["cell_type": "markdown", "id": .string(cell.id), "metadata": [:], "source": lines(cell.source)]
        case .python(let png):
            let outputs = png.map { bytes -> JSONValue in
                [
                    "data": ["image/png": .string(Base64.text(bytes)), "text/plain": ["<picture>"]], "metadata": [:],
                    "output_type": "display_data",
                ]
            }
            return [
                "cell_type": "code", "execution_count": nil, "id": .string(cell.id), "metadata": [:],
                "outputs": .array(outputs.map { [$0] } ?? []), "source": lines(cell.source),
            ]
        }
    }
}

/// RFC 4648, with padding.
enum Base64 {
    private static let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func text(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count + 2) / 3 * 4)
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let part = bytes[start..<min(start + 3, bytes.count)]
            var word = UInt32(0)
            for place in 0..<3 { word = word << 8 | UInt32(place < part.count ? part[start + place] : 0) }
            for place in 0..<4 {
                output.append(
                    place <= part.count ? letters[Int(word >> UInt32(18 - 6 * place) & 63)] : UInt8(ascii: "="))
            }
        }
        return String(decoding: output, as: UTF8.self)
    }
}
