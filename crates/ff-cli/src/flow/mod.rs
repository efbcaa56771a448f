//! Flows as files, as trees and as pictures.

pub(crate) mod document;
pub(crate) mod dot;
pub(crate) mod graph;
pub(crate) mod layout;
pub(crate) mod live;
pub(crate) mod plan;
pub(crate) mod svg;
pub(crate) mod text;
