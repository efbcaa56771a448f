//! ff-backend-memory
