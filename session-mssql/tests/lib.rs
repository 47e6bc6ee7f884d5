//! The tests of session-mssql beside the conformance suite. They are a package of their own, as an optional dependency
//! cannot be one of tests alone: `--features session-mssql-tests/mock` adds those against a mock of a server.
