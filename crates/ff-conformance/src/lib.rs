//! ff-conformance
