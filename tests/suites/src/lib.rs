//! Black-box suites: dialogs, interop, conformance, crash, hostile.
