# Two commands do everything: `make demo` and `make test`. Both install what is missing first.

SWIFT_BUILD_FLAGS := -c release
ZOO := .build/release/zoo
PREFIX ?= /usr/local

.PHONY: demo test build setup lint format bench install clean

## build the tool, catalog a real zoo and look around in it
demo: build
	@scripts/demo.sh $(ZOO)

## build everything and run all tests (optimised: numeric code is 20 times slower in debug builds)
test: setup lint
	@scripts/setup.sh test
	swift build $(SWIFT_BUILD_FLAGS) --build-tests
	ZOO_REQUIRE_NUMPY=1 swift test $(SWIFT_BUILD_FLAGS) --skip-build

## build the tool
build: setup
	swift build $(SWIFT_BUILD_FLAGS) --product zoo

## install missing Debian packages
setup:
	@scripts/setup.sh

## check formatting
lint:
	swift format lint --strict --recursive --parallel Package.swift Sources Tests Benchmarks

## apply formatting
format:
	swift format --in-place --recursive --parallel Package.swift Sources Tests Benchmarks

## run the benchmarks against their Python peers (installs the peers from PyPI into Benchmarks/.venv)
bench: build
	Benchmarks/run.sh $(ZOO)

## copy the tool to PREFIX/bin
install: build
	install -D $(ZOO) $(DESTDIR)$(PREFIX)/bin/zoo

## remove what was built
clean:
	rm -rf .build Benchmarks/.build
