import Foundation
import Testing
import ZooBase
import ZooRetrieval
import ZooTestSupport

/// Programs and services as black boxes, well-behaved and not.
@Suite struct BoxTests {
    private func box(
        _ script: String, kind: ScoreKind = .logits, classes: Int = 2, timeout: Double = 20, input: BoxInput = .json
    ) -> CommandBox {
        CommandBox(
            name: "box", arguments: ["/bin/sh", "-c", script], inputShape: [3], classCount: classes, kind: kind,
            input: input, timeout: timeout)
    }

    private func failure(_ box: CommandBox) -> String {
        do {
            return "no error: \(try box.scores([1, 2, 3, 4, 5, 6], count: 2))"
        } catch { return ZooError.wrap(error).message }
    }

    @Test func aProgramAnswersLineByLine() throws {
        let scores = try box("while read line; do echo '[0.25, -1e0]'; done").scores([1, 2, 3, 4, 5, 6], count: 2)
        #expect(scores == [0.25, -1, 0.25, -1])
        let labels = try box("while read line; do echo 1; done", kind: .labels).scores([1, 2, 3, 4, 5, 6], count: 2)
        #expect(labels == [0, 1, 0, 1])
        // What it is told.
        let told = try box("sed 's/\\[\\(.*\\),\\(.*\\),.*/[\\1,\\2]/'").scores([1, 2.5, 3, 4, 5, 6], count: 2)
        #expect(told == [1, 2.5, 4, 5])
        // 24 bytes of float32.
        let counted = box("n=$(wc -c); echo \"[$n, 0]\"; echo '[1, 0]'", input: .float32)
        #expect(try counted.scores([1, 2, 3, 4, 5, 6], count: 2)[0] == 24)
    }

    @Test func largeBatchesDoNotBlock() throws {
        // More than a pipe holds in both directions: the program writes while it reads.
        let count = 20_000
        let scores = try box("sed 's/.*/[0.5,0.25]/'").scores([Float](repeating: 0.123, count: 3 * count), count: count)
        #expect(scores.count == 2 * count)
    }

    @Test func misbehaviourIsOneClearLine() {
        #expect(failure(box("echo '[1, 2]'")) == "'/bin/sh' wrote 1 lines for 2 inputs")
        #expect(
            failure(box("cat > /dev/null; echo rubbish; echo rubbish")).contains("answered input 0 with \"rubbish\""))
        #expect(failure(box("echo '[1]'; echo '[1, 2]'")) == "the answer to input 0 has 1 scores; expected 2")
        #expect(failure(box("echo '[1, 2]'; echo '[1, \"x\"]'")).contains("input 1 holds \"x\""))
        #expect(failure(box("echo 1; echo 5", kind: .labels)) == "the answer to input 1 is class 5 of 2")
        #expect(failure(box("echo oh no >&2; exit 3")) == "'/bin/sh' ended with status 3: oh no")
        #expect(failure(box("sleep 20", timeout: 0.3)) == "'/bin/sh' did not answer within 0.3 seconds")
        let missing = CommandBox(
            name: "box", arguments: ["/no/such/program"], inputShape: [3], classCount: 2, kind: .logits)
        #expect(failure(missing).contains("cannot start '/no/such/program'"))
    }

    @Test func onlyLoopbackIsSpokenTo() {
        for url in [
            "http://example.com/x", "https://127.0.0.1/x", "http://10.0.0.1:80/", "127.0.0.1:80",
            "http://127.0.0.1:99999/",
            "http://127.0.0.1.evil.example/", "http://127.0.0.1:80/a b",
        ] {
            #expect(throws: ZooError.self, "\(url)") {
                try LoopbackBox(name: "box", url: url, inputShape: [3], classCount: 2, kind: .logits)
            }
        }
    }

    /// Answers one request after the other with the given texts.
    private func serve(_ answers: [String]) throws -> Int {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        inet_pton(AF_INET, "127.0.0.1", &address.sin_addr)
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(listener, $0, size)
                _ = getsockname(listener, $0, &size)
            }
        }
        listen(listener, 4)
        Thread.detachNewThread {
            for answer in answers {
                let peer = accept(listener, nil, nil)
                var buffer = [UInt8](repeating: 0, count: 1 << 16)
                var seen: [UInt8] = []
                while !String(decoding: seen, as: UTF8.self).hasSuffix("}") {
                    let count = read(peer, &buffer, buffer.count)
                    if count <= 0 { break }
                    seen += buffer.prefix(count)
                }
                _ = answer.withCString { write(peer, $0, strlen($0)) }
                close(peer)
            }
            close(listener)
        }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    @Test func aServiceIsPostedTo() throws {
        let good = "{\"scores\":[[0.5,1],[2,3]]}"
        let port = try serve([
            "HTTP/1.1 200 OK\r\nContent-Length: \(good.utf8.count)\r\n\r\n\(good)", "HTTP/1.0 500 no\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n{\"scores\":[[1,2]]}", "rubbish",
        ])
        let box = try LoopbackBox(
            name: "box", url: "http://127.0.0.1:\(port)/predict", inputShape: [3], classCount: 2, kind: .logits)
        #expect(try box.scores([1, 2, 3, 4, 5, 6], count: 2) == [0.5, 1, 2, 3])
        for expected in ["status 500", "1 answers to 2 inputs", "no HTTP head"] {
            let error = #expect(throws: ZooError.self) { try box.scores([1, 2, 3, 4, 5, 6], count: 2) }
            #expect(error?.message.contains(expected) == true, "\(error?.message ?? "")")
        }
    }
}
